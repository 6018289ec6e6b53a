package cluster_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
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
	t.Cleanup(func() { time.Sleep(10 * time.Second) }) // for what memberlist still waits: virtual time
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

// bubble runs a test in virtual time, with a network that takes 1 ms.
func bubble(t *testing.T, test func(t *testing.T, n *clustertest.Network)) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(10 * time.Second) }) // as in startOn
		test(t, clustertest.NewNetwork(1, clustertest.Faults{Delay: time.Millisecond}))
	})
}

// TestLoopback is the essentials over real sockets.
func TestLoopback(t *testing.T) {
	goleak.VerifyNone(t)
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
			check(t, all[1].table.Set(key(kind, 1), []byte("news")))
			await(t, fmt.Sprint("a record of kind ", kind, " everywhere"), 5*time.Second, everybody(all, key(kind, 1), "news"))
		}
	})
	t.Run("a seed that does not answer", func(t *testing.T) {
		mute, err := net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		defer mute.Close()
		m := start(t, cluster.Config{Name: "a", Seeds: []string{mute.Addr().String()}})
		conn, err := mute.Accept()
		check(t, err)
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // memberlist would wait for 5 s
		defer cancel()
		check(t, m.Stop(ctx))
	})
}

func TestBadConfig(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		change     func(*cluster.Config)
	}{
		{"no name", "Name", func(c *cluster.Config) { c.Name = "" }},
		{"no table", "Table", func(c *cluster.Config) { c.Table = nil }},
		{"long name", "Name", func(c *cluster.Config) { c.Name = strings.Repeat("n", 129) }},
		{"name that is no text", "Name", func(c *cluster.Config) { c.Name = "\xff" }},
		{"long label", "Label", func(c *cluster.Config) { c.Label = strings.Repeat("l", 256) }},
		{"address without a port", "Addr", func(c *cluster.Config) { c.Addr = "127.0.0.1" }},
		{"port that is no number", "Addr", func(c *cluster.Config) { c.Addr = "127.0.0.1:x" }},
		{"address of somebody else", "Addr", func(c *cluster.Config) { c.Addr = "192.0.2.1:0" }},
		{"advertised address without a port", "Advertise", func(c *cluster.Config) { c.Advertise = "127.0.0.1" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			cfg := cluster.Config{Name: "n", Table: cluster.NewMap("n", cluster.NewClock(time.Now))}
			tt.change(&cfg)
			n, err := cluster.Start(cfg)
			if err == nil {
				_ = n.Stop(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("the error is %v, want one that names %s", err, tt.says)
			}
		})
	}
}

// TestNewsArrives, and fleeting records, whatever one packet in ten meets.
func TestNewsArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(10 * time.Second) })
		n := clustertest.NewNetwork(1, clustertest.Faults{Loss: 0.1, Delay: time.Millisecond, Jitter: time.Millisecond})
		all := startOn(t, n, 16, nil)
		await(t, "all see all", 10*time.Second, met(all))
		var took []time.Duration
		for i, m := range all {
			begin := time.Now()
			check(t, m.table.Set(key(lasting, i), []byte("news")))
			await(t, "news everywhere", 5*time.Second, everybody(all, key(lasting, i), "news"))
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		if median := took[len(took)/2]; median > 100*time.Millisecond {
			t.Errorf("half of the changes took more than %v", median)
		}
		check(t, all[3].table.Set(key(fleeting, 1), []byte("count")))
		await(t, "a fleeting record nearly everywhere", time.Second, func() bool {
			have := 0
			for _, m := range all {
				if _, ok := m.table.Get(key(fleeting, 1)); ok {
					have++
				}
			}
			return have >= 12
		})
	})
}

// TestBurst: what is too much for news is dropped, counted, and repaired.
func TestBurst(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		all := startOn(t, n, 3, nil)
		await(t, "all see all", 10*time.Second, met(all))
		const count = 10_000
		for i := range count { // one by one, and faster than anything can be sent
			check(t, all[0].table.Set(key(lasting, i), make([]byte, 100)))
			if i%100 == 0 {
				if s := all[0].Stats(); s.QueuedRecords > 4096 || s.QueuedBytes > 1<<20 {
					t.Fatalf("%d records and %d bytes wait", s.QueuedRecords, s.QueuedBytes)
				}
			}
		}
		if s := all[0].Stats(); s.DroppedNews == 0 {
			t.Errorf("nothing was dropped: %+v", s)
		}
		await(t, "everything everywhere", 15*time.Second, func() bool {
			return all[1].table.Len() == count && all[2].table.Len() == count
		})
		before := all[0].Stats().DroppedNews
		all[0].Spread("", make([]cluster.Record, count))
		if dropped := all[0].Stats().DroppedNews - before; dropped != count {
			t.Errorf("of %d records at once %d were dropped", count, dropped)
		}
	})
}

// TestLargeRecord does not fit into a packet.
func TestLargeRecord(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		all := startOn(t, n, 3, nil)
		await(t, "all see all", 10*time.Second, met(all))
		large := strings.Repeat("x", 5000)
		check(t, all[0].table.Set(key(lasting, 1), []byte(large)))
		check(t, all[0].table.Set(key(lasting, 2), []byte("small")))
		await(t, "what comes after it everywhere", 100*time.Millisecond, everybody(all, key(lasting, 2), "small"))
		await(t, "the large one everywhere", 10*time.Second, everybody(all, key(lasting, 1), large))
	})
}

// A slowTable takes nothing until it may.
type slowTable struct {
	*cluster.Map
	may chan struct{}
}

func (s slowTable) Merge(peer string, records []cluster.Record) error {
	<-s.may
	return s.Map.Merge(peer, records)
}

// TestSlowTable: while a table takes nothing its node remains a member, and what
// comes meanwhile is bounded, counted when dropped, and repaired.
func TestSlowTable(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		fast := startOn(t, n, 2, nil)
		slow := slowTable{cluster.NewMap("slow", cluster.NewClock(time.Now)), make(chan struct{})}
		node := start(t, cluster.Config{Name: "slow", Table: slow, Transport: n.Transport("slow"), Seeds: []string{n.Addr("n0")}})
		slow.OnChange(node.Spread)
		await(t, "all see all", 10*time.Second, met(append(fast, node)))
		const packets = 10_000
		for i := range packets {
			check(t, fast[0].table.Set(key(lasting, i), make([]byte, 1000)))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Second)
		if dropped := node.Stats().DroppedPackets; dropped == 0 {
			t.Error("nothing was dropped")
		}
		if alive := fast[0].Stats().Alive; alive != 3 {
			t.Errorf("%d nodes are alive, want 3", alive)
		}
		close(slow.may)
		await(t, "all records in the slow table", time.Minute, func() bool { return slow.Len() == packets })
	})
}

// TestStrangeMessages are counted and skipped.
func TestStrangeMessages(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		m := startOn(t, n, 1, nil)[0]
		const userMessage = 8 // of memberlist's types
		for _, msg := range []string{"", "\x01", "\x01\x01", "\x01\x01\x05name", "\x02\x01", "\x01\x63"} {
			n.Inject(clustertest.Packet{From: "stranger", To: "n0", Bytes: append([]byte{userMessage}, msg...)})
		}
		time.Sleep(time.Second)
		if s := m.Stats(); s.Malformed != 4 || s.UnknownMessages != 2 {
			t.Errorf("%d are malformed and %d unknown, want 4 and 2", s.Malformed, s.UnknownMessages)
		}
	})
}

// TestBeacons measure how long a change takes: there and back, 2 ms.
func TestBeacons(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		all := startOn(t, n, 5, nil)
		time.Sleep(time.Minute)
		for _, m := range all {
			if s := m.Stats(); s.PropagationP50 != 2*time.Millisecond || s.PropagationP99 < s.PropagationP50 || s.PropagationP99 > 200*time.Millisecond {
				t.Errorf("%s: p50 %v, p99 %v", m.Name(), s.PropagationP50, s.PropagationP99)
			}
			if m.table.Len() > 0 {
				t.Error("beacons are in a table")
			}
		}
	})
}

// states tells how a member sees the others.
func states(m member) string {
	var all []string
	for _, other := range m.Members() {
		if !other.Self {
			all = append(all, other.Name+" "+other.State)
		}
	}
	return strings.Join(all, ", ")
}

// TestWhoLeavesIsForgotten, and who dies is not: it is called on until it is back,
// though it is no seed.
func TestWhoLeavesIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		all := startOn(t, n, 4, nil)
		await(t, "all see all", 10*time.Second, met(all))
		if got, want := states(all[1]), "n0 alive, n2 alive, n3 alive"; got != want {
			t.Fatalf("n1 sees %s, want %s", got, want)
		}
		check(t, all[3].Stop(t.Context()))
		time.Sleep(time.Second)
		if got, want := states(all[1]), "n0 alive, n2 alive"; got != want {
			t.Errorf("when n3 has left, n1 sees %s, want %s", got, want)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_ = all[2].Stop(gone)
		time.Sleep(2 * time.Minute) // memberlist forgets it
		for _, m := range all[:2] {
			if got := states(m); !strings.HasSuffix(got, "n2 dead") {
				t.Errorf("when n2 has died, %s sees %s", m.Name(), got)
			}
		}
		again := start(t, cluster.Config{Name: "n2", Transport: n.Transport("n2")}) // calls on nobody
		await(t, "n2 is back", 10*time.Second, met([]member{all[0], all[1], again}))
		if all[0].Stats().Rejoins+all[1].Stats().Rejoins == 0 {
			t.Error("rejoins are not counted")
		}
	})
}

// TestKnownPeersAreSeeds: a node that knew others finds them again without seeds.
func TestKnownPeersAreSeeds(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		var state cluster.State
		save := func(c *cluster.Config) {
			if c.Name == "n1" {
				c.Save = func(s cluster.State) error { state = s; return nil }
			}
		}
		all := startOn(t, n, 3, save)
		await(t, "all see all", 10*time.Second, met(all))
		time.Sleep(20 * time.Second)
		check(t, all[1].Stop(t.Context()))
		time.Sleep(time.Minute)
		again := start(t, cluster.Config{Name: "n1", Transport: n.Transport("n1"), State: state})
		await(t, "n1 is back", time.Second, met([]member{all[0], again, all[2]}))
	})
}

// TestMovedNode keeps its name, and has another address.
func TestMovedNode(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		all := startOn(t, n, 2, nil)
		await(t, "all see all", 10*time.Second, met(all))
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_ = all[1].Stop(gone)
		again := start(t, cluster.Config{Name: "n1", Transport: n.Transport("elsewhere"), Seeds: []string{n.Addr("n0")}})
		await(t, "n1 known by its new address", 33*time.Second, func() bool {
			return again.Stats().Alive == 2 && slices.ContainsFunc(all[0].Members(), func(m cluster.Member) bool {
				return m.State == "alive" && m.Addr == n.Addr("elsewhere")
			})
		})
	})
}

// TestSuspect: two nodes that do not reach each other, but a third one.
func TestSuspect(t *testing.T) {
	bubble(t, func(t *testing.T, n *clustertest.Network) {
		all := startOn(t, n, 3, nil)
		await(t, "all see all", 10*time.Second, met(all))
		n.Cut("n0", "n1")
		n.Cut("n1", "n0")
		await(t, "n1 suspect", 40*time.Second, func() bool { return states(all[0]) == "n1 suspect, n2 alive" })
		check(t, all[0].table.Set(key(lasting, 1), []byte("news")))
		await(t, "news there, by way of n2", 200*time.Millisecond, everybody(all, key(lasting, 1), "news"))
		n.Heal()
		await(t, "n1 alive", 30*time.Second, func() bool { return states(all[0]) == "n1 alive, n2 alive" })
	})
}
