package firewall

import (
	"fmt"
	"net/netip"

	"github.com/svmgate/svmgate/store"
)

// A Translation is how a tenant's subnets reach the network of the SVMs: their addresses
// are translated to one of that network (source NAT).
type Translation struct {
	Subject
	Zone  Zone              `json:"zone"`  // 0: none
	Rules []TranslationRule `json:"rules"` // one for each family; never nil
}

// A TranslationRule gives what comes from any of Sources for Network the source address
// To.
type TranslationRule struct {
	Family    Family         `json:"family"`
	Interface Interface      `json:"interface"`
	Sources   []netip.Prefix `json:"sources"` // sorted, none within another
	Network   netip.Prefix   `json:"network"`
	To        netip.Addr     `json:"to"`
	Action    string         `json:"action"` // snat
}

// A Zone keeps apart the connections of tenants with overlapping subnets: the number of a
// zone of connection tracking, and the mark by which replies find their way back. 1 to
// 65535.
type Zone uint16

// firstTable is added to a zone to have the number of a routing table. Linux has tables
// of its own up to 255.
const firstTable = 1000

// Table is the routing table for replies to the tenant of a zone.
func (z Zone) Table() int { return firstTable + int(z) }

// A TranslationError says why there can be no translation of that kind.
type TranslationError struct{ Reason string }

func (e *TranslationError) Error() string { return e.Reason }

// NewTranslation returns how the tenant's subnets are translated to the addresses of to,
// one for each family at most; the prefix of each is the network of the SVMs, the
// Integration Server and Kaspersky Security Center: 10.9.0.1/24.
//
// Without interface and zone it is right only for a tenant whose subnets no other has;
// otherwise it says who has them. Each tenant with both, and a zone of its own, may have
// any subnets. One without the other, or addresses that do not suffice, are a
// [*TranslationError].
//
// All tenants are those of the table, in which the tenant itself may be. None is changed.
func NewTranslation(tenant *store.Tenant, svms []store.SVM, all []store.Tenant, to []netip.Prefix, iface Interface, zone Zone) (*Translation, error) {
	if (iface == "") != (zone == 0) {
		return nil, &TranslationError{"interface and zone go together: by the interface the tenant's connections are told from others, in the zone they are kept apart"}
	}
	t := &Translation{Subject: subject(tenant, iface), Zone: zone, Rules: []TranslationRule{}}
	targets := map[Family]netip.Prefix{}
	for _, p := range to {
		p = unmapped(p)
		family := familyOf(p.Addr())
		if targets[family].IsValid() {
			return nil, &TranslationError{"there are two addresses of " + family.String() + " to translate to; one is possible"}
		}
		if !usable(p) {
			return nil, &TranslationError{p.String() + " is no address of a host with the length of its network's prefix, such as 10.9.0.1/24"}
		}
		targets[family] = p
	}
	subnets := networks(tenant.Subnets)
	if len(subnets) == 0 {
		t.note("it has no subnets, so there is nothing to make rules of")
	}
	for _, family := range families {
		sources, target := family.networks(subnets), targets[family]
		switch {
		case len(sources) == 0:
		case !target.IsValid():
			t.note("no address of %s was given, so %s can not reach SVMs there", family, figure(len(sources), family.String()+" subnet"))
		default:
			t.Rules = append(t.Rules, TranslationRule{
				Family: family, Interface: iface, Sources: sources, Network: target.Masked(), To: target.Addr(), Action: "snat",
			})
		}
	}
	if len(t.Rules) > 0 {
		t.warn(subnets, svms, all)
	}
	return t, nil
}

// usable reports whether p is the address of a host in a network of more than that.
func usable(p netip.Prefix) bool {
	a := p.Addr()
	return a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && !a.IsLoopback() && (p.IsSingleIP() || p.Masked().Addr() != a)
}

// warn says whom the rules do not serve as they are.
func (t *Translation) warn(subnets []netip.Prefix, svms []store.SVM, all []store.Tenant) {
	var outside []string
	for i := range svms {
		if addr, err := netip.ParseAddr(svms[i].Address); err == nil && !t.reaches(addr.Unmap()) {
			outside = append(outside, fmt.Sprintf("%s at %s", quoted(svms[i].Name), addr.Unmap()))
		}
	}
	if len(outside) > 0 {
		t.note("%s not in the network that these rules lead to: %s", either(len(outside), "1 SVM is", figure(len(outside), "SVM")+" are"), some(outside))
	}
	if t.Zone != 0 {
		return
	}
	others := overlapping(t.Tenant, subnets, all, func(*store.Tenant) bool { return true })
	if len(others) > 0 {
		t.caution("replies may go astray: %s %s overlapping subnets; give each an interface and a zone of its own: %s",
			figure(len(others), "tenant"), either(len(others), "has", "have"), some(others))
	}
}

func (t *Translation) reaches(addr netip.Addr) bool {
	for i := range t.Rules {
		if t.Rules[i].Network.Contains(addr) {
			return true
		}
	}
	return false
}

// routes are the commands by which replies find the tenant, with what must be put in.
func (t *Translation) routes() (lines []string) {
	if t.Zone == 0 || len(t.Rules) == 0 {
		return nil
	}
	lines = append(lines,
		"Replies find their way by a table of routes for this tenant. Once, and again after each start of the router (if the",
		"tenant's subnets are behind another router, put `via ADDRESS` before `dev`):")
	for _, rule := range t.Rules {
		ip := "ip -" + rule.Family.digit()
		lines = append(lines, fmt.Sprintf("  %s rule add fwmark %d lookup %d", ip, t.Zone, t.Zone.Table()))
		for _, subnet := range rule.Sources {
			lines = append(lines, fmt.Sprintf("  %s route replace %s dev %s table %d", ip, subnet, t.Interface, t.Zone.Table()))
		}
		if rule.Family == IPv4 {
			lines = append(lines, fmt.Sprintf("  sysctl -w net/ipv4/conf/%s/rp_filter=2", t.Interface))
		}
	}
	return lines
}
