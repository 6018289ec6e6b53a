package discovery_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A fleet is agents that live as they do: each asks, connects to the first SVM that it
// is told, and asks again. SVMs report how many are connected. It lives in a bubble.
type fleet struct {
	*stage
	t      *testing.T
	agents []store.BIOSID
	at     map[store.BIOSID]store.SVMID // where agents are connected
	says   bool                         // agents say where
	asks   int                          // agents that have asked so far, in turn
	moves  map[store.BIOSID]int
}

// inFleet runs test with a fleet of so many agents and SVMs, in a bubble. Agents are
// registered, and have not asked yet.
func inFleet(t *testing.T, agents int, says bool, svms []change, test func(f *fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{
			stage: newStage(t, rules{dead: "192.0.2.1"}, svms...), t: t, says: says,
			at: map[store.BIOSID]store.SVMID{}, moves: map[store.BIOSID]int{},
		}
		f.join(agents, store.Path{})
		test(f)
	})
}

// join registers further agents.
func (f *fleet) join(n int, path store.Path) {
	f.t.Helper()
	known := len(f.agents)
	var cs []change
	for _, bios := range randomBIOSIDs(known + n)[known:] {
		f.agents = append(f.agents, bios)
		cs = append(cs, putVM(store.VM{BIOS: bios, Path: path, OS: store.OSServer}))
	}
	f.must(f.t, cs...)
	f.standing.Wait()
}

// ask lets agents ask that are next in turn, and returns how many have moved.
func (f *fleet) ask(n int) (moved int) {
	f.t.Helper()
	for range n {
		bios := f.agents[f.asks%len(f.agents)]
		f.asks++
		q := discovery.Query{BIOS: bios, Limit: 1}
		was, ok := f.at[bios]
		if f.says {
			q.Current = was
		}
		var a discovery.Answer
		f.standing.Select(&q, &a)
		if a.Result != discovery.Assigned {
			f.t.Fatalf("agent %v gets %v", bios, a.Result)
		}
		if f.at[bios] = a.SVMs()[0].SVM.ID; ok && f.at[bios] != was {
			moved++
			f.moves[bios]++
		}
	}
	return moved
}

// connected counts agents by SVM.
func (f *fleet) connected() map[store.SVMID]int {
	n := map[store.SVMID]int{}
	for _, id := range f.at {
		n[id]++
	}
	return n
}

// report has all SVMs report that are not silent.
func (f *fleet) report(silent ...store.SVMID) {
	f.t.Helper()
	n := f.connected()
	var cs []change
	for id := range f.world.svms {
		if len(silent) == 0 || silent[0] != id {
			cs = append(cs, reportSVM(id, n[id], "", func(*store.SVMFacts) {}))
		}
	}
	f.must(f.t, cs...)
}

// live lets time pass in which each agent asks every five minutes, and SVMs report every
// ten seconds. It returns how many agents moved.
func (f *fleet) live(d time.Duration, silent ...store.SVMID) (moved int) {
	f.t.Helper()
	const every, asking = 10, 300 // seconds
	for end := time.Now().Add(d); time.Now().Before(end); {
		moved += f.ask((len(f.agents)*every + asking - 1) / asking)
		f.report(silent...)
		f.wait(every * time.Second)
	}
	return moved
}

// reporting is an SVM that is up while it reports.
func reporting(i int) svm {
	s := plainSVM(i, 1000)
	s.config.Pinned = false
	return s
}

func reportingSVMs(n int) (cs []change) {
	for i := range n {
		cs = append(cs, putSVM(reporting(i)))
	}
	return cs
}

func bothWays(t *testing.T, test func(t *testing.T, says bool)) {
	for _, says := range []bool{false, true} {
		t.Run(fmt.Sprintf("current=%v", says), func(t *testing.T) { test(t, says) })
	}
}

// Agents stay where they are, but those of the SVM that is lost.
func TestLosingAnSVMMovesExactlyItsAgents(t *testing.T) {
	bothWays(t, func(t *testing.T, says bool) {
		inFleet(t, 3000, says, plainSVMs(16), func(f *fleet) {
			f.ask(3000)
			for i, lose := range []func(store.SVMID) change{
				forgetSVM,
				func(id store.SVMID) change { return configureSVM(id, "down", func(s *svm) { s.written = store.Down }) },
				func(id store.SVMID) change {
					return change{"drained at once", func(_ *world, tx *store.Tx) error {
						_, err := tx.DrainSVM(id, 0)
						return err
					}}
				},
			} {
				lost := plainSVM(i, 0).id
				f.standing.Wait()
				had := f.connected()[lost]
				f.must(t, lose(lost))
				if moved := f.ask(3000); moved != had || had == 0 {
					t.Errorf("%d agents moved, the SVM had %d", moved, had)
				}
			}
		})
	})
}

// A new SVM gets newcomers until it has its share, and moves nobody.
func TestANewSVMMovesNobody(t *testing.T) {
	bothWays(t, func(t *testing.T, says bool) {
		inFleet(t, 3000, says, reportingSVMs(9), func(f *fleet) {
			f.live(10 * time.Minute)
			added := reporting(9)
			f.must(t, putSVM(added))
			f.live(discovery.SlowStart)
			for range 10 {
				f.join(60, store.Path{})
				f.asks = len(f.agents) - 60
				f.ask(60)
				f.live(time.Minute)
			}
			if len(f.moves) != 0 {
				t.Errorf("%d agents moved", len(f.moves))
			}
			// A tenth of them would be by chance, and a tenth of all 3,600 is its share.
			if got := f.connected()[added.id]; got < 120 || got > 360*discovery.SoftCap/100 {
				t.Errorf("the new SVM has %d agents of 600 that came", got)
			}
		})
	})
}

// Nobody moves while nothing changes.
func TestNobodyMovesInASteadyHour(t *testing.T) {
	bothWays(t, func(t *testing.T, says bool) {
		inFleet(t, 1500, says, reportingSVMs(12), func(f *fleet) {
			if moved := f.live(time.Hour); moved != 0 {
				t.Errorf("%d agents moved in an hour", moved)
			}
		})
	})
}

// An SVM that comes and goes drags nobody to and fro: agents leave it once, and come
// back when it has stayed up.
func TestAFlappingLocalSVMDragsNobody(t *testing.T) {
	here := store.Path{Host: "here"}
	local := reporting(0)
	local.facts.Path = here
	bothWays(t, func(t *testing.T, says bool) {
		inFleet(t, 100, says, append(reportingSVMs(8)[1:], putSVM(local)), func(f *fleet) {
			f.join(300, here)
			atHome := func() (n int) {
				for _, bios := range f.agents[100:] {
					if f.at[bios] == local.id {
						n++
					}
				}
				return n
			}
			f.live(5 * time.Minute)
			if got := atHome(); got != 300 {
				t.Fatalf("%d of 300 agents are on their local SVM", got)
			}
			for range 15 {
				f.live(time.Minute, local.id) // svmTTL is less
				f.live(time.Minute)
			}
			for bios, n := range f.moves {
				if n > 1 {
					t.Errorf("agent %v moved %d times while an SVM flapped for half an hour", bios, n)
				}
			}
			if left := 300 - atHome(); left == 0 {
				t.Error("nobody left the SVM")
			}
			f.live(discovery.SlowStart + 20*time.Minute)
			if got := atHome(); got != 300 {
				t.Errorf("%d of 300 agents are back on their local SVM after it stayed up", got)
			}
		})
	})
}

// Agents of SVMs that have too many move at no more than one percent a minute, and stop
// when there are not too many.
func TestRebalancingTakesItsTime(t *testing.T) {
	const agents = 4000
	bothWays(t, func(t *testing.T, says bool) {
		inFleet(t, agents, says, reportingSVMs(2), func(f *fleet) {
			f.live(10 * time.Minute)
			for i := range 6 {
				f.must(t, putSVM(reporting(2+i)))
			}
			f.live(discovery.SlowStart)
			total := 0
			for minute := range 60 {
				moved := 0
				for range 5 {
					moved += f.live(time.Minute)
				}
				total += moved
				if bound := 5 * agents / 100; float64(moved) > float64(bound)+4*math.Sqrt(float64(bound)) {
					t.Errorf("in five minutes from minute %d on %d of %d agents moved", 5*minute, moved, agents)
				}
				if moved == 0 {
					break
				}
			}
			for id, n := range f.connected() {
				if n > agents/8*discovery.RebalanceAbove/100+1 {
					t.Errorf("after %d moves %v still has %d of %d agents", total, id, n, agents)
				}
			}
		})
	})
}
