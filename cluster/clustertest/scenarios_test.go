package clustertest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cluster/clustertest"
)

type world = clustertest.World[*cluster.Map]

// inWorld runs a test among so many nodes that have met.
func inWorld(t *testing.T, nodes int, test func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := maps()
		o.Seed, o.Nodes, o.Faults = 1, nodes, clustertest.Faults{Delay: time.Millisecond}
		w := clustertest.NewWorld(t, o)
		awaitAll(t, w, time.Minute)
		test(t, w)
	})
}

// awaitAll waits until all running nodes see all others alive, and returns how long
// that took.
func awaitAll(t *testing.T, w *world, within time.Duration) time.Duration {
	t.Helper()
	for start := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		least := w.Len()
		for i := range w.Len() {
			least = min(least, w.Node(i).Stats().Alive)
		}
		if least == w.Len() {
			return time.Since(start)
		}
		if time.Since(start) > within {
			t.Fatalf("after %v a node sees only %d of %d:\n%s", within, least, w.Len(), w.Describe())
		}
	}
}

func key(id string) (k cluster.Key) {
	k.Kind = 1
	copy(k.ID[:], id)
	return k
}

func set(t *testing.T, w *world, i int, id, value string) {
	t.Helper()
	table, _ := w.Table(i)
	if err := table.Set(key(id), []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func get(w *world, i int, id string) string {
	table, _ := w.Table(i)
	value, _ := table.Get(key(id))
	return string(value)
}

// TestPartitions says that both sides' writes are kept, and everywhere soon.
func TestPartitions(t *testing.T) {
	for _, lasts := range []time.Duration{20 * time.Second, 75 * time.Second, 10 * time.Minute} {
		t.Run(lasts.String(), func(t *testing.T) {
			t.Parallel()
			inWorld(t, 5, func(t *testing.T, w *world) {
				chance := rand.New(rand.NewPCG(1, 1))
				w.Partition(w.Names(0, 3), w.Names(3, 5))
				for range int(lasts / time.Second) {
					for _, i := range []int{0, 2, 3, 4} {
						table, _ := w.Table(i)
						clustertest.ChangeMap(chance, table)
					}
					time.Sleep(time.Second)
				}
				set(t, w, 0, "left", "written on the left")
				set(t, w, 4, "right", "written on the right")
				w.Heal()
				w.Logf("equal %v after healing", w.Settle(15*time.Second))
				w.Check()
				if get(w, 3, "left") == "" || get(w, 1, "right") == "" {
					t.Error("a side lost what the other wrote")
				}
			})
		})
	}
}

// TestReplayedPackets says that packets that somebody recorded change nothing,
// whenever, wherever and however often they come.
func TestReplayedPackets(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		chance := rand.New(rand.NewPCG(1, 2))
		w.Capture(1000)
		for range 400 {
			table, _ := w.Table(chance.IntN(w.Len()))
			clustertest.ChangeMap(chance, table)
			time.Sleep(20 * time.Millisecond)
		}
		w.Settle(15 * time.Second)
		packets := w.Captured()
		if len(packets) != 1000 {
			t.Fatalf("captured %d packets, want 1000", len(packets))
		}
		var before, after cluster.Digest
		table, _ := w.Table(0)
		table.Digest(&before)
		packets = append(packets, packets...)
		chance.Shuffle(len(packets), func(i, j int) { packets[i], packets[j] = packets[j], packets[i] })
		for i, p := range packets {
			if i%2 == 0 {
				p.To = w.Names(0, w.Len())[chance.IntN(w.Len())]
			}
			w.Inject(p)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(15 * time.Second)
		table.Digest(&after)
		if before != after || !w.Equal() {
			t.Errorf("replayed packets changed tables:\n%s", w.Describe())
		}
		w.Check()
	})
}

// TestWrongClocks says that a clock that is wrong, and put right later, parts
// nobody, and makes nothing immortal.
func TestWrongClocks(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour, 365 * 24 * time.Hour} {
		for _, nodes := range []int{2, 5} {
			t.Run(fmt.Sprintf("%v of %d nodes", ahead, nodes), func(t *testing.T) {
				t.Parallel()
				inWorld(t, nodes, func(t *testing.T, w *world) { wrongClock(t, w, ahead) })
			})
		}
	}
}

func wrongClock(t *testing.T, w *world, ahead time.Duration) {
	bad := w.Len() - 1
	set(t, w, 0, "shared", "at first")
	w.Settle(15 * time.Second)

	// It starts with the wrong clock, and nobody there to ask.
	w.Partition(w.Names(bad, bad+1))
	w.Crash(bad)
	w.Wall(bad).Set(ahead)
	w.Start(bad)
	time.Sleep(10 * time.Second)
	set(t, w, bad, "shared", "by who is wrong")
	set(t, w, bad, "alone", "by who is wrong")
	w.Heal()
	time.Sleep(time.Minute)
	refused := uint64(0)
	for i := range w.Len() {
		table, _ := w.Table(i)
		refused += table.Refused()
	}
	w.Logf("%d records refused", refused)
	if w.Len() > 2 {
		w.Settle(0) // most agree on the time
	} else if refused == 0 { // it is one's word against the other's
		t.Error("nothing was refused")
	}
	set(t, w, bad, "meanwhile", "by who is wrong")

	w.Wall(bad).Set(0)
	w.Logf("equal %v after the clock was right", w.Settle(time.Minute))
	w.Check()
	for i := range w.Len() {
		set(t, w, i, "shared", fmt.Sprint("by n", i))
		w.Settle(15 * time.Second)
		if got := get(w, bad, "shared"); got != fmt.Sprint("by n", i) {
			t.Errorf("n%d wrote what it could, and the node that was wrong has %q", i, got)
		}
		if get(w, i, "alone") == "" || get(w, i, "meanwhile") == "" {
			t.Errorf("n%d does not have what was written with the wrong clock", i)
		}
	}
}

// TestAwayForTooLong says that a node that missed a deletion, and whose peers have
// forgotten that there was one, does not bring back what was deleted.
func TestAwayForTooLong(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		set(t, w, 0, "kept", "x")
		set(t, w, 0, "deleted", "x")
		w.Settle(15 * time.Second)
		time.Sleep(5 * time.Second) // it knows that it met the others
		w.Crash(4)
		table, _ := w.Table(0)
		table.Delete(key("deleted"))
		time.Sleep(15 * time.Second)
		for i := range w.Len() { // instead of waiting
			w.Wall(i).Set(8 * 24 * time.Hour)
		}
		time.Sleep(time.Minute)
		// Whose clock leaps later than that of others looks as if it had been away, as
		// after it was suspended: it may have a new table by now.
		table, _ = w.Table(0)
		for b := range cluster.Buckets {
			table.Scan(b, func(r cluster.Record) bool {
				if r.Key == key("deleted") {
					t.Error("after eight days the tombstone is still there")
				}
				return true
			})
		}
		w.Start(4)
		time.Sleep(time.Minute)
		w.Settle(0)
		w.Check()
		if get(w, 4, "deleted") != "" || get(w, 4, "kept") == "" {
			t.Errorf("who was away has %q, which was deleted, and %q, which was not", get(w, 4, "deleted"), get(w, 4, "kept"))
		}
	})
}

// TestPausedNode says that a node that was stopped for a while, as by SIGSTOP,
// takes none of the others for dead when it goes on.
func TestPausedNode(t *testing.T) {
	inWorld(t, 5, func(t *testing.T, w *world) {
		w.Pause("n4")
		for i := range 600 {
			if i == 200 {
				w.Resume("n4")
			}
			set(t, w, 0, "clock", fmt.Sprint(i))
			time.Sleep(100 * time.Millisecond)
			for i := range w.Len() {
				for _, m := range w.Node(i).Members() {
					if m.State == "dead" && m.Name != "n4" {
						t.Fatalf("n%d holds %s for dead", i, m.Name)
					}
				}
			}
		}
		awaitAll(t, w, 0)
		w.Settle(15 * time.Second)
	})
}

// TestMassRestart says that nodes that crash and start again at once find one
// another: all of them, who have forgotten everything but addresses, or all but a few,
// who hold the others for dead and know higher incarnations of them.
func TestMassRestart(t *testing.T) {
	for s := range *restarts {
		for _, stay := range []int{0, 5} {
			t.Run(fmt.Sprintf("%d, %d stay", s, stay), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { massRestart(t, uint64(s), stay) })
			})
		}
	}
}

func massRestart(t *testing.T, seed uint64, stay int) {
	o := maps()
	o.Seed, o.Nodes, o.Faults = seed, 50, clustertest.Faults{Loss: 0.01, Delay: time.Millisecond, Jitter: 5 * time.Millisecond}
	w := clustertest.NewWorld(t, o)
	w.Logf("all see all after %v", awaitAll(t, w, time.Minute))
	time.Sleep(5 * time.Second)
	for i := stay; i < w.Len(); i++ {
		w.Crash(i)
	}
	for crashed := time.Now(); stay > 0 && w.Node(0).Stats().Alive > stay; time.Sleep(time.Second) {
		if time.Since(crashed) > 15*time.Minute {
			t.Fatalf("n0 still sees who crashed:\n%s", w.Describe())
		}
	}
	for i := stay; i < w.Len(); i++ {
		w.Start(i)
	}
	w.Logf("all see all %v after the restart", awaitAll(t, w, time.Minute))
}

// A timed map knows when it learnt what.
type timed struct {
	*cluster.Map
	learnt func(key cluster.Key)
}

func (m timed) OnChange(tell func(from string, records []cluster.Record)) {
	m.Map.OnChange(func(from string, records []cluster.Record) {
		for _, r := range records {
			m.learnt(r.Key)
		}
		tell(from, records)
	})
}

// TestPropagation measures, in virtual time and with a network that takes 1 ms, how
// long a change takes to all nodes.
func TestPropagation(t *testing.T) {
	for nodes, most := range map[int]time.Duration{16: 100 * time.Millisecond, 100: 250 * time.Millisecond} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			if nodes > 16 && testing.Short() {
				t.Skip("100 nodes take some seconds")
			}
			synctest.Test(t, func(t *testing.T) { propagate(t, nodes, most) })
		})
	}
}

func propagate(t *testing.T, nodes int, most time.Duration) {
	const changes = 40
	learnt := make(chan time.Time, changes*nodes)
	w := clustertest.NewWorld(t, clustertest.Options[timed]{
		Seed: 1, Nodes: nodes, Faults: clustertest.Faults{Delay: time.Millisecond},
		Table: func(name string, clock *cluster.Clock, _ timed, _ bool) timed {
			return timed{cluster.NewMap(name, clock), func(cluster.Key) { learnt <- time.Now() }}
		},
	})
	time.Sleep(10 * time.Second)
	var all []time.Duration
	for i := range changes {
		at := time.Now()
		table, _ := w.Table(i * 7 % nodes)
		if err := table.Set(key(fmt.Sprint(i)), []byte("x")); err != nil {
			t.Fatal(err)
		}
		for range nodes {
			select {
			case then := <-learnt:
				all = append(all, then.Sub(at))
			case <-time.After(time.Minute):
				t.Fatalf("change %d is not everywhere after a minute:\n%s", i, w.Describe())
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	slices.Sort(all)
	p50, p99 := all[len(all)/2], all[len(all)*99/100]
	w.Logf("%d nodes: p50 %v, p99 %v, most %v", nodes, p50, p99, all[len(all)-1])
	if p99 > most {
		t.Errorf("%d nodes: p99 is %v, want at most %v", nodes, p99, most)
	}
}
