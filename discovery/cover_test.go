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
	for n := range uint64(60) {
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
