package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cluster/clustertest"
)

// A silent table tells nobody what changes, so that records reach others by
// Confirm alone. Its disk can be slow or full.
type silent struct {
	*cluster.Map
	slow time.Duration
	full bool
}

func (s *silent) Merge(peer string, records []cluster.Record) error {
	time.Sleep(s.slow)
	if s.full {
		return errors.New("no space left on device")
	}
	return s.Map.Merge(peer, records)
}

// startSilent starts nodes n0, n1, ... with silent tables.
func startSilent(t *testing.T, n *clustertest.Network, count int) ([]member, []*silent) {
	tables := make([]*silent, count)
	for i := range tables {
		tables[i] = &silent{Map: cluster.NewMap(fmt.Sprint("n", i), cluster.NewClock(time.Now))}
	}
	next := 0
	all := startOn(t, n, count, func(cfg *cluster.Config) {
		cfg.Table = tables[next]
		next++
	})
	await(t, "all see all", 30*time.Second, met(all))
	return all, tables
}

func written(count, size int) []cluster.Record {
	all := make([]cluster.Record, count)
	for i := range all {
		v := cluster.Version{Clock: uint64(time.Now().UnixMilli()) << 16, Node: 1}
		all[i] = cluster.Record{Key: key(lasting, i), Version: v, Value: make([]byte, size)}
	}
	return all
}

func TestConfirm(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(n *clustertest.Network, tables []*silent)
		count   int // of records, if not 1
		enough  int
		applied []string // nil: as many as are enough
		within  time.Duration
	}{
		{name: "by all", enough: 0, applied: []string{"n0", "n1", "n2", "n3", "n4"}, within: 100 * time.Millisecond},
		{name: "by more than there are", enough: 9, applied: []string{"n0", "n1", "n2", "n3", "n4"}, within: 100 * time.Millisecond},
		{name: "by this node alone", enough: 1, within: 0},
		{
			name: "in several parts", count: 200, enough: 0,
			applied: []string{"n0", "n1", "n2", "n3", "n4"}, within: time.Second,
		},
		{
			name: "by most, though some are slow", enough: 3,
			prepare: func(_ *clustertest.Network, tables []*silent) {
				tables[1].slow, tables[3].slow = 6*time.Second, 6*time.Second
			},
			applied: []string{"n0", "n2", "n4"}, within: 100 * time.Millisecond,
		},
		{
			name: "by all, though one is slow", enough: 0,
			prepare: func(_ *clustertest.Network, tables []*silent) { tables[1].slow = 6 * time.Second },
			applied: []string{"n0", "n2", "n3", "n4"}, within: 5 * time.Second,
		},
		{
			name: "by all, though one has a full disk", enough: 0,
			prepare: func(_ *clustertest.Network, tables []*silent) { tables[2].full = true },
			applied: []string{"n0", "n1", "n3", "n4"}, within: 100 * time.Millisecond,
		},
		{
			name: "by all, though two are dead", enough: 0,
			prepare: func(n *clustertest.Network, _ []*silent) {
				n.Crash("n1")
				n.Crash("n4")
				time.Sleep(time.Minute) // until that is known
			},
			applied: []string{"n0", "n2", "n3"}, within: 100 * time.Millisecond,
		},
		{
			name: "by all, though one has just died", enough: 0,
			prepare: func(n *clustertest.Network, _ []*silent) { n.Pause("n3") },
			applied: []string{"n0", "n1", "n2", "n4"}, within: 5 * time.Second,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := clustertest.NewNetwork(1, clustertest.Faults{Delay: time.Millisecond})
				all, tables := startSilent(t, n, 5)
				if tt.prepare != nil {
					tt.prepare(n, tables)
				}
				what := written(max(1, tt.count), 10_000)
				if err := tables[0].Map.Merge("", what); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				start := time.Now()
				c := all[0].Confirm(ctx, what, tt.enough)
				if took := time.Since(start); took > tt.within {
					t.Errorf("that took %v, want at most %v", took, tt.within)
				}
				if tt.applied == nil && len(c.Applied) != tt.enough || tt.applied != nil && !slices.Equal(c.Applied, tt.applied) {
					t.Errorf("applied by %v, want %v", c.Applied, tt.applied)
				}
				for i, m := range all {
					applied, missing := slices.Contains(c.Applied, m.Name()), slices.Contains(c.Missing, m.Name())
					if applied == missing {
						t.Errorf("%s is in both of %v and %v, or in none", m.Name(), c.Applied, c.Missing)
					}
					if has := tables[i].Len(); applied && has != len(what) {
						t.Errorf("%s is said to have applied all, and has %d of %d records", m.Name(), has, len(what))
					}
				}
				n.Resume("n3")
			})
		})
	}
}

// TestConfirmOfWhatIsRefused has one member with a clock that is behind.
func TestConfirmOfWhatIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		all, tables := startSilent(t, n, 3)
		late := cluster.NewClock(func() time.Time { return time.Now().Add(-time.Hour) })
		tables[1].Map = cluster.NewMap("n1", late)
		c := all[0].Confirm(t.Context(), written(2, 10), 0)
		if want := []string{"n0", "n2"}; !slices.Equal(c.Applied, want) || tables[1].Refused() != 2 {
			t.Errorf("applied by %v, want %v; %d records were refused", c.Applied, want, tables[1].Refused())
		}
	})
}

func TestConfirmationsThatFindMembersBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1, clustertest.Faults{Delay: time.Millisecond})
		all, tables := startSilent(t, n, 2)
		tables[1].slow = 50 * time.Millisecond
		var confirming sync.WaitGroup
		for _, r := range written(500, 10) { // more than a node keeps waiting
			confirming.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				if c := all[0].Confirm(ctx, []cluster.Record{r}, 0); len(c.Missing) > 0 {
					t.Errorf("applied by %v, want both", c.Applied)
				}
			})
		}
		confirming.Wait()
		if has := tables[1].Len(); has != 500 {
			t.Errorf("n1 has %d of 500 records", has)
		}
	})
}

func TestMajority(t *testing.T) {
	for size, want := range map[int]int{1: 1, 2: 2, 3: 2, 4: 3, 5: 3} {
		synctest.Test(t, func(t *testing.T) {
			all, _ := startSilent(t, clustertest.NewNetwork(1, clustertest.Faults{}), size)
			if got := all[0].Majority(); got != want {
				t.Errorf("the majority of %d is %d, want %d", size, got, want)
			}
		})
	}
}

func TestMajorityCountsTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1, clustertest.Faults{})
		all, _ := startSilent(t, n, 5)
		for _, name := range []string{"n1", "n2", "n3"} {
			n.Crash(name)
		}
		time.Sleep(time.Minute)
		if got := all[0].Majority(); got != 3 {
			t.Errorf("the majority of 5 of whom 3 are dead is %d, want 3", got)
		}
		within := time.Now().Add(time.Second)
		if c := all[0].Confirm(t.Context(), written(1, 10), 3); len(c.Applied) != 2 || time.Now().After(within) {
			t.Errorf("applied by %v, want two, at once", c.Applied)
		}
	})
}

func TestDigests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1, clustertest.Faults{})
		all, tables := startSilent(t, n, 4)
		for _, table := range tables[:3] {
			if err := table.Map.Merge("", written(10, 10)); err != nil {
				t.Fatal(err)
			}
		}
		n.Crash("n2")
		time.Sleep(time.Minute)
		if err := tables[3].Map.Merge("", written(20, 1)); err != nil { // repair will spread it, but not at once
			t.Fatal(err)
		}
		var d []cluster.TableDigest
		start := time.Now()
		if d = all[0].Digests(t.Context()); time.Since(start) > time.Second {
			t.Errorf("that took %v, though all are known to be dead or alive", time.Since(start))
		}
		if len(d) != 4 || d[0].Node != "n0" || d[1].Node != "n1" || d[2].Node != "n2" || d[3].Node != "n3" {
			t.Fatalf("got %+v, want one of each of n0 to n3", d)
		}
		if d[0].Root != d[1].Root || len(d[0].Root) != 16 || d[0].Err != "" || d[1].Err != "" {
			t.Errorf("of equal tables: got %+v and %+v, want them equal", d[0], d[1])
		}
		if d[2].Root != "" || d[2].Err == "" {
			t.Errorf("of a dead member: got %+v, want an error", d[2])
		}
		if d[3].Root == d[0].Root || len(d[3].Root) != 16 {
			t.Errorf("of another table: got %+v, want it to differ from %+v", d[3], d[0])
		}
	})
}
