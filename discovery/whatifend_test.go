package discovery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// In the end agents have moved to SVMs that come until none is far above its share; and
// so it is, some hours later.
func TestWhatIfInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := crowded(t, 6, 1200)
		f := whatIf(t, st, discovery.Change{More: 2})
		added := map[store.SVMID]int{}
		for i, s := range f.SVMs {
			if limit := s.Fair*discovery.RebalanceAbove/100 + 2; s.InTheEnd > limit || s.Fair < 145 || s.Fair > 155 {
				t.Errorf("SVM %s has %d agents in the end, %d are fair", s.Name, s.InTheEnd, s.Fair)
			}
			if s.Change == "added" {
				svm := plainSVM(i, 1000)
				svm.id = s.ID
				st.must(t, putSVM(svm))
				added[s.ID] = s.InTheEnd
				if s.AtOnce > s.InTheEnd/2 {
					t.Errorf("%s has %d agents at once, and %d in the end: it starts too fast", s.Name, s.AtOnce, s.InTheEnd)
				}
			}
		}
		st.live(t, 6*time.Hour)
		for i, s := range f.SVMs {
			if now := st.table.Agents(i); now < s.InTheEnd-s.Fair/5 || now > s.InTheEnd+s.Fair/5 { // turns are taken a little too often
				t.Errorf("%s has %d agents after six hours, the forecast is %d", s.Name, now, s.InTheEnd)
			}
		}
	})
}

// live lets time pass as in life: all agents ask every five minutes, and then all SVMs
// report.
func (st *stage) live(t *testing.T, d time.Duration) {
	t.Helper()
	at := map[store.BIOSID]store.SVMID{}
	for ; d > 0; d -= 5 * time.Minute {
		count := map[store.SVMID]int{}
		for bios := range st.world.vms {
			q, a := discovery.Query{BIOS: bios, Current: at[bios]}, discovery.Answer{}
			st.standing.Select(&q, &a)
			at[bios] = a.SVMs()[0].SVM.ID
			count[at[bios]]++
		}
		for id := range st.world.svms {
			st.must(t, reportSVM(id, count[id], "", func(*store.SVMFacts) {}))
		}
		time.Sleep(5 * time.Minute)
	}
}

// What drains has no agents in the end, and what has not been settled is returned to.
func TestWhatIfTurnsEnd(t *testing.T) {
	st := crowded(t, 4, 200)
	st.must(t, configureSVM(plainSVM(1, 0).id, "draining", func(s *svm) { s.written = store.Draining }))
	st.standing.Wait()
	st.standing.Force(plainSVM(1, 0).id, discovery.Traits{Open: 8, Leaving: 0})
	f := whatIf(t, st, discovery.Change{})
	if s := f.SVMs[1]; s.AtOnce != s.Before || s.Before == 0 || s.InTheEnd != 0 || f.Moves.InTheEnd != s.Before || f.Moves.Anyway != s.Before {
		t.Errorf("of an SVM that drains %+v is forecast, and %+v", s, f.Moves)
	}
}
