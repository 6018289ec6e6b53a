package clustertest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
)

// A Table is what the nodes of a [World] keep alike. [cluster.Map] is one.
type Table interface {
	cluster.Table

	// OnChange says who is told of every change: from is empty if it was made here.
	OnChange(tell func(from string, records []cluster.Record))
}

// Options are what a [World] is made of.
type Options[T Table] struct {
	Seed   uint64
	Nodes  int
	Faults Faults

	// Table makes the table of a node that starts, from what it had on disk: the
	// table of the node before it, which nobody uses any more, or nothing.
	Table func(name string, clock *cluster.Clock, disk T, had bool) T

	// Config, if not nil, has the last word on how a node is configured.
	Config func(*cluster.Config)

	// Log, if not nil, is what the nodes log to.
	Log io.Writer
}

// A World is some nodes on a network: they start, crash, and start again.
// It runs in a bubble of testing/synctest, and ends with the test.
type World[T Table] struct {
	*Network
	t       testing.TB
	options Options[T]
	start   time.Time
	ledger  *ledger
	stops   sync.WaitGroup

	mu    sync.Mutex
	nodes []*node[T]
}

// A node is what outlasts a crash.
type node[T Table] struct {
	name  string
	wall  Wall
	state cluster.State
	table T
	had   bool  // whether table is one
	met   bool  // whether it ever ran
	life  *life // the last; nil if it never ran
}

// A life of a node is from a start to a crash. After that it may still do something to
// its table, until it has ended.
type life struct {
	node  atomic.Pointer[cluster.Node]
	over  atomic.Bool
	ended chan struct{}
}

func (n *node[T]) runs() bool { return n.life != nil && !n.life.over.Load() }

// A Wall is a clock on the wall of a node.
type Wall struct{ ahead atomic.Int64 }

// Now returns what the clock shows.
func (w *Wall) Now() time.Time { return time.Now().Round(0).Add(time.Duration(w.ahead.Load())) }

// Set puts the clock ahead of the true time, or behind it.
func (w *Wall) Set(ahead time.Duration) { w.ahead.Store(int64(ahead)) }

// Maps makes the tables of a world of maps.
func Maps(name string, clock *cluster.Clock, disk *cluster.Map, had bool) *cluster.Map {
	m := cluster.NewMap(name, clock)
	if had {
		m.Load(records(disk))
	}
	return m
}

// NewWorld starts nodes n0, n1 and so on, all at once. The first three are the seeds
// of all, and n0 is to bootstrap.
func NewWorld[T Table](t testing.TB, o Options[T]) *World[T] {
	w := &World[T]{Network: NewNetwork(o.Seed, o.Faults), t: t, options: o, start: time.Now(), ledger: newLedger()}
	for i := range o.Nodes {
		w.nodes = append(w.nodes, &node[T]{name: fmt.Sprint("n", i)})
	}
	t.Cleanup(w.end)
	for i := range w.nodes {
		w.Start(i)
	}
	return w
}

// Names returns the names of some nodes.
func (w *World[T]) Names(from, to int) (names []string) {
	for _, n := range w.nodes[from:to] {
		names = append(names, n.name)
	}
	return names
}

// Start lets a node start, with what it has on disk, if it does not run.
func (w *World[T]) Start(i int) {
	n := w.ended(i)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n.runs() {
		return
	}
	l := &life{ended: make(chan struct{})}
	clock := cluster.NewClock(n.wall.Now)
	n.table, n.had = w.options.Table(n.name, clock, n.table, n.had), true
	cfg := cluster.Config{
		Name: n.name, Table: n.table, Clock: clock, Transport: w.Transport(n.name),
		Bootstrap: i == 0 && !n.met,
		State:     n.state, Save: func(s cluster.State) error { w.save(n, l, s); return nil },
		Stale: func(s cluster.Stale) { w.Logf("n%d was away for too long: %v", i, s); go w.startAnew(i, l) },
	}
	for _, seed := range w.nodes[:min(len(w.nodes), 3)] {
		cfg.Seeds = append(cfg.Seeds, w.Addr(seed.name))
	}
	if w.options.Log != nil {
		cfg.Logger = slog.New(slog.NewTextHandler(w.options.Log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("node", n.name)
	}
	if w.options.Config != nil {
		w.options.Config(&cfg)
	}
	n.table.OnChange(func(from string, records []cluster.Record) {
		w.ledger.change(n.name, records, from == "", !l.over.Load())
		if started := l.node.Load(); started != nil && !l.over.Load() {
			started.Spread(from, records)
		}
	})
	started, err := cluster.Start(cfg)
	if err != nil {
		w.t.Errorf("%s does not start: %v", n.name, err)
		return
	}
	l.node.Store(started)
	n.life, n.met = l, true
}

// ended returns a node whose life, if that is over, has ended: what still happens to the
// table would be on no disk.
func (w *World[T]) ended(i int) *node[T] {
	w.mu.Lock()
	n := w.nodes[i]
	l, runs := n.life, n.runs()
	w.mu.Unlock()
	if l != nil && !runs {
		<-l.ended
	}
	return n
}

func (w *World[T]) save(n *node[T], l *life, s cluster.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !l.over.Load() {
		n.state = s
	}
}

// startAnew is what a program does when its node was away for too long.
func (w *World[T]) startAnew(i int, l *life) {
	if w.running(i) == l {
		w.Crash(i)
		w.LoseDisk(i)
		w.Start(i)
	}
}

// Crash ends a node, as a machine that fails would: its peers are not told. What is
// on its disk stays, unless [World.LoseDisk] follows.
func (w *World[T]) Crash(i int) { w.stop(i, true) }

// Stop ends a node in good order.
func (w *World[T]) Stop(i int) { w.stop(i, false) }

func (w *World[T]) stop(i int, crash bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.nodes[i].runs() {
		return
	}
	l := w.nodes[i].life
	l.over.Store(true)
	if crash {
		w.Network.Crash(w.nodes[i].name)
	}
	w.stops.Go(func() {
		defer close(l.ended)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if crash {
			none, end := context.WithCancel(ctx)
			end()
			_ = l.node.Load().Stop(none)
		}
		if err := l.node.Load().Stop(ctx); err != nil {
			w.t.Errorf("n%d does not stop: %v", i, err)
		}
	})
}

// LoseDisk takes from a node that does not run its table, and all it knew. What it
// alone had is lost, and nobody is to blame.
func (w *World[T]) LoseDisk(i int) {
	n := w.ended(i)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n.runs() {
		return
	}
	var none T
	n.table, n.had, n.state = none, false, cluster.State{}
	w.ledger.lose(n.name, w.tablesLocked())
}

func (w *World[T]) tablesLocked() (tables []cluster.Table) {
	for _, n := range w.nodes {
		if n.had {
			tables = append(tables, n.table)
		}
	}
	return tables
}

func (w *World[T]) running(i int) *life {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.nodes[i].runs() {
		return nil
	}
	return w.nodes[i].life
}

// Node returns a node, or nil if it does not run.
func (w *World[T]) Node(i int) *cluster.Node {
	if l := w.running(i); l != nil {
		return l.node.Load()
	}
	return nil
}

// Table returns the table of a node, and whether it runs.
func (w *World[T]) Table(i int) (table T, running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nodes[i].table, w.nodes[i].runs()
}

// Wall returns the clock on the wall of a node.
func (w *World[T]) Wall(i int) *Wall { return &w.nodes[i].wall }

// Len returns how many nodes there are.
func (w *World[T]) Len() int { return len(w.nodes) }

// Logf logs with the virtual time since the start.
func (w *World[T]) Logf(format string, args ...any) {
	w.t.Helper()
	w.t.Logf("%8.3f s: %s", time.Since(w.start).Seconds(), fmt.Sprintf(format, args...))
}

// end stops all nodes, and waits until what they started sees that.
func (w *World[T]) end() {
	w.Heal()
	for i := range w.nodes {
		w.Resume(w.nodes[i].name)
		w.Stop(i)
	}
	w.stops.Wait()
	time.Sleep(time.Minute)
}
