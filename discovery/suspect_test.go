package discovery_test

import (
	"bytes"
	"log/slog"
	"strings"
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

// What the agents of one tenant say must not decide for all.
func TestAgentsMakeOnlyAPartOfAPoolSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := newGang(t, 1, func(c *discovery.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
		w := g.all[0]
		var ids []store.SVMID
		for n := range 10 {
			ids = append(ids, g.put(byte(n+1), nil))
		}
		own := g.put(100, func(s *store.SVM) { s.Tenants = []store.TenantID{{1}} })
		g.beat()
		suspects := func() (n int) {
			w.sel.Wait()
			for _, id := range ids {
				if w.sel.Standing(id).Suspect {
					n++
				}
			}
			return n
		}
		blame := func(ids ...store.SVMID) {
			for _, id := range ids {
				for n := range 3 {
					w.sel.Blame(id, voice(n))
				}
			}
			time.Sleep(time.Second)
		}
		if blame(append(ids, own)...); suspects() != 3 {
			t.Errorf("%d of 10 SVMs are suspect by agents' word, want 3", suspects())
		}
		if n := strings.Count(log.String(), "too many are suspect already"); n != 1 {
			t.Errorf("logged %d times within seconds that more is said than acted on, want once", n)
		}
		if w.sel.Standing(own).Suspect {
			t.Error("the only SVM of a tenant is suspect by agents' word")
		}
		for _, id := range ids[5:] {
			w.sel.Suspect(id, true)
		}
		if n := suspects(); n != 8 {
			t.Errorf("%d are suspect when a probe says so of five more, want 8", n)
		}
		for _, id := range ids[5:] {
			w.sel.Suspect(id, false)
		}
		for _, id := range ids[:3] {
			w.sel.Suspect(id, true)
		}
		if blame(ids[3:]...); suspects() != 6 {
			t.Errorf("%d are suspect, three of them by a probe, want 6", suspects())
		}
		for _, id := range ids[:3] {
			w.sel.Suspect(id, false)
		}
		if n := suspects(); n != 3 {
			t.Errorf("%d are suspect by agents' word once probes succeed, want 3", n)
		}
		time.Sleep(3 * time.Minute)
		if n := suspects(); n != 0 {
			t.Errorf("%d are suspect after three minutes in which nobody said so", n)
		}
		g.update(w, func(tx *store.Tx) (bool, error) { return tx.DeleteSVM(ids[0]) })
		if blame(ids[1:]...); suspects() != 2 {
			t.Errorf("%d of 9 SVMs are suspect by agents' word, want 2", suspects())
		}
	})
}

func TestHowManyMayBeSuspectByAgentsWord(t *testing.T) {
	for _, c := range []struct{ svms, want int }{{0, 0}, {1, 0}, {2, 1}, {6, 1}, {7, 2}, {10, 3}, {1000, 300}} {
		if got := discovery.DoubtRoom(c.svms); got != c.want {
			t.Errorf("of %d SVMs %d may be suspect, want %d", c.svms, got, c.want)
		}
	}
}

func TestWhatOtherGatewaysSuspectCountsAsAgentsWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 2, nil)
		a, b := g.all[0], g.all[1]
		var ids []store.SVMID
		for n := range 4 {
			ids = append(ids, g.put(byte(n+1), nil))
		}
		g.beat()
		for i, w := range []*gateway{a, b} {
			for n := range 3 {
				w.sel.Blame(ids[i], voice(n))
			}
			time.Sleep(3 * time.Second)
		}
		for _, w := range g.all {
			if !w.sel.Standing(ids[0]).Suspect || w.sel.Standing(ids[1]).Suspect {
				t.Errorf("at %s suspect: %v and %v, want only the first, of which one was told first", w.name,
					w.sel.Standing(ids[0]).Suspect, w.sel.Standing(ids[1]).Suspect)
			}
		}
	})
}
