package discovery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// reporting lets time pass in which SVMs report once a minute, to the first gateway, what
// they reported last.
func (g *gang) reporting(d time.Duration, ids ...store.SVMID) {
	g.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		for _, id := range ids {
			svm, _ := g.all[0].table.SVM(id)
			g.report(g.all[0], id, svm.ConnectedAgents)
		}
		g.sweep(min(time.Minute, time.Until(end)))
	}
	g.beat()
}

func TestAnSVMThatComesUpAmongOthersOpensSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		w := g.all[0]
		open := func(id store.SVMID) int {
			t.Helper()
			w.sel.Wait()
			return w.sel.Standing(id).Open
		}
		first, second := g.put(1, nil), g.put(2, nil)
		if open(first) != 8 || open(second) != 8 {
			t.Error("SVMs of a table that was empty are not open to all at once")
		}
		g.reporting(discovery.SlowStart, first, second)
		third := g.put(3, nil)
		alone := g.put(4, func(s *store.SVM) { s.Tenants = []store.TenantID{{1}} })
		if got := open(alone); got != 8 {
			t.Errorf("the first SVM that is dedicated to a tenant is open to %d eighths, want all", got)
		}
		for step := 1; step <= 8; step++ {
			if got := open(third); got != step {
				t.Errorf("after %d eighths of the time a new SVM is open to %d eighths of agents, want %d", step-1, got, step)
			}
			g.sweep(discovery.SlowStart / 8)
		}
		g.reporting(discovery.SlowStart, third) // the others fall silent later
		g.sweep(g.ttl)
		g.report(w, first, 0)
		if got := open(first); got != 8 {
			t.Errorf("an SVM that comes up where none is up is open to %d eighths, want all", got)
		}
		g.reporting(discovery.SlowStart+time.Second, first)
		g.report(w, second, 0)
		if got := open(second); got != 1 {
			t.Errorf("an SVM that comes up again is open to %d eighths, want 1", got)
		}
	})
}

func TestSVMsThatAreThereAtTheStartAreOpenToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		old := g.put(1, nil)
		g.reporting(2*discovery.SlowStart, old)
		late := g.put(2, nil)
		g.all[0].sel.Close()
		g.start(g.all[0])
		g.beat()
		for _, id := range []store.SVMID{old, late} {
			if got := g.all[0].sel.Standing(id); got.Open != 8 || got.Settled {
				t.Errorf("after a restart %+v; want it open to all, and not yet settled", got)
			}
		}
		if next := g.put(3, nil); g.all[0].sel.Standing(next).Open != 1 {
			t.Error("an SVM that comes up just after a restart is open to more than an eighth")
		}
	})
}

func TestAnSVMIsSettledWhenItWasUsableForLong(t *testing.T) {
	for name, c := range map[string]struct {
		returnAfter, settledAfter time.Duration
	}{
		"by default": {0, 10 * time.Minute},
		"at once":    {-1, 0},
		"as is set":  {time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGang(t, 1, func(cfg *discovery.Config) { cfg.ReturnAfter = c.returnAfter })
				w := g.all[0]
				settled := func(id store.SVMID) bool { w.sel.Wait(); return w.sel.Standing(id).Settled }
				id := g.put(1, nil)
				for pause := range 3 { // each ends what the one before began
					if c.settledAfter > 0 {
						g.reporting(c.settledAfter-time.Second, id)
						if settled(id) {
							t.Errorf("%d: settled too early", pause)
						}
						g.reporting(time.Second, id)
					}
					if !settled(id) {
						t.Errorf("%d: not settled after %v", pause, c.settledAfter)
					}
					switch pause {
					case 0:
						g.sweep(g.ttl + time.Second)
					case 1:
						w.sel.Suspect(id, true)
					}
					w.sel.Wait()
					if got := w.sel.Standing(id); pause < 2 && (got.Settled || got.Usable) {
						t.Errorf("%d: %+v while it is not usable", pause, got)
					}
					w.sel.Suspect(id, false)
					g.report(w, id, 0)
					w.sel.Wait()
				}
			})
		})
	}
}

func TestAFullSVMIsNotUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		w := g.all[0]
		id := g.put(1, func(s *store.SVM) { s.HardCap = 2 })
		for _, want := range []bool{true, true, false} {
			w.sel.Wait()
			if got := w.sel.Standing(id); got.Usable != want || w.sel.Full(id) == want {
				t.Errorf("with %d agents of 2 usable is %v, want %v", got.Agents, got.Usable, want)
			}
			w.reserve(id, 1)
		}
	})
}

func TestADrainingSVMLosesItsAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		w := g.all[0]
		id := g.put(1, nil)
		w.sel.Wait()
		if got := w.sel.Standing(id).Leaving; got != 0 {
			t.Errorf("of an SVM that is up %d/65535 leave", got)
		}
		g.put(1, func(s *store.SVM) { s.State = store.Draining })
		for _, want := range []uint32{0, 32767, 65535} {
			if got := w.sel.Standing(id); uint32(got.Leaving) != want || got.Usable {
				t.Errorf("of an SVM that drains %d/65535 leave, want %d, and it is usable: %v", got.Leaving, want, got.Usable)
			}
			time.Sleep(store.DefaultDrain / 2)
			w.sel.Wait()
		}
	})
}

func TestAForgottenSVMIsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 2, nil)
		w := g.all[0]
		id := g.put(1, func(s *store.SVM) { s.ConnectedAgents, s.HardCap = 30, 100 })
		w.pick(id, 5)
		g.all[1].pick(id, 3)
		w.sel.Suspect(id, true)
		time.Sleep(5 * time.Second)
		g.wantAgents("at first", id, 38)
		i := w.table.View().NumSVMs() - 1
		g.update(w, func(tx *store.Tx) (bool, error) { return tx.DeleteSVM(id) })
		g.spread()
		if got := w.sel.StandingAt(i); got != (discovery.Standing{Agents: got.Agents, Room: got.Room}) {
			t.Errorf("of a forgotten SVM %+v is left", got)
		}
		time.Sleep(300 * time.Millisecond)
		g.put(1, func(s *store.SVM) { s.ConnectedAgents = 2 })
		g.wantAgents("made again", id, 2)
		if got := w.sel.Standing(id); got.Suspect || got.Capped || !got.Usable {
			t.Errorf("made again it is %+v", got)
		}
		g.all[1].pick(id, 1)
		time.Sleep(5 * time.Second)
		g.wantAgents("after a pick", id, 3)
	})
}

func TestManyNewAgentsAreACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 2, nil)
		a, b := g.all[0], g.all[1]
		first, second := g.put(1, func(s *store.SVM) { s.ConnectedAgents = 1000 }), g.put(2, nil)
		g.beat()
		for _, step := range []struct {
			what    string
			picks   [2]int
			calm    bool
			seconds int
		}{
			{"few come", [2]int{20, 0}, true, 70},
			{"many move", [2]int{-500, 500}, true, 70},
			{"many come here, and as many elsewhere", [2]int{0, 40}, false, 50},
			{"shortly after", [2]int{0, 0}, false, 20},
			{"all is over", [2]int{0, 0}, true, 70},
			{"many leave", [2]int{-300, 0}, true, 1},
		} {
			a.pick(first, step.picks[0])
			a.pick(second, step.picks[1])
			g.beat()
			if a.sel.Calm() != step.calm || !b.sel.Calm() {
				t.Errorf("%s: calm is %v, and %v elsewhere; want %v, and true", step.what, a.sel.Calm(), b.sel.Calm(), step.calm)
			}
			time.Sleep(time.Duration(step.seconds) * time.Second)
		}
	})
}
