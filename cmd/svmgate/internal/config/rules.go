package config

import (
	"fmt"
	"net"
	"slices"
	"strings"
)

// check holds the rules that concern more than one setting.
func (e *Effective) check(fail func(*Error)) {
	e.checkTLS(fail)
	e.checkPlane(fail, "agent", e.AgentAddr)
	e.checkPlane(fail, "admin", e.AdminAddr)
	e.checkPlane(fail, "ops", e.OpsAddr)
	e.checkDistinct(fail)
	auth := e.value("agent-auth")
	switch {
	case auth.Source != FromDefault || Loopback(e.AgentAddr):
	case e.insecure("agent"):
		e.warn("whoever can reach the agent plane can ask about any VM: agent-auth was not chosen, as insecure allows")
	default:
		fail(e.wrong("agent-addr", "is not loopback, so how agents prove their tenant must be chosen: give --agent-auth token, mtls or none"))
	}
	if e.AgentAuth == "mtls" && (e.TLSCert == "" || e.TLSClientCA == "") {
		fail(e.wrong("agent-auth", "needs --tls-cert, --tls-key and --tls-client-ca"))
	}
	if e.AdmissionBurst > 0 && e.AdmissionRate == 0 {
		fail(e.wrong("admission-burst", "needs --admission-rate: without it there is no bound"))
	}
	if e.ProtectionReports && e.AgentAuth == "none" {
		e.warn("protection-reports has nothing but the sessions that SVMs tell of: what agents say counts only where they authenticate (agent-auth)")
	}
	e.checkCluster(fail)
	e.checkKSC(fail)
	e.checkEvents(fail)
}

func (e *Effective) insecure(plane string) bool { return slices.Contains(e.Insecure, plane) }

// checkPlane refuses a plane that others can reach and read along.
func (e *Effective) checkPlane(fail func(*Error), plane, addr string) {
	if Loopback(addr) || e.TLSCert != "" || len(e.TLSTerminatedBy) > 0 {
		return
	}
	if e.insecure(plane) {
		e.warn(fmt.Sprintf("the %s plane at %s is open to other hosts without TLS, as insecure allows", plane, addr))
		return
	}
	fail(e.wrong(plane+"-addr", "is not loopback, so it needs TLS: give --tls-cert and --tls-key, or --tls-terminated-by "+
		"with the proxies that end TLS; --insecure="+plane+" does without"))
}

func (e *Effective) checkTLS(fail func(*Error)) {
	if e.TLSCert != "" && e.TLSKey == "" {
		fail(e.wrong("tls-cert", "needs --tls-key"))
	}
	if e.TLSKey != "" && e.TLSCert == "" {
		fail(e.wrong("tls-key", "needs --tls-cert"))
	}
	if e.TLSClientCA != "" && e.TLSCert == "" {
		fail(e.wrong("tls-client-ca", "needs --tls-cert and --tls-key: client certificates are part of TLS"))
	}
}

// checkDistinct finds two planes with one address here, where the error can name
// them, rather than when the second listens.
func (e *Effective) checkDistinct(fail func(*Error)) {
	names := []string{"agent-addr", "admin-addr", "ops-addr", "cluster-addr"}
	addrs := []string{e.AgentAddr, e.AdminAddr, e.OpsAddr, e.ClusterAddr}
	for i, addr := range addrs {
		_, port, _ := net.SplitHostPort(addr)
		if j := slices.Index(addrs, addr); j < i && strings.Trim(port, "0") != "" {
			fail(e.wrong(names[i], "is also "+names[j]))
		}
	}
}

func (e *Effective) wrong(name, reason string) *Error {
	v := e.value(name)
	return &Error{Key: name, Value: v.Text, Where: v.Where, Reason: reason}
}

func (e *Effective) warn(s string) { e.Warnings = append(e.Warnings, s) }
