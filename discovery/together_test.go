package discovery_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// This file is about many who ask at the same time, or of several gateways.

func registered(agents []store.BIOSID) (cs []change) {
	for _, bios := range agents {
		cs = append(cs, putVM(store.VM{BIOS: bios, OS: store.OSServer}))
	}
	return cs
}

// However questions interleave, an SVM never gets more agents than its cap, and none is
// turned away while there is room.
func TestCapsHoldWhateverTheInterleaving(t *testing.T) {
	const svms, limit, askers = 40, 200, 64
	agents := randomBIOSIDs(10_000)
	for _, load := range []store.Load{store.Balanced, store.Fewest} {
		t.Run(load.String(), func(t *testing.T) {
			tenant := store.Tenant{ID: store.TenantID{1}, Name: "t", Type: store.Simple, Discovery: store.DefaultDiscovery()}
			tenant.Discovery.Load = load
			cs := []change{putTenant(tenant)}
			for i := range svms {
				s := plainSVM(i, 1000)
				s.config.HardCap = limit
				cs = append(cs, putSVM(s))
			}
			for _, bios := range agents {
				cs = append(cs, putVM(store.VM{BIOS: bios, Tenant: tenant.ID, OS: store.OSServer}))
			}
			st := newStage(t, rules{dead: "192.0.2.1"}, cs...)
			st.standing.Wait()
			var mu sync.Mutex
			var over atomic.Int64
			got := map[store.SVMID]int{}
			var wg sync.WaitGroup
			for g := range askers {
				wg.Go(func() {
					var a discovery.Answer
					for i := g; i < len(agents); i += askers {
						st.standing.Select(&discovery.Query{BIOS: agents[i]}, &a)
						if a.Result != discovery.Assigned {
							over.Add(1)
							continue
						}
						mu.Lock()
						got[a.SVMs()[0].SVM.ID]++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			for id, n := range got {
				if n > limit {
					t.Errorf("%v got %d agents, its cap is %d", id, n, limit)
				}
			}
			if refused := over.Load(); refused != int64(len(agents)-svms*limit) {
				t.Errorf("%d agents were told that all is full, want %d", refused, len(agents)-svms*limit)
			}
		})
	}
}

// Gateways that know the same reports tell agents that say where they are the same,
// though neither knows what the other picked.
func TestGatewaysAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const svms, agents = 16, 3000
		ids := randomBIOSIDs(agents)
		var gateways [2]*stage
		for i := range gateways {
			gateways[i] = newStage(t, rules{dead: "192.0.2.1"}, append(reportingSVMs(svms), registered(ids)...)...)
		}
		at := map[store.BIOSID]store.SVMID{}
		disagree, asked := 0, 0
		round := func() {
			for i, bios := range ids {
				q := discovery.Query{BIOS: bios, Current: at[bios]}
				var told [2]store.SVMID
				for g := range gateways {
					var a discovery.Answer
					gateways[(i+g)%2].standing.Select(&q, &a)
					told[g] = a.SVMs()[0].SVM.ID
				}
				if asked++; told[0] != told[1] {
					disagree++
				}
				at[bios] = told[0]
				if i%100 != 0 {
					continue
				}
				n := map[store.SVMID]int{}
				for _, id := range at {
					n[id]++
				}
				for _, st := range gateways {
					var cs []change
					for id := range st.world.svms {
						cs = append(cs, reportSVM(id, n[id], "", func(*store.SVMFacts) {}))
					}
					st.must(t, cs...)
					st.wait(0)
				}
				time.Sleep(10 * time.Second)
			}
		}
		round()
		disagree, asked = 0, 0
		round()
		for _, st := range gateways {
			st.must(t, forgetSVM(plainSVM(3, 0).id))
		}
		round()
		if disagree*100 > asked {
			t.Errorf("%d of %d answers differ", disagree, asked)
		}
		t.Logf("%d of %d answers differ", disagree, asked)
	})
}

// Agents of a draining SVM leave evenly as their part grows, and none comes back.
func TestADrainIsEven(t *testing.T) {
	bothWays(t, func(t *testing.T, says bool) {
		inFleet(t, 4000, says, plainSVMs(4), func(f *fleet) {
			f.ask(4000)
			draining := plainSVM(1, 0).id
			had := f.connected()[draining]
			f.must(t, configureSVM(draining, "draining", func(s *svm) { s.written = store.Draining }))
			for part := 0; part <= 10; part++ {
				f.world.svms[draining].finding.leaving = part * 65535 / 10
				f.pulse()
				f.ask(4000)
				left := had - f.connected()[draining]
				if want := had * part / 10; left < want-60 || left > want+60 || part == 10 && left != had {
					t.Errorf("at %d %% of the time %d of %d agents have left", 10*part, left, had)
				}
			}
			for bios, n := range f.moves {
				if n > 1 {
					t.Errorf("agent %v moved %d times", bios, n)
				}
			}
		})
	})
}

// The last place of a better class is taken while many come back to it: the others stay
// where they are.
func TestWhoFindsTheBetterClassFullStays(t *testing.T) {
	licensed := plainSVM(0, 1000)
	licensed.config.HardCap = 50
	cs := []change{putSVM(licensed)}
	for i := range 8 {
		s := plainSVM(1+i, 1000)
		s.facts.License = store.License{}
		cs = append(cs, putSVM(s))
	}
	bothWays(t, func(t *testing.T, says bool) {
		inFleet(t, 500, says, append(cs, configureSVM(licensed.id, "down", func(s *svm) { s.written = store.Down })), func(f *fleet) {
			f.ask(500)
			f.must(t, configureSVM(licensed.id, "up", func(s *svm) { s.written = store.Ready }))
			f.pulse()
			if moved := f.ask(500); moved != 50 || f.connected()[licensed.id] != 50 {
				t.Errorf("%d agents moved, and %d are in the better class; want 50", moved, f.connected()[licensed.id])
			}
		})
	})
}

// Agents that could not reach the SVM that they were sent to make it suspect, if it is
// one for them.
func TestFailuresOfOthersSVMsCountNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		agents := randomBIOSIDs(50)
		theirs, tagged := plainSVM(0, 1000), plainSVM(1, 1000)
		tagged.config.Tags = []string{"gold"}
		st := newStage(t, serving, append(registered(agents[:25]), putSVM(theirs), putSVM(tagged), putSVM(plainSVM(2, 1000)))...)
		ask := func(agents []store.BIOSID) {
			for _, bios := range agents {
				var a discovery.Answer
				st.standing.Select(&discovery.Query{BIOS: bios, Failed: []store.SVMID{theirs.id, tagged.id}}, &a)
			}
			time.Sleep(time.Second)
		}
		suspect := func() string {
			return fmt.Sprint(st.standing.Standing(theirs.id).Suspect, st.standing.Standing(tagged.id).Suspect)
		}
		if ask(agents[25:]); suspect() != "false false" {
			t.Errorf("after agents that nobody registered: suspect %s", suspect())
		}
		if ask(agents[:25]); suspect() != "true false" {
			t.Errorf("after agents for whom one of the SVMs is: suspect %s", suspect())
		}
	})
}

// A settled SVM of a better class draws agents to the class, but not those that could
// not reach it: to them the class is as if it were not settled.
func TestASettledSVMDrawsThoseThatReachIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settled, fresh, worse := plainSVM(0, 1000), plainSVM(1, 1000), plainSVM(2, 1000)
		worse.facts.License = store.License{}
		found := plain
		found.settled = false
		st := newStage(t, serving, putSVM(settled), putSVM(fresh), putSVM(worse), finds(fresh.id, found))
		for _, bios := range randomBIOSIDs(20) {
			q := discovery.Query{BIOS: bios, OS: store.OSServer, Current: worse.id}
			var a discovery.Answer
			st.pulse()
			if st.standing.Decide(&q, &a); a.SVMs()[0].SVM.ID == worse.id {
				t.Errorf("agent %v stays in a worse class", bios)
			}
			q.Failed = []store.SVMID{settled.id}
			if st.standing.Decide(&q, &a); a.SVMs()[0].SVM.ID != worse.id {
				t.Errorf("agent %v is drawn to a class whose settled SVM it could not reach", bios)
			}
			if why := st.ask(ask{q: q}); why != "" {
				t.Error(why)
			}
		}
	})
}

// Worlds seldom have agents whose turn it is to move. Here many SVMs have too many agents,
// and everybody is asked with each of them.
func TestMovingIsTheOracles(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	met := map[string]int{}
	wanted := []string{
		"moves", "moves but for a storm", "moves past what is better", "moves nowhere",
		"moves to the emptiest", "relief is not open", "relief is no better", "relief gets above the line",
	}
	for n := range worlds(40, metAll(met, wanted...)) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, n))
			here := store.Path{Host: "here"}
			var cs []change
			for i := range 12 {
				s := plainSVM(i, 1000)
				found := finding{settled: r.IntN(20) == 0, open: 1 + r.IntN(8), suspect: r.IntN(20) == 0}
				switch n % 4 {
				default: // two classes, local and not
					s.reported = []int{10, 10, 10, 10, 17, 12}[r.IntN(6)]
					if i%3 == 0 {
						s.facts.License = store.License{}
					}
					if i%2 == 0 {
						s.facts.Path = here
					}
				case 1: // all are alike, and too few agents too many for the soft cap
					s.reported, found.open = []int{3, 3, 3, 3, 3, 6}[r.IntN(6)], 8-r.IntN(2)
				case 2: // those that have room are open to few, or so small that one more is much
					s.reported, found.open = []int{1, 1, 9, 13}[r.IntN(4)], 8
					if small := r.IntN(5) == 0; small && s.reported == 1 {
						s.config.Capacity = 150
					} else if s.reported == 1 {
						found.open = 1
					}
				}
				if r.IntN(4) == 0 {
					s.config.HardCap = 17
				}
				cs = append(cs, putSVM(s), finds(s.id, found))
			}
			agents := randomBIOSIDs(50)
			for _, bios := range agents {
				cs = append(cs, putVM(store.VM{BIOS: bios, Path: here, OS: store.OSServer}))
			}
			st := newStage(t, rules{dead: "192.0.2.1"}, cs...)
			for range 2 {
				st.wait(5 * time.Minute)
				st.must(t, findsCalm(r.IntN(6) > 0))
				for _, bios := range agents {
					for i := range 12 {
						q := discovery.Query{BIOS: bios, Current: plainSVM(i, 0).id, Limit: 1 + r.IntN(discovery.MaxLimit)}
						if r.IntN(4) == 0 {
							q.Failed = []store.SVMID{plainSVM(r.IntN(12), 0).id, plainSVM(r.IntN(12), 0).id}
						}
						if why := st.ask(ask{q: q}); why != "" {
							t.Fatalf("seed %d, world %d: agent %v with %v: %s", seed, n, bios, q.Current, why)
						}
					}
				}
			}
			for what, times := range st.world.met {
				met[what] += times
			}
		})
	}
	for _, what := range wanted {
		if met[what] == 0 {
			t.Errorf("met %q %d times", what, met[what])
		}
	}
}

// What a gateway has not told counts for each of them, which may look like more than the
// cap. That sends nobody away: neither who had the SVM nor who took its last place.
func TestTheLastPlaceDrivesNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 3, nil)
		id := g.put(1, func(s *store.SVM) { s.HardCap, s.ConnectedAgents = 100, 95 })
		g.put(2, func(s *store.SVM) { s.ConnectedAgents = 95 })
		agents := randomBIOSIDs(20)
		for _, bios := range agents {
			g.update(g.all[0], func(tx *store.Tx) (bool, error) { return tx.PutVM(store.VM{BIOS: bios, OS: store.OSServer}) })
		}
		g.spread()
		g.beat()
		time.Sleep(10*time.Second + tellApart/2)
		stay := func() {
			for _, w := range g.all {
				for _, bios := range agents {
					q := discovery.Query{BIOS: bios, Current: id}
					var a discovery.Answer
					if w.sel.Decide(&q, &a); a.SVMs()[0].SVM.ID != id {
						t.Fatalf("%s sends an agent away from %+v", w.name, w.sel.Standing(id))
					}
					if e := w.sel.Explain(&q); e.Candidates[0].ID != id {
						t.Fatalf("%s explains that an agent leaves: %s", w.name, e.Sentence)
					}
				}
			}
		}
		sent := 0
		for _, w := range g.all {
			sent += w.reserve(id, 100)
			stay()
		}
		for range 40 {
			time.Sleep(100 * time.Millisecond)
			stay()
		}
		if sent != 5 {
			t.Errorf("%d agents were sent, want 5", sent)
		}
		g.report(g.all[0], id, 101)
		g.beat()
		for _, w := range g.all {
			var a discovery.Answer
			if w.sel.Decide(&discovery.Query{BIOS: agents[0], Current: id}, &a); a.SVMs()[0].SVM.ID == id {
				t.Errorf("%s lets an agent stay with %+v", w.name, w.sel.Standing(id))
			}
		}
	})
}
