package cluster

import (
	"testing"
	"testing/synctest"
	"time"
)

// away cuts a node off for so long, while something is deleted elsewhere.
func away(w *town, name string, d time.Duration, meanwhile *Map) {
	cut := func(apart bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.cut = func(from, to string, _ question) bool { return apart && (from == name || to == name) }
	}
	cut(true)
	time.Sleep(time.Minute)
	meanwhile.Delete(mapKey(1))
	time.Sleep(d)
	cut(false)
	time.Sleep(30 * time.Second)
}

func isStale(n *dweller) bool {
	select {
	case <-n.stale:
		return n.out.Load()
	default:
		return false
	}
}

func TestAwayForTooLong(t *testing.T) {
	for _, tt := range []struct {
		name  string
		away  time.Duration
		stale bool
	}{
		{"within the time", 20 * time.Minute, false},
		{"beyond it", 150 * time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				a := w.add(Config{Name: "a", Keep: time.Hour}, fill(0, 100))
				b := w.add(Config{Name: "b", Keep: time.Hour}, fill(0, 100))
				c := w.add(Config{Name: "c", Keep: time.Hour}, fill(0, 100))
				time.Sleep(2 * time.Minute)
				away(w, "c", tt.away, a.Map)
				settle(t, time.Minute, a, b)
				if isStale(a) || isStale(b) || isStale(c) != tt.stale {
					t.Errorf("stale is the one that was away: %t, want %t", !tt.stale, tt.stale)
				}
				if a.Len() != 99 || b.Len() != 99 {
					t.Errorf("%d and %d records, want 99: what was deleted is back", a.Len(), b.Len())
				}
				if a.shuns("c") != tt.stale || a.shuns("b") {
					t.Errorf("a shuns c: %t, b: %t", a.shuns("c"), a.shuns("b"))
				}
				if want := 99 + map[bool]int{true: 1}[tt.stale]; c.Len() != want {
					t.Errorf("the one that was away has %d records, want %d", c.Len(), want)
				}
				c.Set(mapKey(500), []byte("late"))
				time.Sleep(30 * time.Second)
				if got := a.Len() == 99; got != tt.stale {
					t.Errorf("what it wrote after was taken: %t", !got)
				}
			})
		})
	}
}

// TestBothAway: of two nodes that did not see each other for too long one must keep
// its table, or all is lost.
func TestBothAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a", Keep: time.Hour}, fill(0, 100))
		b := w.add(Config{Name: "b", Keep: time.Hour}, fill(0, 100))
		time.Sleep(2 * time.Minute)
		w.mu.Lock()
		w.cut = func(string, string, question) bool { return true }
		nodes := w.nodes
		w.nodes = map[string]*dweller{}
		w.mu.Unlock()
		time.Sleep(3 * time.Hour)
		w.mu.Lock()
		w.cut, w.nodes = nil, nodes
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if x, y := isStale(a), isStale(b); x == y {
			t.Fatalf("stale: %t and %t, want one of the two", x, y)
		}

		// Another takes the place of the stale one, with nothing.
		stays := a
		if a.out.Load() {
			stays = b
		}
		c := w.add(Config{Name: "c", Keep: time.Hour, Seeds: []string{"a"}}, nil)
		settle(t, time.Minute, stays, c)
		if c.Len() != 100 {
			t.Errorf("%d records, want 100", c.Len())
		}
	})
}

func TestBothAwaySymmetric(t *testing.T) {
	now := time.UnixMilli(9e11)
	c := NewClock(func() time.Time { return now })
	node := func(exchanged, started time.Time, sure bool) *tenure {
		n := &tenure{keep: time.Hour, exchanged: exchanged, started: started}
		if sure {
			n.rise(c)
		}
		return n
	}
	long := now.Add(-5 * time.Hour)
	early, never := now.Add(-24*time.Hour), time.Time{}
	for _, tt := range []struct {
		name       string
		a, b       time.Time // last exchanged
		aSet, bSet time.Time // started
		out        string
		unsure     bool // b is, of the time
	}{
		{"b was switched on again", long, long, early, now, "b", false},
		{"a was switched on again", long, long, now, early, "a", false},
		{"both were", long, long.Add(time.Minute), now, now, "b", false},
		{"a was, and b has no floor yet", long, long, now, early, "a", true},
		{"b was, and has no floor yet", long, long, early, now, "b", true},
		{"only a was away", long, now, early, early, "a", false},
		{"only b was away", now, long, early, early, "b", false},
		{"neither was", now, now, early, early, "", false},
		{"a never met anybody", never, long, early, early, "", false},
		{"neither did", never, never, early, early, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := node(tt.a, tt.aSet, true), node(tt.b, tt.bSet, !tt.unsure)
			say := func(name string, n *tenure) *summary {
				s := &summary{name: name, wall: now}
				n.tell(s, false)
				s, err := readSummary(s.append(nil))
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			sa, sb := say("a", a), say("b", b)
			a.heard(sb, "a", false, c)
			b.heard(sa, "b", false, c)
			got := ""
			if a.out.Load() {
				got += "a"
			}
			if b.out.Load() {
				got += "b"
			}
			if got != tt.out {
				t.Errorf("out is %q, want %q", got, tt.out)
			}
			if s := say("a", a); a.out.Load() && !s.floor.IsZero() {
				t.Error("who is out tells its floor, which others may be below")
			}
		})
	}
}

// TestCaughtUpOnlyAfterPulling: the first exchange that shows differences pulls nothing.
func TestCaughtUpOnlyAfterPulling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		before := time.Now().Add(-time.Hour)
		a := w.add(Config{Name: "a", State: State{Exchanged: before}}, fill(0, 9))
		w.cut = func(_, _ string, what question) bool { return what == askPull }
		w.add(Config{Name: "b", State: State{Exchanged: before}}, fill(0, 99))
		time.Sleep(20 * time.Second)
		if got := a.lastExchanged(); w.count(askDigest) == 0 || !got.Equal(before) {
			t.Errorf("caught up at %v, though nothing was pulled", got)
		}
		w.mu.Lock()
		w.cut = nil
		w.mu.Unlock()
		time.Sleep(20 * time.Second)
		if got := a.lastExchanged(); !got.After(before) {
			t.Error("everything was pulled, and it has not caught up")
		}
	})
}

// TestClockAheadSendsNobodyAway: a floor that only a wrong clock could give is not believed.
func TestClockAheadSendsNobodyAway(t *testing.T) {
	now := time.UnixMilli(9e11)
	c := NewClock(func() time.Time { return now })
	a := &tenure{keep: time.Hour, exchanged: now.Add(-time.Minute)}
	ahead := now.Add(90 * time.Minute)
	b := &summary{name: "b", keep: time.Hour, floor: ahead.Add(-time.Hour), exchanged: ahead}
	if _, err := a.heard(b, "a", false, c); err != nil || a.out.Load() {
		t.Errorf("out: %t, %v", a.out.Load(), err)
	}
}

func TestEmptyTableIsNotStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a"}, fill(0, 100))
		before := State{Exchanged: time.Now().Add(-30 * 24 * time.Hour)}
		b := w.add(Config{Name: "b", Seeds: []string{"a"}, State: before}, nil)
		settle(t, 10*time.Second, a, b)
		if isStale(b) || b.Len() != 100 {
			t.Error("an empty table has nothing that could be back")
		}
	})
}

// TestWrongClockForgetsNothing starts a node a year ahead: the floor would be above
// all there is.
func TestWrongClockForgetsNothing(t *testing.T) {
	for _, lead := range []time.Duration{365 * 24 * time.Hour, -365 * 24 * time.Hour, time.Hour} {
		t.Run(lead.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				nodes := []*dweller{
					w.add(Config{Name: "a", Seeds: []string{"b"}}, fill(0, 100)),
					w.add(Config{Name: "b", Seeds: []string{"a"}}, fill(0, 100)),
				}
				time.Sleep(time.Minute)
				nodes[0].Delete(mapKey(1))
				wall := settable{lead: lead}
				nodes = append(nodes, w.add(Config{
					Name: "c", Seeds: []string{"a"}, Clock: NewClock(wall.now),
					State: State{Exchanged: time.Now().Add(-time.Hour)},
				}, fill(0, 100)))
				settle(t, time.Minute, nodes...)
				time.Sleep(time.Minute) // until it has asked both what the time is
				for _, n := range nodes {
					if isStale(n) || n.Len() != 99 || time.Until(n.repair.clock.Now()).Abs() > time.Second {
						t.Errorf("%s: stale %t, %d records, clock %v ahead", n.self, n.out.Load(), n.Len(), time.Until(n.repair.clock.Now()))
					}
				}
				if c := nodes[2].repair.clock.state.Load(); !c.wrong {
					t.Error("the clock is not known to be wrong")
				}
			})
		})
	}
}

// TestTombstonesGoEverywhere passes the hour at which tombstones go, with clocks that
// pass it at different times.
func TestTombstonesGoEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		late := settable{lead: -25 * time.Second}
		nodes := []*dweller{
			w.add(Config{Name: "a", Keep: time.Hour}, fill(0, 100)),
			w.add(Config{Name: "b", Keep: time.Hour}, fill(0, 100)),
			w.add(Config{Name: "c", Keep: time.Hour, Clock: NewClock(late.now)}, fill(0, 100)),
		}
		time.Sleep(30 * time.Minute)
		for id := range 50 {
			nodes[id%3].Delete(mapKey(id))
		}
		settle(t, 10*time.Second, nodes...)
		with := rootOf(nodes[0].Map)
		pulls := w.count(askPull)
		time.Sleep(150 * time.Minute)
		settle(t, 10*time.Second, nodes...)
		if n := w.count(askPull) - pulls; rootOf(nodes[0].Map) == with || n > 0 {
			t.Errorf("tombstones are still there: %t; %d pulls", rootOf(nodes[0].Map) == with, n)
		}
	})
}

// TestShortestKeepHolds: nodes that keep tombstones for different times would never
// be equal.
func TestShortestKeepHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a", Keep: time.Hour}, fill(0, 100))
		b := w.add(Config{Name: "b", Keep: 24 * time.Hour}, fill(0, 100))
		time.Sleep(time.Minute)
		b.Delete(mapKey(1))
		settle(t, 10*time.Second, a, b)
		time.Sleep(3 * time.Hour)
		if a.Map.digest != b.Map.digest || b.Map.digest[bucketOf(mapKey(1))] != 0 {
			t.Error("a tombstone was kept by one of the two")
		}
	})
}
