package discovery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// What is explained of a newcomer is what is explained of it once it is registered.
func TestExplainNewcomerAgreesWithExplain(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	results := map[string]int{}
	for n := range worlds(30, metAll(results, "assigned", "inactive", "no_svm")) {
		sc := newScript(seed, n, 0)
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, sc.rules)
			for _, s := range sc.steps {
				if c, ok := s.(change); ok {
					st.must(t, c)
				}
			}
			ids := randomBIOSIDs(6)
			for i, tenant := range st.table.Tenants() {
				q := discovery.Query{BIOS: ids[i], Version: mustVersion("12.0"), Kind: store.AgentLinux}
				got, ok := st.standing.ExplainNewcomer(tenant.ID, &q)
				if _, registered := st.table.VM(q.BIOS); !ok || registered {
					t.Fatalf("seed %d, world %d: explained: %v, registered: %v", seed, n, ok, registered)
				}
				if err := st.table.Update(func(tx *store.Tx) error {
					_, err := tx.PutVM(store.VM{BIOS: q.BIOS, Tenant: tenant.ID})
					return err
				}); err != nil {
					t.Fatal(err)
				}
				want := st.standing.Explain(&q)
				if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(discovery.Candidate{})); diff != "" {
					t.Fatalf("seed %d, world %d (-registered +newcomer):\n%s", seed, n, diff)
				}
				results[want.Result]++
			}
			if _, ok := st.standing.ExplainNewcomer(store.TenantID{1, 2, 3}, &discovery.Query{}); ok {
				t.Error("a newcomer of nobody is explained")
			}
		})
	}
	if results["assigned"] == 0 || results["inactive"] == 0 || results["no_svm"] == 0 {
		t.Errorf("met %v", results)
	}
}
