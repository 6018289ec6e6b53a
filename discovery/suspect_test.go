package discovery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// voice is an agent that speaks with the n-th of 64 voices.
func voice(n int) uint64 { return uint64(n) << 58 }

func TestHowManyMustSpeakAgainstAnSVM(t *testing.T) {
	for _, c := range []struct{ agents, want int }{{-5, 3}, {0, 3}, {199, 3}, {200, 4}, {500, 10}, {1000, 20}, {1 << 30, 20}} {
		if got := discovery.DoubtNeeds(c.agents); got != c.want {
			t.Errorf("of %d agents %d must speak, want %d", c.agents, got, c.want)
		}
	}
}

func TestAgentsMakeAnSVMSuspectForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		w := g.all[0]
		id, other := g.put(1, func(s *store.SVM) { s.ConnectedAgents = 250 }), g.put(2, nil)
		g.beat()
		suspect := func() bool { w.sel.Wait(); return w.sel.Standing(id).Suspect }
		for range 100 {
			w.sel.Blame(id, voice(7))
		}
		for n := range 3 {
			w.sel.Blame(id, voice(n))
		}
		if suspect() {
			t.Error("suspect after four agents of 250 said so; one of them a hundred times")
		}
		for range 4 {
			time.Sleep(15 * time.Second)
			w.sel.Wait()
		}
		w.sel.Blame(id, voice(20))
		if suspect() {
			t.Error("suspect though a minute passed between some that said so and others")
		}
		for n := range 4 {
			w.sel.Blame(id, voice(30+n))
			time.Sleep(9 * time.Second)
		}
		if !suspect() || w.sel.Standing(id).Usable || w.sel.Standing(other).Suspect {
			t.Error("not suspect after five agents of 250 said so within 40 seconds; or another is")
		}
		time.Sleep(time.Minute - 12*time.Second)
		if !suspect() {
			t.Error("not suspect any more before a minute has passed")
		}
		time.Sleep(5 * time.Second)
		if suspect() || !w.sel.Standing(id).Usable {
			t.Error("still suspect after a minute")
		}
	})
}

func TestGatewaysTellEachOtherWhatIsSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 3, nil)
		a, b := g.all[0], g.all[1]
		id := g.put(1, nil)
		g.beat()
		a.sel.Suspect(id, true)
		if got := a.sel.Standing(id); !got.Suspect || got.Usable {
			t.Errorf("where a probe failed it is %+v", got)
		}
		time.Sleep(5 * time.Minute)
		if got := b.sel.Standing(id); !got.Suspect || got.Usable {
			t.Errorf("at another gateway it is %+v", got)
		}
		a.sel.Suspect(id, false)
		if got := a.sel.Standing(id); got.Suspect || !got.Usable {
			t.Errorf("where a probe succeeds again it is %+v", got)
		}
		time.Sleep(17 * time.Second) // nobody passes on what it has from others
		for _, w := range g.all {
			if w.sel.Standing(id).Suspect {
				t.Errorf("%s believes it for longer than 15 seconds after it was told last", w.name)
			}
		}
		a.sel.Suspect(store.SVMID{99}, true) // unknown: does nothing
	})
}
