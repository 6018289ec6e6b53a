package firewall

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// dmz is what the tenants' addresses are translated to.
var dmz = []netip.Prefix{netip.MustParsePrefix("10.9.0.1/24"), netip.MustParsePrefix("fd09::1/64")}

// alike are two tenants with the same subnets, the second of them active, and their SVMs.
func alike() (tenants []store.Tenant, svms []store.SVM) {
	for i, name := range []string{"a", "b"} {
		tenants = append(tenants, store.Tenant{
			ID: store.TenantID{15: byte(i + 1)}, Name: name, Status: store.TenantStatus(i), Subnets: []string{"10.1.0.0/16", "fd01::/64"},
		})
	}
	for i, svm := range svmAddresses {
		svms = append(svms, store.SVM{ID: store.SVMID{15: byte(i + 1)}, SVMConfig: store.SVMConfig{Address: svm.address}})
	}
	return tenants, svms
}

func TestPacketsNftables(t *testing.T) {
	if !inside(t, "nft") {
		return
	}
	packets(t, (*Block).Nftables, (*Translation).Nftables, []string{"nft", "-f", "-"}, func(r router) string {
		return r.sh("nft list ruleset")
	})
}

func TestPacketsIptables(t *testing.T) {
	if !inside(t, "iptables", "ip6tables", "iptables-restore", "ip6tables-restore") {
		return
	}
	packets(t, (*Block).Iptables, (*Translation).Iptables, []string{"sh"}, func(r router) string {
		return r.sh("(iptables-save; ip6tables-save) | grep svmgate || true")
	})
}

// packets follows two tenants with the same subnets through what happens to one of them.
func packets(t *testing.T, block func(*Block) string, translate func(*Translation) string, load []string, rules func(router) string) {
	r := newRouter(t)
	tenants, svms := alike()
	a, b := &tenants[0], &tenants[1]
	apply := func(text string) {
		t.Helper()
		cmd := exec.Command(load[0], load[1:]...)
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%v: %s\n%s", err, out, text)
		}
	}
	var translations []string
	for i, iface := range []Interface{"t-a", "t-b"} {
		snat, err := NewTranslation(&tenants[i], svms, tenants, dmz, iface, Zone(i+1))
		check(t, err)
		translations = append(translations, translate(snat))
		apply(translations[i])
		r.commands(translations[i])
	}
	apply(translations[0])
	translated := rules(r)
	r.expect("both are open", "a", false)
	r.expect("both are open", "b", false)
	r.samePort()

	held, again := r.start("a", dialKey+"=10.9.0.7:80")
	apply(translations[0])
	if reloaded := again("10.9.0.7:80"); !strings.Contains(held, "10.9.0.1") || reloaded != held {
		t.Errorf("translation anew: %s, then %s", held, reloaded)
	}
	blockA := func() string { return block(NewBlock(a, svms, tenants, "t-a")) }
	apply(blockA())
	apply(blockA())
	apply(block(NewBlock(b, svms, tenants, "t-b")))
	r.expect("a is inactive", "a", true)
	r.expect("a is inactive", "b", false)
	if after := again("10.9.0.7:80!"); strings.Contains(after, "10.9.0.1") {
		t.Errorf("a connection from before: %s, then %s", held, after)
	}

	a.Status = store.Active
	apply(blockA())
	r.expect("a is active again", "a", false)
	if now := rules(r); now != translated {
		t.Errorf("an active tenant leaves rules:\n%s\nwant\n%s", now, translated)
	}

	a.Status = store.Inactive
	unnamed := NewBlock(a, svms, tenants, "")
	apply(block(unnamed))
	r.expect("the interface was not named", "b", true)
	if text := strings.Join(unnamed.Cautions, "\n"); !strings.Contains(text, `hit 1 tenant that must not be blocked and has overlapping subnets`) || !strings.Contains(text, `"b" (`+b.ID.String()+`, complete, active) at 10.1.0.0/16`) {
		t.Errorf("nobody is warned: %q", text)
	}

	a.Subnets = nil
	apply(block(NewBlock(a, svms, tenants, "")))
	gone, err := NewTranslation(a, svms, tenants, dmz, "t-a", 1)
	check(t, err)
	apply(translate(gone))
	r.expect("a has no subnets any more", "b", false)
	b.Subnets = nil
	gone, err = NewTranslation(b, svms, tenants, dmz, "", 0)
	check(t, err)
	apply(translate(gone))
	if left := rules(r); left != "" {
		t.Errorf("rules are left:\n%s", left)
	}
}

// commands runs those that the comments of a text name.
func (r router) commands(text string) {
	r.t.Helper()
	n := 0
	for line := range strings.Lines(text) {
		if command, ok := strings.CutPrefix(line, comment+"  "); ok {
			r.sh(command)
			n++
		}
	}
	if n == 0 {
		r.t.Errorf("no command in\n%s", text)
	}
}

// samePort has both tenants connect at a time, from the same address and port to the
// same address and port.
func (r router) samePort() {
	r.t.Helper()
	for i, address := range []string{"10.9.0.7:443", "[fd09::7]:443"} {
		port := fmt.Sprintf("%s=%d", localKey, 40000+i)
		want, a := r.start("a", dialKey+"="+address, port)
		_, b := r.start("b", dialKey+"="+address, port)
		for range 2 {
			if a, b := a(address), b(address); a != want || b != want || strings.Contains(want, `""`) {
				r.t.Errorf("two from one port to %s: %s and %s, and %s at first", address, a, b, want)
			}
		}
	}
}
