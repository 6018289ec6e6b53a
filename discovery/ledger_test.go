package discovery_test

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/svmgate/svmgate/store"
)

func TestOneGatewayCountsItsPicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		w := g.all[0]
		id := g.put(1, func(s *store.SVM) { s.ConnectedAgents = 10 })
		g.wantAgents("after a report of 10", id, 10)
		w.pick(id, 3)
		if got := w.sel.Standing(id); got.Agents != 13 || got.Then != 10 {
			t.Errorf("after 3 picks %d agents, and %d at the last pulse; want 13 and 10", got.Agents, got.Then)
		}
		w.pick(id, -1)
		g.wantAgents("after one left", id, 12)
		if got := w.sel.Standing(id).Then; got != 12 {
			t.Errorf("%d agents at the last pulse, want 12", got)
		}
		g.report(w, id, 20)
		g.wantAgents("after a report of 20", id, 20)
	})
}

func TestPicksThatNobodyWasToldOfCountForEachGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 3, nil)
		a, b := g.all[0], g.all[1]
		id := g.put(1, func(s *store.SVM) { s.ConnectedAgents = 100 })
		time.Sleep(2150 * time.Millisecond) // so that nothing else happens at the same time
		a.pick(id, 5)
		if got := a.sel.Standing(id).Agents; got != 115 {
			t.Errorf("before a telling: %d agents, want 115: five on each of three gateways", got)
		}
		if got := b.sel.Standing(id).Agents; got != 100 {
			t.Errorf("before a telling another gateway estimates %d agents, want 100", got)
		}
		time.Sleep(2 * time.Second)
		g.wantAgents("after a telling", id, 105)
		b.pick(id, 2)
		a.pick(id, -1)
		time.Sleep(2 * time.Second)
		g.wantAgents("after another", id, 106)
		time.Sleep(time.Second)
		g.report(b, id, 50)
		g.wantAgents("after a report", id, 50)
	})
}

func TestACapHoldsFromTheNextQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		w := g.all[0]
		id := g.put(1, func(s *store.SVM) { s.Pinned = true })
		w.pick(id, 7)
		g.put(1, func(s *store.SVM) { s.Pinned, s.HardCap = true, 10 })
		if got := w.sel.Standing(id); !got.Capped || got.Room != 10-7 {
			t.Errorf("with a cap of 10 and 7 agents: %+v", got)
		}
		if n := w.reserve(id, 100); n != 3 || !w.sel.Full(id) {
			t.Errorf("%d agents were sent under a cap of 10 with 7, want 3", n)
		}
		g.put(1, func(s *store.SVM) { s.Pinned = true })
		if w.sel.Full(id) || w.reserve(id, 5) != 5 {
			t.Error("a cap that was taken away still holds")
		}
	})
}

// Agents come to each gateway at any time; they tell each other every second, each at
// a time of its own.
func TestGatewaysShareACap(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(2, 4).Draw(r, "gateways")
		hard := rapid.IntRange(1, 60).Draw(r, "cap")
		connected := rapid.IntRange(0, hard).Draw(r, "connected")
		sent, over := 0, 0
		synctest.Test(t, func(t *testing.T) {
			g := newGang(t, n, nil)
			id := g.put(1, func(s *store.SVM) { s.HardCap, s.ConnectedAgents = hard, connected })
			g.beat()
			sent = connected
			for range 60 {
				w := g.all[rapid.IntRange(0, n-1).Draw(r, "at")]
				switch rapid.IntRange(0, 3).Draw(r, "what") {
				case 0:
					sent += w.reserve(id, 1)
				case 1:
					sent += w.reserve(id, hard)
				default:
					time.Sleep(time.Duration(rapid.IntRange(1, 3000).Draw(r, "ms")) * time.Millisecond)
				}
				over = max(over, sent-hard)
			}
			for range 40 { // all gateways want more for a while
				time.Sleep(time.Second)
				for _, w := range g.all {
					sent += w.reserve(id, hard)
				}
			}
		})
		if over > 0 {
			r.Fatalf("%d agents more than the cap of %d", over, hard)
		}
		if sent != hard {
			r.Fatalf("%d agents under a cap of %d though all gateways had more", sent, hard)
		}
	})
}

// A pinned SVM takes agents though it never reports, but not others for those that it has.
func TestACapHoldsWithoutReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 2, nil)
		id := g.put(1, func(s *store.SVM) { s.Pinned, s.HardCap = true, 100 })
		sent := 0
		for range 12 {
			for _, w := range g.all {
				sent += w.reserve(id, 200)
			}
			time.Sleep(16 * time.Minute)
		}
		if sent < 99 || sent > 100 {
			t.Errorf("%d agents were sent to an SVM with a cap of 100", sent)
		}
		g.all[0].pick(id, -10)
		time.Sleep(time.Minute)
		if got := g.all[0].reserve(id, 200) + g.all[1].reserve(id, 200); got < 8 || got > 11 {
			t.Errorf("%d agents were sent in place of 10 that left", got)
		}
	})
}
