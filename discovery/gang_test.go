package discovery_test

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A gang is several gateways in a bubble, each with a table of its own. A test carries
// records between the tables; what the selectors tell goes to the others by itself, unless
// the gateway is cut off.
type gang struct {
	t   testing.TB
	all []*gateway
	ttl time.Duration
	cfg discovery.Config

	// meddle says whether a telling comes through. If nil, all do. It is called, and may
	// be changed, under mu.
	mu     sync.Mutex
	meddle func(from, to *gateway, epoch uint64, list []discovery.Sighting) bool
}

type gateway struct {
	name  string
	table *store.Table
	sel   *discovery.Selector
	count atomic.Int32 // of gateways, as it sees it; 0: all that there are
	news  []store.Record
}

// tellApart is the time between the tellings of two gateways of a gang.
const tellApart = 300 * time.Millisecond

// newGang returns a gang of n gateways. It must be called in a bubble.
func newGang(t testing.TB, n int, edit func(*discovery.Config)) *gang {
	t.Helper()
	g := &gang{t: t, ttl: 15 * time.Minute}
	if edit != nil {
		edit(&g.cfg)
	}
	for i := range n {
		g.all = append(g.all, g.open(fmt.Sprint("gateway-", i)))
	}
	for _, w := range g.all {
		g.start(w)
		time.Sleep(tellApart)
	}
	return g
}

func (g *gang) open(name string) *gateway {
	g.t.Helper()
	table, err := store.Open(store.Config{Node: name, SVMTTL: g.ttl})
	if err != nil {
		g.t.Fatal(err)
	}
	w := &gateway{name: name, table: table}
	table.Subscribe(func(n *store.News) {
		if n.From == "" {
			w.news = append(w.news, n.Records...)
		}
	})
	return w
}

// start gives a gateway a selector, in place of the one that it had.
func (g *gang) start(w *gateway) {
	g.t.Helper()
	cfg := g.cfg
	cfg.Table, cfg.Node = w.table, w.name
	size, all := len(g.all), slices.Clone(g.all)
	cfg.Gateways = func() int {
		return int(cmp.Or(w.count.Load(), int32(size)))
	}
	cfg.Tell = func(epoch uint64, list []discovery.Sighting) {
		for _, o := range all {
			if to := g.through(w, o, epoch, list); to != nil {
				to.Hear(w.name, epoch, list)
			}
		}
	}
	sel, err := discovery.New(cfg)
	if err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	w.sel = sel
	g.mu.Unlock()
	g.t.Cleanup(sel.Close)
}

// through returns the selector that a telling comes to, or nil if it gets lost.
func (g *gang) through(from, to *gateway, epoch uint64, list []discovery.Sighting) *discovery.Selector {
	g.mu.Lock()
	defer g.mu.Unlock()
	if from == to || g.meddle != nil && !g.meddle(from, to, epoch, list) {
		return nil
	}
	return to.sel
}

// update changes the table of a gateway.
func (g *gang) update(w *gateway, fn func(*store.Tx) (bool, error)) {
	g.t.Helper()
	if err := w.table.Update(func(tx *store.Tx) error { _, err := fn(tx); return err }); err != nil {
		g.t.Fatal(err)
	}
}

// spread brings what changed at each gateway to those that are not cut off from it.
func (g *gang) spread(cut ...*gateway) {
	g.t.Helper()
	for _, w := range g.all {
		news := w.news
		if slices.Contains(cut, w) {
			continue
		}
		w.news = nil
		for _, o := range g.all {
			if o == w || slices.Contains(cut, o) || len(news) == 0 {
				continue
			}
			if _, err := o.table.Apply(store.Batch{Records: news, From: w.name}); err != nil {
				g.t.Fatal(err)
			}
		}
	}
}

// put writes an SVM at the first gateway and spreads it.
func (g *gang) put(n byte, edit func(*store.SVM)) store.SVMID {
	g.t.Helper()
	svm := store.SVM{ID: store.SVMID{n}, SVMConfig: store.SVMConfig{Address: "10.0.0.1"}, SVMFacts: store.SVMFacts{Version: "6.0"}}
	if edit != nil {
		edit(&svm)
	}
	g.update(g.all[0], func(tx *store.Tx) (bool, error) { return tx.PutSVM(svm) })
	g.spread()
	return svm.ID
}

// report is a report to a gateway that spreads at once.
func (g *gang) report(w *gateway, id store.SVMID, agents int, cut ...*gateway) {
	g.t.Helper()
	g.update(w, func(tx *store.Tx) (bool, error) {
		return tx.ReportSVM(id, store.SVMFacts{Version: "6.0"}, agents)
	})
	g.spread(cut...)
}

// pick sends agents to an SVM, less than 0 if they leave it, whatever its cap.
func (w *gateway) pick(id store.SVMID, n int) {
	for i := range w.table.View().NumSVMs() {
		if e := w.table.View().SVM(i); e != nil && e.ID == id {
			w.table.Pick(i, int32(n))
		}
	}
}

// reserve sends up to n agents to an SVM, as many as its cap allows.
func (w *gateway) reserve(id store.SVMID, n int) (sent int) {
	for sent < n && w.sel.Reserve(id) {
		sent++
	}
	return sent
}

// sweep lets time pass as a daemon does.
func (g *gang) sweep(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(min(time.Second, time.Until(end)))
		for _, w := range g.all {
			w.table.Sweep(time.Now())
		}
		synctest.Wait()
	}
}

// beat brings all ledgers up to the moment.
func (g *gang) beat() {
	for _, w := range g.all {
		w.sel.Wait()
	}
}

// wantAgents fails unless every gateway has this estimate of an SVM.
func (g *gang) wantAgents(when string, id store.SVMID, want int) {
	g.t.Helper()
	g.beat()
	for _, w := range g.all {
		if got := w.sel.Standing(id).Agents; got != want {
			g.t.Errorf("%s: %s estimates %d agents, want %d", when, w.name, got, want)
		}
	}
}
