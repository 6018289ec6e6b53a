package cluster_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cluster/clustertest"
	"go.uber.org/goleak"
)

const (
	lasting  = 1 // a kind of records
	fleeting = 2 // another
	other    = 3 // lasting, too
)

// A member is a node and its table.
type member struct {
	*cluster.Node
	table *cluster.Map
}

// start starts a node that is stopped when the test ends.
func start(t testing.TB, cfg cluster.Config) member {
	t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = cluster.NewClock(time.Now)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	cfg.Fleeting = func(kind uint8) bool { return kind == fleeting }
	m := member{table: cluster.NewMap(cfg.Name, cfg.Clock)}
	if cfg.Table == nil {
		cfg.Table = m.table
	}
	node, err := cluster.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.Node = node
	m.table.OnChange(node.Spread)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := node.Stop(ctx); err != nil {
			t.Errorf("stopping %s: %v", cfg.Name, err)
		}
	})
	return m
}

// startOn starts nodes on a network; the first is the seed of the others.
func startOn(t testing.TB, n *clustertest.Network, count int, change func(*cluster.Config)) (all []member) {
	t.Helper()
	t.Cleanup(func() { time.Sleep(10 * time.Second) }) // for what memberlist still waits
	for i := range count {
		name := fmt.Sprint("n", i)
		cfg := cluster.Config{Name: name, Transport: n.Transport(name), Seeds: []string{n.Addr("n0")}}
		if change != nil {
			change(&cfg)
		}
		all = append(all, start(t, cfg))
	}
	return all
}

func key(kind uint8, id int) cluster.Key {
	k := cluster.Key{Kind: kind}
	binary.BigEndian.PutUint64(k.ID[8:], uint64(id))
	return k
}

// await waits until ok, and fails the test if that takes too long.
func await(t testing.TB, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v: not %s", limit, what)
		}
	}
}

// everybody reports whether all members have a value.
func everybody(all []member, k cluster.Key, value string) func() bool {
	return func() bool {
		for _, m := range all {
			if got, _ := m.table.Get(k); string(got) != value {
				return false
			}
		}
		return true
	}
}

func met(all []member) func() bool {
	return func() bool {
		for _, m := range all {
			if m.Stats().Alive != len(all) {
				return false
			}
		}
		return true
	}
}

// TestLoopback is the essentials over real sockets.
func TestLoopback(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("nodes", func(t *testing.T) {
		all := []member{start(t, cluster.Config{Name: "a", Keys: [][]byte{make([]byte, 32)}, Label: "test"})}
		for _, name := range []string{"b", "c"} {
			all = append(all, start(t, cluster.Config{
				Name: name, Keys: [][]byte{make([]byte, 32)}, Label: "test", Seeds: []string{all[0].Addr()},
			}))
		}
		await(t, "all see all", 10*time.Second, met(all))
		for _, kind := range []uint8{lasting, fleeting} {
			if err := all[1].table.Set(key(kind, 1), []byte("news")); err != nil {
				t.Fatal(err)
			}
			await(t, fmt.Sprint("a record of kind ", kind, " everywhere"), 5*time.Second, everybody(all, key(kind, 1), "news"))
		}
	})
}

func TestNewsArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1, clustertest.Faults{Delay: time.Millisecond, Jitter: time.Millisecond})
		all := startOn(t, n, 16, nil)
		await(t, "all see all", 10*time.Second, met(all))
		for i, m := range all {
			if err := m.table.Set(key(lasting, i), []byte("news")); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			await(t, "news everywhere", time.Second, everybody(all, key(lasting, i), "news"))
			t.Log(time.Since(start))
		}
	})
}
