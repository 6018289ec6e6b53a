package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// newCrowd is a gateway with four SVMs and 200 agents of two tenants, who have asked.
func newCrowd(t *testing.T) *gateway {
	t.Helper()
	g := newGateway(t)
	tenants := []store.TenantID{{15: 1}, {15: 2}}
	check(t, g.table.Update(func(tx *store.Tx) error {
		for i, name := range []string{"acme", "globex"} {
			tenant := store.Tenant{ID: tenants[i], Name: name, Discovery: store.DefaultDiscovery()}
			if _, err := tx.PutTenant(tenant); err != nil {
				return err
			}
		}
		if _, err := tx.SetActive(tenants[0], true); err != nil {
			return err
		}
		for i := range 4 {
			svm := store.SVM{ID: store.SVMID{15: byte(i + 1)}}
			svm.Name, svm.Address, svm.HardCap = fmt.Sprint("svm-", i+1), fmt.Sprint("10.9.0.", i+1), 100*(i/3)
			svm.License.State, svm.Version = store.LicenseValid, "6.0"
			if _, err := tx.PutSVM(svm); err != nil {
				return err
			}
		}
		for i := range 200 {
			if _, err := tx.PutVM(store.VM{BIOS: store.BIOSID{0: byte(i), 15: 1}, Tenant: tenants[i/150]}); err != nil {
				return err
			}
		}
		return nil
	}))
	return g
}

func TestWhatIf(t *testing.T) {
	g := newCrowd(t)
	for _, tt := range []struct {
		args string
		want []string
	}{
		{"", []string{"Of 200 agents nobody would move.", "with an SVM", "tenant inactive", "4 SVMs whose load stays the same"}},
		{"--lose svm-3", []string{"Of 200 agents ", " would move at once", "lost", "FAIR SHARE", "svm-3  svm-1", "acme"}},
		{"--lose svm-1,svm-2 --lose svm-3 --lose svm-4", []string{"150 agents of 1 tenant would have no SVM: for 150 none passes"}},
		{"--lose svm-1,svm-2,svm-3", []string{"for 0 none passes the filters, for 50 all", "1 SVM would be at the hard cap", "full"}},
		{"--add 2 --like svm-1", []string{"new-1", "new-2", "added"}},
		{"--activate globex", []string{"Of 200 agents nobody would move.", "50 agents fewer would belong to an inactive tenant"}},
		{"--deactivate acme --agents globex=10,5", []string{"165 agents more would belong to an inactive tenant", "tenant inactive      50"}},
	} {
		out := g.must(append([]string{"whatif"}, strings.Fields(tt.args)...)...)
		wantAll(t, "whatif "+tt.args, out, tt.want...)
		t.Logf("whatif %s\n%s", tt.args, out)
	}
	var f discovery.Forecast
	check(t, json.Unmarshal([]byte(g.must("whatif", "--agents", "7,acme=2", "--output", "json")), &f))
	if f.Newcomers != 9 {
		t.Errorf("--agents 7,acme=2: %d newcomers, want 9", f.Newcomers)
	}
	for _, tt := range []struct {
		args string
		exit int
		want string
	}{
		{"--lose svm-9", 1, `lose[0]: there is no SVM with the id or the name "svm-9"`},
		{"--agents many", 2, "want a number such as 500"},
		{"--agents =3", 2, "want a number"},
		{"--lose svm-1 svm-2", 2, "one argument too many"},
		{"--add some", 2, "invalid argument"},
	} {
		if r := g.run(append([]string{"whatif"}, strings.Fields(tt.args)...)...); r.exit() != tt.exit || !strings.Contains(r.err.Error(), tt.want) {
			t.Errorf("whatif %s: exit %d, %v; want %d with %q", tt.args, r.exit(), r.err, tt.exit, tt.want)
		}
	}
}
