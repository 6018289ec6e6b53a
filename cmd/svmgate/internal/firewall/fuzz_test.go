package firewall

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// Whatever names and addresses are, the rules do not depend on them, and comments are
// short lines of printable ASCII.
func FuzzNamesStayInComments(f *testing.F) {
	for _, name := range []string{"acme", "a\nadd table inet evil", "\"; reboot; #", "*/ x", "END", "$(reboot)`reboot`", "\\", "é\u2028\u202e", "\xff\x00\r", strings.Repeat("ab", 5000)} {
		f.Add(name, "svm.example")
		f.Add("acme", name)
	}
	f.Fuzz(func(t *testing.T, name, address string) {
		texts := func(name, address string) (all []string) {
			tenant := inactive("10.1.0.0/16", "fd01::/64")
			tenant.Name = name
			svms := append(svmsAt("10.9.0.7"), store.SVM{SVMConfig: store.SVMConfig{Name: name, Address: address}})
			others := []store.Tenant{{ID: store.TenantID{15: 1}, Name: name, Status: store.Active, Subnets: tenant.Subnets}}
			b := NewBlock(tenant, svms, others, "")
			snat, err := NewTranslation(tenant, svms, others, dmz, "", 0)
			check(t, err)
			return []string{b.Nftables(), b.Iptables(), snat.Nftables(), snat.Iptables()}
		}
		if _, err := netip.ParseAddr(address); err == nil {
			return
		}
		plain := texts("", "")
		for i, text := range texts(name, address) {
			if got, want := withoutComments(text), withoutComments(plain[i]); got != want {
				t.Errorf("names %q, %q change the rules:\n%s\nwant\n%s", name, address, got, want)
			}
			for line := range strings.Lines(text) {
				line = strings.TrimSuffix(line, "\n")
				if strings.HasPrefix(line, "#") && (len(line) > 4096 || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' })) {
					t.Errorf("a comment: %q", line)
				}
			}
		}
	})
}

func withoutComments(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// The name of an interface is a word for every tool, or none.
func FuzzInterface(f *testing.F) {
	for _, name := range []string{"t-a", "eth0.17", "", ".", "-i", "a b", "a\"", "eth+", "eth*", "a\nb", "abcdefghijklmnop", "_", "é"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		var i Interface
		err := i.UnmarshalText([]byte(name))
		word := name != "" && len(name) <= 15 && name[0] != '-' && name[0] != '.' &&
			strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == ""
		if (err == nil) != word || err == nil && string(i) != name {
			t.Errorf("%q: %v, %v", name, i, err)
		}
	})
}
