package discovery_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Whatever becomes of tellings on the way, once they come through again for a minute all
// gateways have the same estimate: the report and everybody's picks.
func TestLostRepeatedAndReorderedTellingsHeal(t *testing.T) {
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, seed))
			g := newGang(t, 3, nil)
			type telling struct {
				from, to *gateway
				epoch    uint64
				list     []discovery.Sighting
			}
			var late []telling
			g.meddle = func(from, to *gateway, epoch uint64, list []discovery.Sighting) bool {
				switch random.IntN(3) {
				case 0:
					return false // lost, or late
				case 1:
					late = append(late, telling{from, to, epoch, list})
					return random.IntN(2) == 0
				}
				return true
			}
			ids := []store.SVMID{g.put(1, nil), g.put(2, nil), g.put(3, nil)}
			want := make([]int, len(ids))
			for range 30 {
				g.mu.Lock()
				i, n, at, ms := random.IntN(len(ids)), random.IntN(7)-2, random.IntN(3), random.IntN(1500)
				var again telling
				if len(late) > 0 && random.IntN(2) == 0 {
					again = late[random.IntN(len(late))]
				}
				g.mu.Unlock()
				want[i] += n
				g.all[at].pick(ids[i], n)
				time.Sleep(time.Duration(ms) * time.Millisecond)
				if again.to != nil {
					again.to.sel.Hear(again.from.name, again.epoch, again.list)
				}
			}
			g.mu.Lock()
			g.meddle = nil
			g.mu.Unlock()
			time.Sleep(time.Minute + 5*time.Second)
			for i, id := range ids {
				g.wantAgents("in the end", id, want[i])
			}
		})
		if t.Failed() {
			t.Fatal("with seed", seed)
		}
	}
}

func TestAGatewayThatStartsAnewTakesNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 2, nil)
		a, b := g.all[0], g.all[1]
		id := g.put(1, func(s *store.SVM) { s.ConnectedAgents = 100 })
		time.Sleep(5 * time.Second)
		a.pick(id, 20)
		b.pick(id, 3)
		time.Sleep(5 * time.Second)
		g.wantAgents("before the restart", id, 123)
		time.Sleep(time.Minute)

		a.sel.Close()
		again := g.open(a.name)
		records := collect(t, b.table)
		if _, err := again.table.Apply(store.Batch{Records: records, From: b.name}); err != nil {
			t.Fatal(err)
		}
		a.table = again.table
		time.Sleep(time.Second)
		g.start(a)
		time.Sleep(5 * time.Second)
		b.sel.Wait()
		if got := b.sel.Standing(id).Agents; got != 123 {
			t.Errorf("after the restart %d agents, want 123 as before", got)
		}
		a.pick(id, 2)
		time.Sleep(5 * time.Second)
		b.sel.Wait()
		if got := b.sel.Standing(id).Agents; got != 125 {
			t.Errorf("after 2 more of the gateway that started anew %d agents, want 125", got)
		}
		// What it heard first of the older one is from before the restart, for all it knows.
		a.sel.Wait()
		if got := a.sel.Standing(id).Agents; got != 102 {
			t.Errorf("the gateway that started anew estimates %d agents, want 102: the report and its own", got)
		}
		b.pick(id, 4)
		time.Sleep(5 * time.Second)
		a.sel.Wait()
		if got := a.sel.Standing(id).Agents; got != 106 {
			t.Errorf("the gateway that started anew estimates %d agents, want 106", got)
		}
	})
}

// A gateway that starts with nothing hears of picks before it knows the SVMs.
func TestPicksOfADayAreNoNewsToANewGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 2, nil)
		a, b := g.all[0], g.all[1]
		id := g.put(1, nil)
		a.pick(id, 1000)
		time.Sleep(time.Hour)
		g.report(a, id, 1000)
		time.Sleep(time.Minute)

		b.sel.Close()
		b.table = g.open(b.name).table
		g.start(b)
		time.Sleep(30 * time.Second)
		if _, err := b.table.Apply(store.Batch{Records: collect(t, a.table), From: a.name}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + 5*time.Second)
		g.wantAgents("at first", id, 1000)
		a.pick(id, 3)
		time.Sleep(5 * time.Second)
		g.wantAgents("after 3 more", id, 1003)
		late := g.put(2, nil)
		a.pick(late, 7)
		time.Sleep(5 * time.Second)
		g.wantAgents("of an SVM that came later", late, 7)
	})
}

// What a gateway told before it started anew counts nothing when it comes late, but a
// clock that was set back does not silence it for ever.
func TestWhatAGatewayToldInAnEarlierLifeIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		id := g.put(1, nil)
		g.beat()
		started := uint64(time.Now().UnixNano())
		hear := func(life uint64, picks int32) {
			epoch := started + life
			g.all[0].sel.Hear("other", epoch, []discovery.Sighting{{SVM: id, Picks: picks}})
		}
		hear(1, 100)
		hear(2, 5)
		hear(1, 100)
		hear(2, 5)
		g.wantAgents("after a late telling", id, 105)
		time.Sleep(61 * time.Second)
		hear(1, 7)
		g.wantAgents("after a start with an earlier clock", id, 112)
	})
}

// A report counts the agents of the moment at which it was made. Those that were sent
// after it count beside it, however late it comes.
func TestALateReportLosesNoPickMadeAfterIt(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		before := rapid.IntRange(0, 50).Draw(r, "before")
		after := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 10).Draw(r, "after")
		rest := time.Duration(rapid.IntRange(0, 9000).Draw(r, "rest")) * time.Millisecond
		synctest.Test(t, func(t *testing.T) {
			g := newGang(t, 2, nil)
			a, b := g.all[0], g.all[1]
			a.count.Store(1)
			b.count.Store(1) // they tell each other nothing
			id := g.put(1, nil)
			a.pick(id, before)
			time.Sleep(20*time.Second + rest)
			g.report(b, id, before, a, b) // it stays at b
			since := 0
			for _, n := range after {
				a.pick(id, n)
				since += n
				time.Sleep(time.Second)
			}
			g.spread()
			a.sel.Wait()
			if got := a.sel.Standing(id).Agents; got != before+since {
				t.Errorf("%d agents after a report of %d and %d picks, want %d", got, before, since, before+since)
			}
		})
		if t.Failed() {
			r.FailNow()
		}
	})
}

func TestAgentsSentJustBeforeAReportCountUnderACap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 1, nil)
		w := g.all[0]
		id := g.put(1, func(s *store.SVM) { s.HardCap = 10 })
		time.Sleep(10 * time.Second)
		w.reserve(id, 3)
		time.Sleep(8 * time.Second)
		w.reserve(id, 2)
		time.Sleep(3 * time.Second)
		g.report(w, id, 3) // the last two have not connected yet
		w.sel.Wait()
		if got := w.sel.Standing(id); got.Agents != 3 || got.Room != 5 {
			t.Errorf("%d agents and room for %d; want 3, and 5 beside the two that are on their way", got.Agents, got.Room)
		}
		time.Sleep(10 * time.Second)
		g.report(w, id, 5)
		w.sel.Wait()
		if got := w.sel.Standing(id); got.Room != 5 {
			t.Errorf("room for %d when all are connected, want 5", got.Room)
		}
	})
}

func TestWhatStandsBesideAReportFades(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGang(t, 2, nil)
		time.Sleep(7 * time.Minute)
		id := g.put(1, func(s *store.SVM) { s.Pinned, s.ConnectedAgents = true, 1000 })
		start := time.Now()
		time.Sleep(time.Minute)
		g.all[0].pick(id, 40)
		g.all[1].pick(id, 23)
		time.Sleep(5 * time.Second)
		g.wantAgents("at first", id, 1063)
		for _, want := range []int{1031, 1015, 1007, 1003, 1001, 1000} {
			start = start.Add(g.ttl)
			time.Sleep(time.Until(start) - time.Second)
			g.wantAgents("before half has faded", id, 1000+(want-1000)*2+1)
			time.Sleep(2 * time.Second)
			g.wantAgents("after half has faded", id, want)
		}
		g.all[1].pick(id, 9)
		time.Sleep(5 * time.Second)
		g.wantAgents("after new picks", id, 1009)
	})
}

// collect returns the records of a table.
func collect(t *testing.T, table *store.Table) (out []store.Record) {
	t.Helper()
	table.Records(func(r store.Record) bool {
		out = append(out, r)
		return true
	})
	return out
}
