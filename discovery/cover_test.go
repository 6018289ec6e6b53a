package discovery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Covers are what explanations say of the same VMs, one by one.
func TestCoversAgreeWithExplain(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	met := map[discovery.Cover]int{}
	for n := range worlds(60, func() bool { return len(met) == int(discovery.NumCovers) }) {
		sc := newScript(seed, n, 0)
		synctest.Test(t, func(t *testing.T) {
			st := newStage(t, sc.rules)
			for _, s := range sc.steps {
				switch s := s.(type) {
				case change:
					st.must(t, s)
				case wait:
					st.wait(time.Duration(s))
				}
			}
			synctest.Wait()
			st.pulse()
			covers := st.standing.Covers()
			st.table.ScanVMs(func(_ int, id store.BIOSID, slot store.Slot) bool {
				e := st.standing.Explain(&discovery.Query{BIOS: id})
				got, ok := covers.Of(slot)
				if want := e.Result != discovery.NotRegistered.String(); ok != want {
					t.Fatalf("seed %d, world %d: registered: %v, want %v", seed, n, ok, want)
				}
				want := discovery.CoverNone
				for i := range e.Candidates {
					switch c := &e.Candidates[i]; {
					case !c.Admitted():
					case !c.Licensed:
						want = max(want, discovery.CoverUnlicensed)
					case !c.KeyMatch:
						want = max(want, discovery.CoverOtherKey)
					default:
						want = discovery.CoverMatching
					}
				}
				if got != want {
					t.Fatalf("seed %d, world %d: %s has cover %v, want %v", seed, n, id, got, want)
				}
				met[got]++
				return true
			})
		})
	}
	for cover := range discovery.Cover(discovery.NumCovers) {
		if met[cover] == 0 {
			t.Errorf("cover %d was never met: %v", cover, met)
		}
	}
}

// A VM may be heard of before its tenant is.
func TestCoversOfAnUnknownTenant(t *testing.T) {
	there, here := openTable(t), openTable(t)
	if err := there.Update(func(tx *store.Tx) error {
		tenant := store.TenantID{1}
		_, err := tx.PutTenant(store.Tenant{ID: tenant, Name: "late"})
		if err == nil {
			_, err = tx.PutVM(store.VM{BIOS: store.BIOSID{1}, Tenant: tenant})
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var tenants, others []store.Record
	there.Records(func(r store.Record) bool {
		r.Value = append([]byte(nil), r.Value...)
		if r.Key.Kind == store.KindTenant {
			tenants = append(tenants, r)
		} else {
			others = append(others, r)
		}
		return true
	})
	selector, err := discovery.New(discovery.Config{Table: here})
	if err != nil {
		t.Fatal(err)
	}
	defer selector.Close()
	for i, records := range [][]store.Record{others, tenants} {
		if _, err := here.Apply(store.Batch{Records: records}); err != nil {
			t.Fatal(err)
		}
		covers, met := selector.Covers(), 0
		here.ScanVMs(func(_ int, _ store.BIOSID, slot store.Slot) bool {
			met++
			if _, ok := covers.Of(slot); ok != (i == 1) {
				t.Errorf("after %d of 2 batches: %v", i+1, ok)
			}
			return true
		})
		if met != 1 {
			t.Errorf("%d VMs are there", met)
		}
	}
}

func openTable(t *testing.T) *store.Table {
	t.Helper()
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}
