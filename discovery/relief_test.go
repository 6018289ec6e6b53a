package discovery_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A round is everybody asking once within five minutes, saying where it is: connected. SVMs
// that agents come to or leave report it. It returns how many moved.
func (st *stage) round(t *testing.T, connected map[store.BIOSID]store.SVMID, ids []store.BIOSID) (moves int) {
	t.Helper()
	for _, id := range ids {
		time.Sleep(5 * time.Minute / time.Duration(len(ids)))
		st.standing.Wait()
		from := connected[id]
		var a discovery.Answer
		st.standing.Select(&discovery.Query{BIOS: id, OS: store.OSServer, Current: from}, &a)
		to := a.SVMs()[0].SVM.ID
		if to == from {
			continue
		}
		moves++
		connected[id] = to
		loads := loadsOf(connected)
		for _, svm := range []store.SVMID{from, to} {
			st.must(t, reportSVM(svm, loads[svm], "", func(*store.SVMFacts) {}))
		}
	}
	return moves
}

func loadsOf(connected map[store.BIOSID]store.SVMID) map[store.SVMID]int {
	loads := map[store.SVMID]int{}
	for _, svm := range connected {
		loads[svm]++
	}
	return loads
}

// settle puts so many agents on each of some SVMs, and returns where they are.
func (st *stage) settle(t *testing.T, svms []svm) (map[store.BIOSID]store.SVMID, []store.BIOSID) {
	t.Helper()
	agents := 0
	for _, s := range svms {
		st.must(t, putSVM(s))
		agents += s.reported
	}
	ids, connected := randomBIOSIDs(agents), map[store.BIOSID]store.SVMID{}
	for _, s := range svms {
		for range s.reported {
			id := ids[len(connected)]
			st.must(t, putVM(store.VM{BIOS: id, OS: store.OSServer}))
			connected[id] = s.id
		}
	}
	st.standing.Wait()
	return connected, ids
}

// Where five agents are on one SVM, three on all others and 3.2 are fair, nobody is below
// the soft cap. One of the five moves all the same, once.
func TestOneOfFiveMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStage(t, rules{dead: "192.0.2.1"})
		var svms []svm
		for i := range 16 {
			svms = append(svms, plainSVM(i, 1000))
			svms[i].reported = 3
		}
		svms[7].reported = 5
		connected, ids := st.settle(t, svms)
		moves := 0
		for range 12 {
			moves += st.round(t, connected, ids)
		}
		if left := loadsOf(connected)[svms[7].id]; left != 4 || moves != 1 {
			t.Errorf("after an hour and %d moves there are %d of 5 agents left, want 4 after 1", moves, left)
		}
	})
}

// However agents are spread at first, over whatever SVMs, moving comes to an end.
func TestMovesComeToAnEnd(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			st := newStage(t, rules{dead: "192.0.2.1"})
			var svms []svm
			for i := range 10 {
				svms = append(svms, plainSVM(i, []int{250, 1000, 4000}[r.IntN(3)]))
				svms[i].reported = r.IntN(2 + 8*r.IntN(2))
			}
			connected, ids := st.settle(t, svms)
			moves, since := 0, 0
			for round := 1; round <= 30; round++ {
				if n := st.round(t, connected, ids); n > 0 {
					moves, since = moves+n, round
				}
			}
			if moves == 0 || moves > len(ids) || since > 20 {
				t.Errorf("seed %d: %d agents moved %d times, the last in round %d of 30", seed, len(ids), moves, since)
			}
		})
	}
}

// An agent that does not say where it is may have been sent elsewhere by another gateway.
// Where one more would be too many it is not sent back; on a gateway that is alone it stays,
// and so does one that says what it has.
func TestWhoMayBeElsewhereIsNotSentBack(t *testing.T) {
	for _, tt := range []struct {
		name      string
		gateways  int
		says      bool
		has, rest int
		moves     bool
	}{
		{"one more would be too many", 2, false, 4, 3, true},
		{"and there is nothing better", 2, false, 4, 4, false},
		{"one more would be fair", 2, false, 3, 3, false},
		{"it says that it is there", 2, true, 4, 3, false},
		{"there is no other gateway", 1, false, 4, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGang(t, tt.gateways, nil)
				for n := range byte(16) {
					g.put(n+1, func(s *store.SVM) {
						if s.ConnectedAgents = tt.rest; n == 0 {
							s.ConnectedAgents = tt.has
						}
					})
				}
				agents := randomBIOSIDs(20)
				for _, bios := range agents {
					g.update(g.all[0], func(tx *store.Tx) (bool, error) { return tx.PutVM(store.VM{BIOS: bios, OS: store.OSServer}) })
				}
				g.spread()
				time.Sleep(time.Minute)
				g.beat()
				moved, w := 0, g.all[0]
				for _, bios := range agents {
					q := discovery.Query{BIOS: bios}
					if tt.says {
						q.Current = store.SVMID{1}
					}
					slot, _ := w.table.Lookup(&bios)
					slot.Assign(0)
					var a discovery.Answer
					w.sel.Decide(&q, &a)
					e := w.sel.Explain(&q)
					if a.SVMs()[0].SVM.ID != e.Candidates[0].ID {
						t.Fatalf("it explains otherwise than it decides: %s", e.Sentence)
					}
					if a.SVMs()[0].SVM.ID == (store.SVMID{1}) {
						continue
					}
					moved++
					if !strings.Contains(e.Sentence, "to the least loaded of the first 8 in its order") {
						t.Errorf("it says %s", e.Sentence)
					}
				}
				want := 0
				if tt.moves {
					want = len(agents)
				}
				if moved != want {
					t.Errorf("%d of %d agents move, want %d", moved, len(agents), want)
				}
			})
		})
	}
}
