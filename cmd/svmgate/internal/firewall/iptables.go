package firewall

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"

	"github.com/svmgate/svmgate/store"
)

var shell = tool{"/bin/sh", "Run it as root on the router between the tenant and the SVMs: sh FILE. It replaces what it made before."}

// script is what a text for iptables needs besides rules. What a chain holds is replaced
// as a whole by iptables-restore; that a hook leads to it once, which iptables-restore can
// not say, takes a command.
const script = `set -eu

# link COMMAND TABLE HOOK CHAIN: what passes the hook passes the chain.
link() {
	"$1" -w -t "$2" -C "$3" -j "$4" 2>/dev/null || "$1" -w -t "$2" -I "$3" -j "$4"
}

# clear COMMAND TABLE HOOK CHAIN...: the chains are not there.
clear() {
	command -v "$1" >/dev/null || return 0
	command=$1 table=$2 hook=$3
	shift 3
	while "$command" -w -t "$table" -D "$hook" -j "$1" 2>/dev/null; do :; done
	for chain; do "$command" -w -t "$table" -F "$chain" 2>/dev/null || return 0; done
	for chain; do "$command" -w -t "$table" -X "$chain"; done
}
`

// A chain is the rules that are to be passed at a hook of a table. If there are none, it
// is to be away.
type chain struct {
	table, hook string
	names       []string // the one that the hook leads to, then those behind it
	rules       []string
}

// Iptables is a script that makes the rules of a Block with iptables and ip6tables.
func (b *Block) Iptables() string {
	name := chainName("svmgate-", b.Tenant)
	var out strings.Builder
	b.head(&out, shell, "Block")
	fmt.Fprintf(&out, "%sReason: %s.\n%s", comment, b.Reason, script)
	for _, family := range families {
		c := chain{table: "filter", hook: "FORWARD", names: []string{name, name + "-to"}}
		for _, r := range b.Rules {
			if r.Family != family {
				continue
			}
			for _, source := range r.Sources {
				c.rules = append(c.rules, fmt.Sprintf("-A %s%s -s %s -p %s -m multiport --dports %s -j %s",
					c.names[0], from(r.Interface), source, r.Protocol, strings.Join(ports(r.Ports), ","), c.names[1]))
			}
			for _, destination := range r.Destinations {
				c.rules = append(c.rules, fmt.Sprintf("-A %s -d %s -j DROP", c.names[1], destination))
			}
		}
		c.write(&out, family)
	}
	return out.String()
}

// Iptables is a script that makes the rules of a Translation with iptables and ip6tables.
func (t *Translation) Iptables() string {
	names := []string{chainName("svmgate-nat-", t.Tenant)}
	var out strings.Builder
	t.head(&out, shell, "Source NAT")
	for _, line := range t.routes() {
		fmt.Fprintf(&out, "%s%s\n", comment, line)
	}
	out.WriteString(script)
	for _, family := range families {
		raw := chain{table: "raw", hook: "PREROUTING", names: names}
		mangle := chain{table: "mangle", hook: "PREROUTING", names: names}
		nat := chain{table: "nat", hook: "POSTROUTING", names: names}
		for _, r := range t.Rules {
			if r.Family != family {
				continue
			}
			r.chains(t.Zone, &raw, &mangle, &nat)
		}
		for _, c := range []chain{raw, mangle, nat} {
			c.write(&out, family)
		}
	}
	return out.String()
}

// chains adds a rule to the chains of the tables that it needs.
func (r *TranslationRule) chains(zone Zone, raw, mangle, nat *chain) {
	mark := ""
	for _, source := range r.Sources {
		between := fmt.Sprintf(" -s %s -d %s", source, r.Network)
		if zone != 0 {
			raw.add("%s%s -j CT --zone-orig %d", from(r.Interface), between, zone)
			mangle.add("%s%s -j CONNMARK --set-mark %d", from(r.Interface), between, zone)
			mark = fmt.Sprintf(" -m connmark --mark %d", zone)
		}
		nat.add("%s%s -j SNAT --to-source %s", between, mark, r.To)
	}
	if zone != 0 {
		mangle.add(" -m conntrack --ctdir REPLY%s -j MARK --set-mark %d", mark, zone)
	}
}

func (c *chain) add(format string, args ...any) {
	c.rules = append(c.rules, "-A "+c.names[0]+fmt.Sprintf(format, args...))
}

// write makes the chains, or removes them if they are empty.
func (c *chain) write(out *strings.Builder, family Family) {
	command := "iptables"
	if family == IPv6 {
		command = "ip6tables"
	}
	if len(c.rules) == 0 {
		fmt.Fprintf(out, "\nclear %s %s %s %s\n", command, c.table, c.hook, strings.Join(c.names, " "))
		return
	}
	fmt.Fprintf(out, "\n%s-restore -w --noflush <<'END'\n*%s\n", command, c.table)
	for _, name := range c.names {
		fmt.Fprintf(out, ":%s - [0:0]\n", name)
	}
	fmt.Fprintf(out, "%s\nCOMMIT\nEND\nlink %s %s %s %s\n", strings.Join(c.rules, "\n"), command, c.table, c.hook, c.names[0])
}

// chainName is a name for a tenant's chain. Those of iptables have 28 characters at most,
// too few for an id; so it is 80 bits of a hash of that.
func chainName(prefix string, id store.TenantID) string {
	sum := sha256.Sum256(id[:])
	return prefix + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

func from(i Interface) string {
	if i == "" {
		return ""
	}
	return " -i " + string(i)
}
