package cluster

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// readyAfter returns how long it takes until a node is ready, or -1 if it is not
// within two minutes.
func readyAfter(n *dweller) time.Duration {
	for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(100 * time.Millisecond) {
		if ready, _ := n.isReady(); ready {
			return time.Since(began)
		}
	}
	return -1
}

func TestReady(t *testing.T) {
	seeds := []string{"somewhere"}
	knew := State{Peers: []Peer{{Name: "peer0", Addr: "10.0.0.2:1"}}}
	for _, tt := range []struct {
		name     string
		cfg      Config
		fill     func(*Map)
		peers    []Config
		fills    []func(*Map)
		from, to time.Duration // when; -1 is never
	}{
		{name: "alone", cfg: Config{}, to: 0},
		{name: "empty, and no seed answers", cfg: Config{Seeds: seeds}, from: -1, to: -1},
		{name: "empty, no seed answers, but the first", cfg: Config{Seeds: seeds, Bootstrap: true},
			from: waitAsFirst, to: waitAsFirst + 2*time.Second},
		{name: "empty, and no peer answers that it knew", cfg: Config{State: knew}, from: -1, to: -1},
		{name: "with a table, and no peer answers that it knew", cfg: Config{State: knew}, fill: fill(0, 9),
			from: waitForSeeds, to: waitForSeeds + 2*time.Second},
		{name: "empty, and a peer that it knew has all", cfg: Config{State: knew},
			peers: []Config{{}}, fills: []func(*Map){fill(0, 9000)}, to: 3 * time.Second},
		{name: "with a table, and no seed answers", cfg: Config{Seeds: seeds}, fill: fill(0, 9),
			from: waitForSeeds, to: waitForSeeds + 2*time.Second},
		{name: "empty, and a peer that has all", cfg: Config{Seeds: seeds},
			peers: []Config{{}}, fills: []func(*Map){fill(0, 9000)}, to: 3 * time.Second},
		{name: "empty, and a peer that is ready with nothing", cfg: Config{Seeds: seeds},
			peers: []Config{{}}, fills: []func(*Map){nil}, to: 3 * time.Second},
		{name: "empty, as are its peers, and none is ready", cfg: Config{Seeds: seeds},
			peers: []Config{{Seeds: seeds}, {Seeds: seeds}}, fills: []func(*Map){nil, nil}, from: -1, to: -1},
		{name: "empty, as are its peers, but one is the first", cfg: Config{Seeds: seeds},
			peers: []Config{{Seeds: seeds}, {Seeds: seeds, Bootstrap: true}}, fills: []func(*Map){nil, nil},
			from: 2 * time.Second, to: 20 * time.Second},
		{name: "with a table, and peers that just started with theirs", cfg: Config{Seeds: seeds}, fill: fill(0, 9),
			peers: []Config{{Seeds: seeds}, {Seeds: seeds}}, fills: []func(*Map){fill(0, 50), fill(0, 90)}, to: 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				for i, cfg := range tt.peers {
					cfg.Name = fmt.Sprint("peer", i)
					w.add(cfg, tt.fills[i])
				}
				tt.cfg.Name = "a"
				n := w.add(tt.cfg, tt.fill)
				took := readyAfter(n)
				if took < tt.from || took > tt.to {
					_, why := n.isReady()
					t.Errorf("ready after %v (%s), want it from %v to %v", took, why, tt.from, tt.to)
				}
				if len(tt.peers) == 1 && !equal(n, w.nodes["peer0"]) {
					t.Error("ready before it had all that the first peer had")
				}
				time.Sleep(time.Minute)
				if ready, _ := n.isReady(); ready != (took >= 0) {
					t.Error("it did not stay so")
				}
			})
		})
	}
}

// TestReadyOnlyWithEverything cuts off the peer in the middle of what it has: a part
// of a table would deny the rest.
func TestReadyOnlyWithEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a", Seeds: []string{"b"}, Bootstrap: true}, nil)
		w.add(Config{Name: "b"}, fill(0, 50_000))
		for w.count(askPull) < 5 {
			time.Sleep(time.Millisecond)
		}
		w.remove("b")
		if took := readyAfter(a); took >= 0 {
			t.Errorf("ready after %v with %d of 50000 records", took, a.Len())
		}
	})
}

// TestTwoThatJoinAtOnce: what a peer has that joins itself is no whole table.
func TestTwoThatJoinAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		b := w.add(Config{Name: "b", Seeds: []string{"a"}}, nil)
		w.add(Config{Name: "a"}, fill(0, 50_000))
		for w.count(askPull) < 20 {
			time.Sleep(time.Millisecond)
		}
		w.remove("a")
		c := w.add(Config{Name: "c", Seeds: []string{"a"}}, nil)
		settle(t, time.Minute, b, c)
		if took := readyAfter(c); took >= 0 || c.Len() == 0 {
			t.Errorf("ready after %v with %d of 50000 records", took, c.Len())
		}
		w.add(Config{Name: "d"}, fill(0, 50_000))
		if took := readyAfter(c); took < 0 || c.Len() != 50_000 {
			t.Errorf("ready after %v with %d of 50000 records", took, c.Len())
		}
	})
}

// TestPartOfATableIsNone stops a node while it takes over a table.
func TestPartOfATableIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a", Seeds: []string{"b"}}, nil)
		var saved State
		w.work.Go(func() {
			a.keepState(func() []Peer { return nil }, func(s State) error { saved = s; return nil })
		})
		synctest.Wait()
		w.add(Config{Name: "b"}, fill(0, 50_000))
		for w.count(askPull) < 5 {
			time.Sleep(time.Millisecond)
		}
		w.remove("b")
		w.remove("a")
		synctest.Wait()
		before := saved
		a = w.add(Config{Name: "a", Seeds: []string{"b"}, Bootstrap: true, State: before}, fill(0, 9))
		if took := readyAfter(a); !before.Partial || took >= 0 {
			t.Errorf("after a restart ready after %v; saved was %+v", took, before)
		}
		w.add(Config{Name: "b"}, fill(0, 5000))
		if took := readyAfter(a); took < 0 || a.partial() {
			t.Error("not ready with everything")
		}
	})
}

func TestMemberIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a"}, fill(0, 9))
		w.cut = func(_, _ string, what question) bool { return what == askPull }
		w.add(Config{Name: "b", Seeds: []string{"a"}}, nil)
		for _, want := range []bool{false, true} {
			w.mu.Lock()
			w.cut = func(_, _ string, what question) bool { return what == askPull && !want }
			w.mu.Unlock()
			time.Sleep(20 * time.Second)
			self, peer := Member{Name: "a", Self: true}, Member{Name: "b"}
			a.describe(&self)
			a.describe(&peer)
			if !self.Ready || peer.Ready != want {
				t.Errorf("ready: %t, and the peer %t; want true, %t", self.Ready, peer.Ready, want)
			}
		}
	})
}

// TestStateIsSaved counts how often, and looks at what.
func TestStateIsSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a"}, fill(0, 9))
		var mu sync.Mutex
		known := []Peer{{Name: "b", Addr: "10.0.0.2:1", Seen: time.Now()}}
		var saved []State
		var fails bool
		begin := func() {
			w.work.Go(func() {
				a.keepState(func() []Peer {
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(known)
				}, func(s State) error {
					mu.Lock()
					defer mu.Unlock()
					if fails {
						return errors.New("no space left on device")
					}
					saved = append(saved, s)
					return nil
				})
			})
		}
		step := func(what string, change func(), d time.Duration, from, to int) {
			t.Helper()
			mu.Lock()
			before := len(saved)
			change()
			mu.Unlock()
			time.Sleep(d)
			mu.Lock()
			defer mu.Unlock()
			if n := len(saved) - before; n < from || n > to {
				t.Errorf("%s: saved %d times, want %d to %d", what, n, from, to)
			}
		}
		nothing := func() {}
		step("at the start", begin, 30*time.Second, 1, 1)
		w.add(Config{Name: "b"}, fill(0, 9))
		step("the first exchange", nothing, 15*time.Second, 1, 1)
		step("exchanges every few seconds", nothing, 10*time.Minute, 6, 10)
		more := func() { known = append(known, Peer{Name: "c", Addr: "10.0.0.3:1"}) }
		step("a peer more", more, 1100*time.Millisecond, 1, 1)
		step("while the disk is full", func() { fails, known = true, known[:1] }, 10*time.Second, 0, 0)
		step("when it is not", func() { fails = false }, 1100*time.Millisecond, 1, 1)
		mu.Lock()
		defer mu.Unlock()
		if last := saved[len(saved)-1]; len(last.Peers) != 1 || time.Since(last.Exchanged) > 2*time.Minute {
			t.Errorf("saved %+v", last)
		}
	})
}

// TestFewExchanges: tables that change all the time, and agree by news, exchange
// little.
func TestFewExchanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		var nodes []*dweller
		for i := range 10 {
			nodes = append(nodes, w.add(Config{Name: fmt.Sprint("n", i)}, fill(0, 10_000)))
		}
		time.Sleep(20 * time.Second)
		const seconds = 20
		exchanges, pulls, bytes := w.count(askDigest), w.count(askPull), w.sent()
		for id := range 100 * seconds { // news that takes 50 ms
			r := recordsOf(id, id+1)
			r[0].Version.Clock += uint64(id + 1)
			for i, n := range nodes {
				time.AfterFunc(time.Duration(i)*5*time.Millisecond, func() { n.Merge("", r) })
			}
			time.Sleep(10 * time.Millisecond)
		}
		perNode := func(n int) float64 { return float64(n) / seconds / float64(len(nodes)) }
		e, p, b := perNode(w.count(askDigest)-exchanges), perNode(w.count(askPull)-pulls), perNode(w.sent()-bytes)
		t.Logf("a node exchanges %.1f times a second, pulls %.2f times, and asks and answers %.0f bytes", e, p, b)
		if e > 4 || p > 0.2 || b > 60_000 {
			t.Errorf("a node exchanges %.1f times a second, pulls %.2f times, and asks and answers %.0f bytes", e, p, b)
		}
		settle(t, 10*time.Second, nodes...)
	})
}
