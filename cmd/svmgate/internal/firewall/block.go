package firewall

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/svmgate/svmgate/store"
)

// Ports are where agents reach an SVM, by TCP (online help, topic 259237).
var Ports = []uint16{80, 9876, 9877, 11111, 11112}

// A Subject is whom advice is about, and what is to be said of it.
type Subject struct {
	Tenant    store.TenantID `json:"tenant"`
	Name      string         `json:"name"`
	Interface Interface      `json:"interface"` // empty if it was not given

	// Cautions are what must be known before the rules are loaded, Notes what else is
	// worth knowing: sentences without a full stop, each on one line of ASCII. Neither is
	// nil.
	Cautions []string `json:"cautions"`
	Notes    []string `json:"notes"`
}

// A Block is what keeps an inactive tenant from SVMs.
type Block struct {
	Subject
	Due    bool        `json:"due"`    // whether the tenant is to be blocked
	Reason string      `json:"reason"` // why it is, or not; one sentence without a full stop
	Rules  []BlockRule `json:"rules"`  // one for each family; never nil
}

// A BlockRule drops what comes from any of Sources for one of Ports of any of
// Destinations.
type BlockRule struct {
	Family       Family         `json:"family"`
	Interface    Interface      `json:"interface"`
	Sources      []netip.Prefix `json:"sources"`      // sorted, none within another
	Destinations []netip.Addr   `json:"destinations"` // sorted, each once
	Protocol     string         `json:"protocol"`     // tcp
	Ports        []uint16       `json:"ports"`
	Action       string         `json:"action"` // drop
}

// NewBlock returns what is to be blocked of a tenant that reaches the router by the
// interface of that name, or by any if it is empty.
//
// Rules name every SVM, whatever its state and whomever it is dedicated to: an agent with
// a list of its own asks nobody which SVMs are for it, one that is down comes back, and
// rules at a router do not learn of it.
//
// All tenants are those of the table, in which the tenant itself may be. None is changed.
func NewBlock(tenant *store.Tenant, svms []store.SVM, all []store.Tenant, iface Interface) *Block {
	b := &Block{Subject: subject(tenant, iface), Rules: []BlockRule{}}
	switch {
	case tenant.Type == store.Simple:
		b.Reason = "it is simple: its agents get SVMs whether it is active or not, so nothing is to be blocked"
		return b
	case tenant.Status == store.Active:
		b.Reason = "it is active, so nothing is to be blocked"
		return b
	}
	b.Due, b.Reason = true, "it is complete and inactive, so its subnets must not reach SVMs"
	subnets, addresses := networks(tenant.Subnets), b.addresses(svms)
	if len(subnets) == 0 {
		b.note("it has no subnets, so there is nothing to make rules of: svmgate does not know where its agents are")
	}
	for _, family := range families {
		rule := BlockRule{
			Family: family, Interface: iface, Protocol: "tcp", Ports: Ports, Action: "drop",
			Sources: family.networks(subnets), Destinations: family.addresses(addresses),
		}
		switch {
		case len(rule.Sources) == 0:
		case len(rule.Destinations) == 0:
			b.note("no SVM has an address of %s, so no rule is needed for %s", family, figure(len(rule.Sources), family.String()+" subnet"))
		default:
			b.Rules = append(b.Rules, rule)
		}
	}
	if iface == "" && len(b.Rules) > 0 {
		b.bystanders(subnets, all)
	}
	return b
}

func subject(tenant *store.Tenant, iface Interface) Subject {
	return Subject{Tenant: tenant.ID, Name: tenant.Name, Interface: iface, Cautions: []string{}, Notes: []string{}}
}

func (s *Subject) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

func (s *Subject) caution(format string, args ...any) {
	s.Cautions = append(s.Cautions, fmt.Sprintf(format, args...))
}

// addresses returns the addresses of SVMs, each once, and notes those that are names.
func (b *Block) addresses(svms []store.SVM) (addrs []netip.Addr) {
	var named []string
	for i := range svms {
		addr, err := netip.ParseAddr(svms[i].Address)
		if err != nil {
			named = append(named, fmt.Sprintf("%s (%s) at %s", quoted(svms[i].Name), svms[i].ID, quoted(svms[i].Address)))
			continue
		}
		addrs = append(addrs, addr.Unmap().WithZone(""))
	}
	if len(svms) == 0 {
		b.note("there is no SVM, so there is nothing to make rules of")
	}
	if len(named) > 0 {
		b.caution("%s left out, whose address is a name, which a rule can not hold; block it yourself: %s",
			either(len(named), "1 SVM is", figure(len(named), "SVM")+" are"), some(named))
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// bystanders warns of tenants that the rules would hit though they must not be blocked.
func (b *Block) bystanders(subnets []netip.Prefix, all []store.Tenant) {
	hit := overlapping(b.Tenant, subnets, all, func(t *store.Tenant) bool {
		return t.Type == store.Simple || t.Status == store.Active
	})
	if len(hit) == 0 {
		return
	}
	b.caution("these rules also hit %s that must not be blocked and %s overlapping subnets; name the interface by which this tenant reaches the router: %s",
		figure(len(hit), "tenant"), either(len(hit), "has", "have"), some(hit))
}
