package firewall

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/svmgate/svmgate/store"
)

func svmsAt(addresses ...string) (svms []store.SVM) {
	for i, a := range addresses {
		svms = append(svms, store.SVM{ID: store.SVMID{15: byte(i + 1)}, SVMConfig: store.SVMConfig{Name: fmt.Sprint("svm-", i+1), Address: a}})
	}
	return svms
}

func inactive(subnets ...string) *store.Tenant {
	return &store.Tenant{ID: store.TenantID{15: 0xa1}, Name: "acme", Subnets: subnets}
}

func TestBlock(t *testing.T) {
	both := svmsAt("10.9.0.7", "fd09::7")
	tests := []struct {
		name         string
		tenant       *store.Tenant
		svms         []store.SVM
		reason, said string // said among cautions and notes
		rules        []string
	}{
		{"an inactive one", inactive("10.1.0.0/16"), both, "inactive", "", []string{"IPv4 10.1.0.0/16 10.9.0.7"}},
		{"both families", inactive("fd01::/64", "10.1.0.0/16"), both, "inactive", "", []string{"IPv4 10.1.0.0/16 10.9.0.7", "IPv6 fd01::/64 fd09::7"}},
		{"an active one", &store.Tenant{Status: store.Active, Subnets: []string{"10.1.0.0/16"}}, both, "it is active", "", nil},
		{"a simple one", &store.Tenant{Type: store.Simple, Subnets: []string{"10.1.0.0/16"}}, both, "it is simple", "", nil},
		{"no subnets", inactive(), both, "inactive", "it has no subnets", nil},
		{"no SVMs", inactive("10.1.0.0/16"), nil, "inactive", "there is no SVM", nil},
		{"no SVM of the family", inactive("10.1.0.0/16", "fd01::/64"), both[:1], "inactive", "no SVM has an address of IPv6", []string{"IPv4 10.1.0.0/16 10.9.0.7"}},
		{
			"SVMs with names", inactive("10.1.0.0/16"), svmsAt("10.9.0.7", "svm.example"), "inactive",
			`1 SVM is left out, whose address is a name, which a rule can not hold; block it yourself: "svm-2" (00000000-0000-0000-0000-000000000002) at "svm.example"`,
			[]string{"IPv4 10.1.0.0/16 10.9.0.7"},
		},
		{
			"subnets within others, twice, not at their start, and IPv4 in IPv6",
			inactive("10.1.2.0/24", "10.1.0.5/16", "10.1.0.0/16", "::ffff:10.0.0.0/112", "10.2.0.0/16"), svmsAt("10.9.0.7", "10.9.0.7", "::ffff:10.9.0.8"),
			"inactive", "", []string{"IPv4 10.0.0.0/16 10.1.0.0/16 10.2.0.0/16 10.9.0.7 10.9.0.8"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := NewBlock(tt.tenant, tt.svms, nil, "")
			var rules []string
			for _, r := range b.Rules {
				rules = append(rules, strings.Join(strings.Fields(strings.Trim(fmt.Sprintln(r.Family, r.Sources, r.Destinations), "\n")), " "))
			}
			for i := range rules {
				rules[i] = strings.NewReplacer("[", "", "]", "").Replace(rules[i])
			}
			if !slices.Equal(rules, tt.rules) {
				t.Errorf("rules %q, want %q", rules, tt.rules)
			}
			if said := strings.Join(append(b.Cautions, b.Notes...), "\n"); (tt.said == "") != (said == "") || !strings.Contains(said, tt.said) {
				t.Errorf("said: %q, want %q", said, tt.said)
			}
			if b.Due != (tt.reason == "inactive") || !strings.Contains(b.Reason, tt.reason) {
				t.Errorf("due %v: %s", b.Due, b.Reason)
			}
			for _, text := range []string{b.Nftables(), b.Iptables()} {
				if !strings.Contains(text, b.Reason) || !strings.Contains(text, tt.said) {
					t.Errorf("the text does not say so:\n%s", text)
				}
			}
			loads(t, b.Nftables(), b.Iptables())
		})
	}
}

// loads has the tools that are there check texts. They change nothing.
func loads(t *testing.T, nftables, iptables string) {
	t.Helper()
	run := func(stdin string, command ...string) {
		t.Helper()
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %v %s\n%s", command, err, out, stdin)
		}
	}
	if list := missing("nft"); len(list) > 0 {
		t.Logf("nft -c: not tried, for want of %s", strings.Join(list, ", "))
	} else {
		run(nftables, "unshare", "-n", "nft", "-c", "-f", "-")
	}
	run(iptables, "sh", "-n")
	if list := missing("iptables", "ip6tables", "iptables-restore", "ip6tables-restore"); len(list) > 0 {
		t.Logf("iptables-restore --test: not tried, for want of %s", strings.Join(list, ", "))
		return
	}
	for part := range strings.SplitSeq(iptables, "-restore -w --noflush <<'END'\n") {
		rules, _, ok := strings.Cut(part, "\nEND\n")
		if !ok {
			continue
		}
		tool := "iptables-restore"
		if strings.Contains(rules, "::") {
			tool = "ip6tables-restore"
		}
		run(rules+"\n", "unshare", "-n", tool, "--noflush", "--test")
	}
}

// The JSON says what the texts say, and lists are never null.
func TestBlockAsJSON(t *testing.T) {
	tenant := inactive("10.1.0.0/16")
	for _, tt := range []struct {
		b    *Block
		want string
	}{
		{
			NewBlock(tenant, svmsAt("10.9.0.7"), nil, "t-a"),
			`{"tenant":"00000000-0000-0000-0000-0000000000a1","name":"acme","interface":"t-a","cautions":[],"notes":[],` +
				`"due":true,"reason":"it is complete and inactive, so its subnets must not reach SVMs","rules":[{"family":"IPv4","interface":"t-a",` +
				`"sources":["10.1.0.0/16"],"destinations":["10.9.0.7"],"protocol":"tcp","ports":[80,9876,9877,11111,11112],"action":"drop"}]}`,
		},
		{
			NewBlock(&store.Tenant{ID: tenant.ID, Name: "acme", Status: store.Active}, nil, nil, ""),
			`{"tenant":"00000000-0000-0000-0000-0000000000a1","name":"acme","interface":"","cautions":[],"notes":[],` +
				`"due":false,"reason":"it is active, so nothing is to be blocked","rules":[]}`,
		},
	} {
		if got, err := json.Marshal(tt.b); err != nil || string(got) != tt.want {
			t.Errorf("%v %s\nwant %s", err, got, tt.want)
		}
	}
}

// Only tenants that must not be blocked are bystanders, and only if no interface tells
// them apart.
func TestBystanders(t *testing.T) {
	tenant := inactive("10.1.0.0/16", "fd01::/64")
	other := func(id byte, kind store.TenantType, status store.TenantStatus, subnet string) store.Tenant {
		return store.Tenant{ID: store.TenantID{15: id}, Name: fmt.Sprint("t", id), Type: kind, Status: status, Subnets: []string{"172.16.0.0/12", subnet}}
	}
	all := []store.Tenant{
		*tenant, other(1, store.Complete, store.Active, "10.1.2.0/24"), other(2, store.Simple, store.Inactive, "fd00::/8"),
		other(3, store.Complete, store.Inactive, "10.1.0.0/16"), other(4, store.Complete, store.Active, "10.2.0.0/16"),
	}
	b := NewBlock(tenant, svmsAt("10.9.0.7"), all, "")
	want := `these rules also hit 2 tenants that must not be blocked and have overlapping subnets; name the interface by which this tenant reaches the router: ` +
		`"t1" (00000000-0000-0000-0000-000000000001, complete, active) at 10.1.2.0/24, "t2" (00000000-0000-0000-0000-000000000002, simple, inactive) at fd01::/64`
	if got := strings.Join(b.Cautions, "\n"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if !strings.Contains(b.Nftables(), Caution+want) || !strings.Contains(b.Iptables(), Caution+want) {
		t.Error("the texts do not say so")
	}
	if b := NewBlock(tenant, svmsAt("10.9.0.7"), all, "t-a"); len(b.Cautions) > 0 {
		t.Errorf("by its own interface: %q", b.Cautions)
	}
}

// Overlaps are found by a search in sorted networks; here by looking at all.
func TestOverlap(t *testing.T) {
	network := rapid.Custom(func(t *rapid.T) string {
		addr := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 3).Draw(t, "b")) << 6, byte(rapid.IntRange(0, 3).Draw(t, "c")) << 6})
		bits := rapid.IntRange(8, 24).Draw(t, "bits")
		if rapid.Bool().Draw(t, "6") {
			addr, bits = netip.AddrFrom16([16]byte{0xfd, addr.As4()[1], addr.As4()[2]}), bits-8
		}
		return netip.PrefixFrom(addr, bits).String()
	})
	rapid.Check(t, func(t *rapid.T) {
		ours := rapid.SliceOfN(network, 0, 6).Draw(t, "ours")
		theirs := netip.MustParsePrefix(network.Draw(t, "theirs")).Masked()
		sorted := networks(ours)
		want := slices.ContainsFunc(ours, func(o string) bool { return netip.MustParsePrefix(o).Overlaps(theirs) })
		if p, got := overlap(sorted, theirs); got != want || got && !p.Overlaps(theirs) {
			t.Fatalf("%v and %v: %v, %v, want %v", sorted, theirs, p, got, want)
		}
		for _, o := range ours {
			holder := func(s netip.Prefix) bool { return s.Overlaps(netip.MustParsePrefix(o)) }
			if n := len(slices.DeleteFunc(slices.Clone(sorted), func(s netip.Prefix) bool { return !holder(s) })); n != 1 {
				t.Fatalf("%s is in %d of %v", o, n, sorted)
			}
		}
	})
}

// Rules do not become more with SVMs times subnets, and are loaded in a moment.
func TestLargeTable(t *testing.T) {
	tenant, all := inactive(), []store.Tenant{}
	var addresses []string
	for i := range 4000 {
		addresses = append(addresses, fmt.Sprintf("10.9.%d.%d", i/250, i%250), fmt.Sprintf("fd09::%x", i+1))
	}
	for i := range 100 {
		tenant.Subnets = append(tenant.Subnets, fmt.Sprintf("10.1.%d.0/24", i), fmt.Sprintf("fd01:%x::/32", i))
	}
	for i := range 10_000 {
		all = append(all, store.Tenant{ID: store.TenantID{1, byte(i >> 8), byte(i)}, Name: "other", Status: store.Active, Subnets: tenant.Subnets[:2]})
	}
	start := time.Now()
	b := NewBlock(tenant, svmsAt(addresses...), all, "")
	nftables, iptables := b.Nftables(), b.Iptables()
	written := time.Since(start)
	if n := strings.Count(nftables, "drop"); n != 2 {
		t.Errorf("%d rules for nftables, want 2", n)
	}
	if n := strings.Count(iptables, "\n-A "); n != 2*(4000+100) {
		t.Errorf("%d rules for iptables, want %d", n, 2*(4000+100))
	}
	if n := strings.Count(nftables, `"other"`); n != maxNamed {
		t.Errorf("%d of 10000 tenants are named, want %d", n, maxNamed)
	}
	start = time.Now()
	loads(t, nftables, iptables)
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("to check 4,000 SVMs took %s", took)
	} else {
		t.Logf("4,000 SVMs of each family, 200 subnets, 10,000 tenants: written in %s, checked in %s", written, took)
	}
}
