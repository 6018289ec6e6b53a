package firewall

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/svmgate/svmgate/store"
)

// A Family is a version of the Internet Protocol. Rules are of one or the other.
type Family string

// Families.
const (
	IPv4 Family = "IPv4"
	IPv6 Family = "IPv6"
)

var families = []Family{IPv4, IPv6}

func (f Family) String() string { return string(f) }

func familyOf(addr netip.Addr) Family {
	if addr.Is4() {
		return IPv4
	}
	return IPv6
}

func (f Family) networks(all []netip.Prefix) (of []netip.Prefix) {
	for _, p := range all {
		if familyOf(p.Addr()) == f {
			of = append(of, p)
		}
	}
	return of
}

func (f Family) addresses(all []netip.Addr) (of []netip.Addr) {
	for _, a := range all {
		if familyOf(a) == f {
			of = append(of, a)
		}
	}
	return of
}

// networks reads what a tenant has as subnets: sorted, IPv4 first, without those that
// lie within another. What the table would not take is left out.
func networks(subnets []string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range subnets {
		if p, err := netip.ParsePrefix(text); err == nil {
			all = append(all, unmapped(p).Masked())
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	kept := all[:0]
	for _, p := range all {
		if n := len(kept); n == 0 || !kept[n-1].Overlaps(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

// unmapped is an IPv4 network that was written as ::ffff:10.1.0.0/112, as IPv4.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// overlapping names the tenants with a subnet that has addresses in common with subnets,
// which networks returned; only those of which which holds, and never the tenant itself.
func overlapping(self store.TenantID, subnets []netip.Prefix, all []store.Tenant, which func(*store.Tenant) bool) (names []string) {
	for i := range all {
		t := &all[i]
		if t.ID == self || !which(t) {
			continue
		}
		for _, theirs := range networks(t.Subnets) {
			if ours, ok := overlap(subnets, theirs); ok {
				names = append(names, fmt.Sprintf("%s (%s, %s, %s) at %s", quoted(t.Name), t.ID, t.Type, t.Status, common(ours, theirs)))
				break
			}
		}
	}
	return names
}

// overlap finds the first of sorted networks, none within another, that has addresses in
// common with p.
func overlap(sorted []netip.Prefix, p netip.Prefix) (netip.Prefix, bool) {
	// Two networks overlap only if one holds the other. So it is the last that starts at p
	// or before, which may hold p, or the first after it, which may lie in p.
	i, _ := slices.BinarySearchFunc(sorted, p.Addr(), func(s netip.Prefix, a netip.Addr) int { return s.Addr().Compare(a) })
	for _, s := range sorted[max(i-1, 0):min(i+1, len(sorted))] {
		if s.Overlaps(p) {
			return s, true
		}
	}
	return netip.Prefix{}, false
}

// common is what two networks that overlap have in common.
func common(a, b netip.Prefix) netip.Prefix {
	if a.Bits() > b.Bits() {
		return a
	}
	return b
}
