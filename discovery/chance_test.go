package discovery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Chances are what an explanation says of the same VM.
func TestChancesAgreeWithExplain(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	met := map[discovery.Chance]int{}
	for n := range worlds(60, func() bool { return len(met) == int(discovery.UsableLocal)+1 }) {
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
			var chances []discovery.Chance
			st.table.ScanVMs(func(_ int, id store.BIOSID, slot store.Slot) bool {
				e := st.standing.Explain(&discovery.Query{BIOS: id})
				if chances = st.standing.Chances(chances, slot); e.Result == discovery.NotRegistered.String() {
					return true
				}
				want := map[store.SVMID]discovery.Chance{}
				for i := range e.Candidates {
					switch c := &e.Candidates[i]; {
					case !c.Admitted():
					case !c.Up():
						want[c.ID] = discovery.Waiting
					case c.Local:
						want[c.ID] = discovery.UsableLocal
					default:
						want[c.ID] = discovery.Usable
					}
				}
				for i, got := range chances {
					if entry := st.table.View().SVM(i); entry == nil && got != discovery.Refused || entry != nil && got != want[entry.ID] {
						t.Fatalf("seed %d, world %d: SVM %d of %d: %v, want %v", seed, n, i, len(chances), got, want[entry.ID])
					}
					met[got]++
				}
				return true
			})
		})
	}
	for chance := range discovery.UsableLocal + 1 {
		if met[chance] == 0 {
			t.Errorf("chance %d was never met: %v", chance, met)
		}
	}
}
