package firewall

import (
	"fmt"
	"strings"
)

// comment starts a line that is for people.
const comment = "# "

// Caution starts a comment that must be read before the rules are loaded.
const Caution = comment + "CAUTION: "

const rowLength = 8 // elements of a set on one line

// A tool takes a text.
type tool struct{ program, how string }

var nft = tool{"/usr/sbin/nft -f", "Load it on the router between the tenant and the SVMs: nft -f FILE. It replaces what was loaded before."}

// head writes what people read before the rules.
func (s *Subject) head(b *strings.Builder, of tool, kind string) {
	fmt.Fprintf(b, "#!%s\n%s%s of tenant %s (%s), by svmgate.\n", of.program, comment, kind, quoted(s.Name), s.Tenant)
	fmt.Fprintf(b, "%s%s\n", comment, of.how)
	for _, caution := range s.Cautions {
		fmt.Fprintf(b, "%s%s.\n", Caution, caution)
	}
	for _, note := range s.Notes {
		fmt.Fprintf(b, "%sNote: %s.\n", comment, note)
	}
}

// Nftables is the text of a Block for nft -f.
func (b *Block) Nftables() string {
	var out strings.Builder
	b.head(&out, nft, "Block")
	fmt.Fprintf(&out, "%sReason: %s.\n", comment, b.Reason)
	name := "svmgate-" + b.Tenant.String()
	remove(&out, name)
	if len(b.Rules) == 0 {
		return out.String()
	}
	fmt.Fprintf(&out, "table inet %s {\n", name)
	for i := range b.Rules {
		r := &b.Rules[i]
		set(&out, "subnets", r.Family, true, r.Sources)
		set(&out, "svms", r.Family, false, r.Destinations)
	}
	out.WriteString("\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n")
	for i := range b.Rules {
		r := &b.Rules[i]
		fmt.Fprintf(&out, "\t\t%stcp dport { %s } %s counter drop\n", iifname(r.Interface),
			strings.Join(ports(r.Ports), ", "), r.Family.match("@svms"+r.Family.digit()))
	}
	out.WriteString("\t}\n}\n")
	return out.String()
}

// Nftables is the text of a Translation for nft -f.
func (t *Translation) Nftables() string {
	var out strings.Builder
	t.head(&out, nft, "Source NAT")
	for _, line := range t.routes() {
		fmt.Fprintf(&out, "%s%s\n", comment, line)
	}
	name := "svmgate-snat-" + t.Tenant.String()
	remove(&out, name)
	if len(t.Rules) == 0 {
		return out.String()
	}
	fmt.Fprintf(&out, "table inet %s {\n", name)
	for i := range t.Rules {
		set(&out, "subnets", t.Rules[i].Family, true, t.Rules[i].Sources)
	}
	if t.Zone != 0 {
		out.WriteString("\tchain prerouting_raw {\n\t\ttype filter hook prerouting priority raw; policy accept;\n")
		for i := range t.Rules {
			fmt.Fprintf(&out, "\t\t%s ct original zone set %d\n", t.Rules[i].origin(), t.Zone)
		}
		out.WriteString("\t}\n\tchain prerouting_mangle {\n\t\ttype filter hook prerouting priority mangle; policy accept;\n")
		for i := range t.Rules {
			fmt.Fprintf(&out, "\t\t%s ct mark set %d\n", t.Rules[i].origin(), t.Zone)
		}
		fmt.Fprintf(&out, "\t\tct direction reply ct mark %d meta mark set %d\n\t}\n", t.Zone, t.Zone)
	}
	out.WriteString("\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n")
	for i := range t.Rules {
		r := &t.Rules[i]
		mark := ""
		if t.Zone != 0 {
			mark = fmt.Sprintf("ct mark %d ", t.Zone)
		}
		fmt.Fprintf(&out, "\t\t%s%s snat %s to %s\n", mark, r.Family.match(r.Network.String()), r.Family.keyword(), r.To)
	}
	out.WriteString("\t}\n}\n")
	return out.String()
}

// origin matches what comes from the tenant for the network of the SVMs.
func (r *TranslationRule) origin() string {
	return iifname(r.Interface) + r.Family.match(r.Network.String())
}

// remove makes sure that a table is not there. Adding it first makes that work where it
// is not; all of a file happens at once.
func remove(out *strings.Builder, table string) {
	fmt.Fprintf(out, "add table inet %s\ndelete table inet %s\n", table, table)
}

// set writes a set of addresses or networks.
func set[T fmt.Stringer](out *strings.Builder, name string, family Family, interval bool, elements []T) {
	kind, flags := "ipv4_addr", ""
	if family == IPv6 {
		kind = "ipv6_addr"
	}
	if interval {
		flags = "\t\tflags interval\n"
	}
	fmt.Fprintf(out, "\tset %s {\n\t\ttype %s\n%s\t\telements = {", name+family.digit(), kind, flags)
	for i, e := range elements {
		between := " "
		if i%rowLength == 0 {
			between = "\n\t\t\t"
		}
		out.WriteString(between + e.String() + ",")
	}
	out.WriteString("\n\t\t}\n\t}\n")
}

// keyword is the family in a rule.
func (f Family) keyword() string {
	if f == IPv6 {
		return "ip6"
	}
	return "ip"
}

// digit ends the names of sets of the family.
func (f Family) digit() string { return strings.TrimPrefix(f.String(), "IPv") }

// match is the part of a rule that wants a source in the tenant's subnets, and such a
// destination.
func (f Family) match(destination string) string {
	return fmt.Sprintf("%[1]s saddr @subnets%[2]s %[1]s daddr %[3]s", f.keyword(), f.digit(), destination)
}

func iifname(i Interface) string {
	if i == "" {
		return ""
	}
	return fmt.Sprintf("iifname %q ", string(i))
}

func ports(list []uint16) (words []string) {
	for _, p := range list {
		words = append(words, fmt.Sprint(p))
	}
	return words
}
