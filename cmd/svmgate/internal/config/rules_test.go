package config

import (
	"strings"
	"testing"
)

// A gateway that others can reach is protected or does not start, and the error
// says which flag is missing.
func TestSecureByDefault(t *testing.T) {
	const cert, key = "--tls-cert=c", "--tls-key=k"
	tests := []struct {
		name  string
		flags string
		says  []string // parts of the error; none: it starts
		warns string
	}{
		{name: "loopback", flags: "--agent-addr=[::1]:1 --admin-addr=localhost:2 --ops-addr=127.0.0.2:3"},
		{name: "loopback, TLS too", flags: cert + " " + key},
		{name: "agents from elsewhere", flags: "--agent-addr=0.0.0.0:1 --agent-auth=none", says: []string{"agent-addr", "--tls-cert", "--tls-key", "--tls-terminated-by", "--insecure=agent"}},
		{name: "every address", flags: "--agent-addr=:1 --agent-auth=none", says: []string{"--tls-cert"}},
		{name: "IPv6", flags: "--agent-addr=[2001:db8::1]:1 --agent-auth=none", says: []string{"--tls-cert"}},
		{name: "agents from elsewhere, TLS, no choice", flags: "--agent-addr=0.0.0.0:1 " + cert + " " + key, says: []string{"agent-addr", "--agent-auth"}},
		{name: "agents from elsewhere, TLS and token", flags: "--agent-addr=0.0.0.0:1 --agent-auth=token " + cert + " " + key},
		{name: "agents from elsewhere, none by choice", flags: "--agent-addr=0.0.0.0:1 --agent-auth=none " + cert + " " + key},
		{name: "agents behind a proxy", flags: "--agent-addr=0.0.0.0:1 --agent-auth=token --tls-terminated-by=10.0.0.0/8"},
		{name: "agents insecure", flags: "--agent-addr=0.0.0.0:1 --insecure=agent", warns: "the agent plane at 0.0.0.0:1 is open"},
		{name: "agents insecure, admin from elsewhere", flags: "--agent-addr=0.0.0.0:1 --insecure=agent --admin-addr=0.0.0.0:2", says: []string{"admin-addr", "--insecure=admin"}},
		{name: "admin from elsewhere", flags: "--admin-addr=192.0.2.1:2", says: []string{"admin-addr", "--tls-cert"}},
		{name: "admin insecure", flags: "--admin-addr=192.0.2.1:2 --insecure=admin", warns: "the admin plane"},
		{name: "ops from elsewhere", flags: "--ops-addr=0.0.0.0:3", says: []string{"ops-addr", "--tls-cert", "--insecure=ops"}},
		{name: "ops insecure", flags: "--ops-addr=0.0.0.0:3 --insecure=ops", warns: "the ops plane"},
		{name: "no cluster", flags: "--insecure=cluster", warns: "there is no cluster-addr"},
		{name: "cluster on loopback", flags: "--cluster-addr=127.0.0.1:7 --cluster-join=gw-2:7,10.0.0.3:7 --cluster-bootstrap=true"},
		{name: "cluster from elsewhere", flags: "--cluster-addr=192.0.2.1:7", says: []string{"cluster-addr", "--cluster-key-file", "--insecure=cluster"}},
		{name: "cluster at every address", flags: "--cluster-addr=0.0.0.0:7 --cluster-key-file=k", says: []string{"cluster-addr", "--cluster-advertise"}},
		{name: "cluster at every address, keys", flags: "--cluster-addr=:7 --cluster-key-file=k --cluster-advertise=192.0.2.1:7"},
		{name: "cluster insecure", flags: "--cluster-addr=192.0.2.1:7 --insecure=cluster", warns: "read and forge"},
		{name: "joining without an address", flags: "--cluster-join=gw-2:7 --cluster-bootstrap=true", says: []string{"cluster-join", "cluster-bootstrap", "--cluster-addr"}},
		{name: "cluster at the address of agents", flags: "--cluster-addr=127.0.0.1:5 --agent-addr=127.0.0.1:5", says: []string{"cluster-addr", "agent-addr"}},
		{name: "cert without key", flags: cert, says: []string{"tls-cert", "--tls-key"}},
		{name: "key without cert", flags: key, says: []string{"tls-key", "--tls-cert"}},
		{name: "client CA alone", flags: "--tls-client-ca=a", says: []string{"tls-client-ca", "--tls-cert"}},
		{name: "mtls without CA", flags: "--agent-auth=mtls " + cert + " " + key, says: []string{"agent-auth", "--tls-client-ca"}},
		{name: "mtls without TLS", flags: "--agent-auth=mtls", says: []string{"agent-auth", "--tls-cert"}},
		{name: "mtls behind a proxy", flags: "--agent-addr=0.0.0.0:1 --agent-auth=mtls --tls-terminated-by=10.0.0.1", says: []string{"agent-auth", "--tls-cert"}},
		{name: "mtls", flags: "--agent-auth=mtls --tls-client-ca=a " + cert + " " + key},
		{name: "a burst without a rate", flags: "--admission-burst=5", says: []string{"admission-burst", "--admission-rate"}},
		{name: "a burst with a rate", flags: "--admission-burst=5 --admission-rate=10"},
		{name: "reports of what agents say", flags: "--protection-reports=true --agent-auth=token"},
		{name: "reports where agents do not authenticate", flags: "--protection-reports=true", warns: "counts only where they authenticate"},
		{name: "a KSC without credentials", flags: "--ksc=https://ksc.example", says: []string{"ksc: ", "--ksc-credentials"}},
		{name: "a KSC with credentials", flags: "--ksc=https://ksc.example,https://10.0.0.9:1 --ksc-credentials=f --ksc-ca=c"},
		{name: "credentials without a KSC", flags: "--ksc-credentials=f --ksc-ca=c", says: []string{"ksc-credentials: ", "ksc-ca: ", "--ksc with"}},
		{name: "credentials for none", flags: "--ksc=none --ksc-credentials=f", says: []string{"ksc-credentials: ", "--ksc with"}},
		{name: "no KSC is wanted", flags: "--ksc=none"},
		{name: "a secret without a webhook", flags: "--events-webhook-secret-file=f", says: []string{"events-webhook-secret-file: ", "--events-webhook"}},
		{name: "authorities of nobody", flags: "--events-ca=f --events-syslog=tcp://logs", says: []string{"events-ca: ", "https", "tls"}},
		{name: "authorities of a syslog server", flags: "--events-ca=f --events-syslog=tls://logs"},
		{name: "authorities of a webhook", flags: "--events-ca=f --events-webhook=https://hook.example --events-webhook-secret-file=f"},
		{name: "a webhook without TLS", flags: "--events-webhook=http://hook.example/x", warns: "without TLS"},
		{name: "a webhook on this host", flags: "--events-webhook=http://127.0.0.1:1/x"},
		{name: "one address twice", flags: "--agent-addr=127.0.0.1:5 --ops-addr=127.0.0.1:5", says: []string{"ops-addr", "agent-addr"}},
		{name: "any port twice", flags: "--agent-addr=127.0.0.1:0 --ops-addr=127.0.0.1:0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			flags := map[string]string{}
			for _, f := range strings.Fields(tt.flags) {
				name, value, _ := strings.Cut(strings.TrimPrefix(f, "--"), "=")
				flags[name] = value
			}
			e, err := Load(Input{Flags: flags})
			if len(tt.says) == 0 {
				if err != nil {
					t.Fatalf("it does not start: %v", err)
				}
				if got := strings.Join(e.Warnings, "\n"); !strings.Contains(got, tt.warns) || tt.warns == "" && got != "" {
					t.Errorf("warnings = %q, want %q", got, tt.warns)
				}
				return
			}
			for _, want := range tt.says {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want it to name %s", err, want)
				}
			}
		})
	}
}

func TestOpsSpeaksTLSOnlyWhereOthersReachIt(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:1": false, "0.0.0.0:1": true} {
		c := Config{OpsAddr: addr, TLSCert: "c"}
		if got := c.OpsTLS(); got != want {
			t.Errorf("OpsTLS at %s = %v, want %v", addr, got, want)
		}
	}
}
