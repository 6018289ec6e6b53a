package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// advertised reads an address that others can connect to: not that of every
// interface, and no port that is still to be found.
func advertised(c *Config, s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return errNotAllowed
	}
	ip, err := netip.ParseAddr(host)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || ip.IsUnspecified() || portErr != nil || n == 0 {
		return errNotAllowed
	}
	c.ClusterAdvertise = s
	return nil
}

// maxSeeds bounds cluster-join: a few gateways lead to all others.
const maxSeeds = 64

func seeds(c *Config, s string) error {
	items := list(s)
	if len(items) > maxSeeds {
		return fmt.Errorf("%d addresses are more than %d", len(items), maxSeeds)
	}
	for _, item := range items {
		host, port, err := net.SplitHostPort(item)
		if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || host == "" || portErr != nil || n == 0 {
			return fmt.Errorf("%q is not an address", item)
		}
	}
	c.ClusterJoin = items
	return nil
}

func clusterLabel(c *Config, s string) error {
	if len(s) > 255 { // what a packet has room for
		return errNotAllowed
	}
	c.ClusterLabel = s
	return nil
}

// checkCluster holds the rules of the cluster plane.
func (e *Effective) checkCluster(fail func(*Error)) {
	if !e.Clustered() {
		for _, name := range []string{"cluster-advertise", "cluster-join", "cluster-key-file", "cluster-label"} {
			if e.value(name).Text != "" {
				fail(e.wrong(name, "needs --cluster-addr: without it the table is this gateway's alone"))
			}
		}
		if e.ClusterBootstrap {
			fail(e.wrong("cluster-bootstrap", "needs --cluster-addr: without it the table is this gateway's alone"))
		}
		if e.insecure("cluster") {
			e.warn("insecure names cluster, and there is no cluster-addr")
		}
		return
	}
	host, _, _ := net.SplitHostPort(e.ClusterAddr)
	ip, err := netip.ParseAddr(host)
	if e.ClusterAdvertise == "" && (host == "" || err == nil && ip.IsUnspecified()) {
		fail(e.wrong("cluster-addr", "is every address of this host, so others must be told which to use: give --cluster-advertise"))
	}
	switch {
	case e.ClusterKeyFile != "", Loopback(e.ClusterAddr):
	case e.insecure("cluster"):
		e.warn(fmt.Sprintf("whoever can reach the cluster plane at %s can read and forge what gateways tell each other: "+
			"there is no cluster-key-file, as insecure allows", e.ClusterAddr))
	default:
		fail(e.wrong("cluster-addr", "is not loopback, so what gateways tell each other must be encrypted: give --cluster-key-file "+
			"(svmgate cluster keys generate makes one); --insecure=cluster does without"))
	}
}
