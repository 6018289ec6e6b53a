package watch_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cluster/clustertest"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/store"
)

// A node is a gateway among others, on a network in memory.
type node struct {
	*gateway
	name     string
	watching atomic.Pointer[watch.Watch]
	tell     func(from string, records []cluster.Record)
}

// A world is gateways with one table.
type world struct {
	*clustertest.World[*node]
	t testing.TB

	mu    sync.Mutex
	wrote map[string]map[store.EventID]store.Event // by gateway
	twice int                                      // events that a gateway wrote though it had written them

	onEvent func(*store.Event) // if not nil, takes what gateways write in place of wrote
}

func newWorld(t testing.TB, nodes int) *world {
	h := &world{t: t, wrote: map[string]map[store.EventID]store.Event{}}
	h.World = clustertest.NewWorld(t, clustertest.Options[*node]{
		Seed: 1, Nodes: nodes, Table: h.open, Faults: clustertest.Faults{Delay: time.Millisecond, Jitter: 2 * time.Millisecond},
		Config: func(c *cluster.Config) {
			n := c.Table.(*node)
			c.Answer = func(ctx context.Context, from string, question []byte) ([]byte, error) {
				w := n.watching.Load()
				if w == nil {
					return nil, errors.New("not yet")
				}
				return w.Answer(ctx, from, question)
			}
			c.Fleeting = func(kind uint8) bool { return store.Kind(kind) == store.KindSVMLoad }
		},
	})
	for i := range nodes {
		h.begin(i)
	}
	time.Sleep(20 * time.Second) // they have met, and are ready and settled
	return h
}

// open is a gateway's start, with what the one before it had on disk.
func (h *world) open(name string, clock *cluster.Clock, was *node, had bool) *node {
	cfg := store.Config{Node: name, Clock: clock.Now}
	if had {
		was.close()
		cfg.Journal = journal(recordsOf(was.table))
	}
	n := &node{gateway: openGateway(h.t, cfg), name: name}
	h.mu.Lock()
	if h.wrote[name] == nil {
		h.wrote[name] = map[store.EventID]store.Event{}
	}
	h.mu.Unlock()
	n.table.Subscribe(func(news *store.News) {
		h.count(n, news)
		list := make([]cluster.Record, len(news.Records))
		for i, r := range news.Records {
			list[i] = told(r)
		}
		n.tell(news.From, list)
	})
	return n
}

// count notes which events a gateway wrote.
func (h *world) count(n *node, news *store.News) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range news.Records {
		r := &news.Records[i]
		if r.Key.Kind != store.KindEvent || !n.table.Wrote(r.Version) || news.From != "" {
			continue
		}
		if e, ok := store.EventOf(r); ok && h.onEvent != nil {
			h.onEvent(&e)
		} else if ok {
			if _, again := h.wrote[n.name][e.ID]; again {
				h.twice++
			}
			h.wrote[n.name][e.ID] = e
		}
	}
}

// begin lets the watch of a gateway run.
func (h *world) begin(i int) {
	n, _ := h.Table(i)
	at := h.Node(i)
	n.gateway.begin(func(c *watch.Config) {
		c.Self, c.Ask = n.name, at.Ask
		c.Members = func() (list []watch.Member) {
			for _, m := range at.Members() {
				list = append(list, watch.Member{Name: m.Name, Alive: m.State != "dead"})
			}
			return list
		}
	})
	n.watching.Store(n.watch)
}

func (h *world) start(i int) {
	h.Start(i)
	h.begin(i)
}

// crash ends a gateway without a word; stop in good order.
func (h *world) crash(i int) {
	n, _ := h.Table(i)
	h.Crash(i)
	n.close()
}

func (h *world) stop(i int) {
	n, _ := h.Table(i)
	n.close()
	h.Stop(i)
}

// gateway returns one that runs.
func (h *world) gateway(i int) *gateway {
	h.t.Helper()
	n, running := h.Table(i)
	if !running {
		h.t.Fatalf("n%d does not run", i)
	}
	return n.gateway
}

// written returns how often events of a type were written, by all gateways, and how many
// ids they had.
func (h *world) written(eventType string) (n, ids int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[store.EventID]bool{}
	for _, wrote := range h.wrote {
		for id, e := range wrote {
			if e.Type == eventType {
				all[id] = true
				n++
			}
		}
	}
	return n, len(all)
}

// forgetDoubles forgets that some gateways wrote what another wrote, too.
func (h *world) forgetDoubles(eventType string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := map[store.EventID]bool{}
	for _, wrote := range h.wrote {
		maps.DeleteFunc(wrote, func(id store.EventID, e store.Event) bool {
			again := seen[id]
			seen[id] = true
			return again && e.Type == eventType
		})
	}
}

// want fails the test unless so many events of a type were written, each once, and every
// gateway has them.
func (h *world) want(what, eventType string, want int) {
	h.t.Helper()
	h.wantOfSides(1, what, eventType, want)
}

// wantOfSides is want for what so many sides of a cut may have told, each once and under
// the same id.
func (h *world) wantOfSides(sides int, what, eventType string, want int) {
	h.t.Helper()
	if n, ids := h.written(eventType); n < want || n > sides*want || ids != want || h.twice > 0 {
		h.t.Errorf("%s: %d events %s were written, with %d ids, %d of them again; want %d, once by each of %d sides at most",
			what, n, eventType, ids, h.twice, want, sides)
	}
	for i := range h.Len() {
		if n, running := h.Table(i); running {
			if got := n.count(eventType); got != want {
				h.t.Errorf("%s: %s has %d events %s, want %d", what, n.name, got, eventType, want)
			}
		}
	}
}

// count returns how many events of a type a gateway has.
func (g *gateway) count(eventType string) (n int) {
	g.table.Events(store.Version{}, func(e *store.Event) bool {
		if e.Type == eventType {
			n++
		}
		return true
	})
	return n
}

// What follows makes a node a table of a cluster, as package replica does.

func (n *node) OnChange(tell func(string, []cluster.Record)) { n.tell = tell }
func (n *node) Digest(d *cluster.Digest)                     { n.table.Digest((*[store.Buckets]uint64)(d)) }
func (n *node) Forget(floor int64)                           { n.table.Forget(floor) }
func (n *node) Scan(bucket int, fn func(cluster.Record) bool) {
	n.table.ScanBucket(bucket, func(r store.Record) bool { return fn(told(r)) })
}

func (n *node) Merge(peer string, records []cluster.Record) error {
	batch := make([]store.Record, len(records))
	for i, r := range records {
		batch[i] = store.Record{Key: store.Key{Kind: store.Kind(r.Key.Kind), ID: r.Key.ID}, Version: store.Version(r.Version), Value: bytes.Clone(r.Value)}
	}
	_, err := n.table.Apply(store.Batch{Records: batch, From: peer, Lenient: true})
	return err
}

func told(r store.Record) cluster.Record {
	return cluster.Record{Key: cluster.Key{Kind: uint8(r.Key.Kind), ID: r.Key.ID}, Version: cluster.Version(r.Version), Value: r.Value}
}

// inLongWorld is inWorld for what takes an hour.
func inLongWorld(t *testing.T, nodes int, fn func(*testing.T, *world)) {
	if testing.Short() {
		t.Skip("an hour of virtual time")
	}
	inWorld(t, nodes, fn)
}

func inWorld(t *testing.T, nodes int, fn func(*testing.T, *world)) {
	synctest.Test(t, func(t *testing.T) { fn(t, newWorld(t, nodes)) })
}

// people registers VMs of a tenant, on the first gateway.
func (h *world) people(tenant, vms int) {
	h.t.Helper()
	g := h.gateway(0)
	g.tenant(tenant, store.Complete)
	for n := range vms {
		g.vm(n, tenant)
	}
	time.Sleep(5 * time.Second)
}

// Every VM's agent asks, often, whatever gateway: each is told once, by the gateways in
// about equal parts, though one dies and comes back.
func TestOnceAmongGateways(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, h *world) {
		const vms = 300
		h.people(1, vms)
		h.gateway(0).svm(1) // or a gateway that has not heard yet would give none to an active tenant's
		gateways := []int{0, 1, 2}
		round := 0
		askAll := func() {
			for n := range vms {
				g := h.gateway(gateways[(n+round)%len(gateways)])
				g.ask(n, 1, "")
				time.Sleep(50 * time.Millisecond)
			}
			round++
			time.Sleep(20 * time.Second)
		}
		deactivate := func() {
			h.gateway(1).activate(1, true)
			time.Sleep(time.Second)
			h.gateway(2).activate(1, false)
			// Agents ask at once: before all gateways have heard.
		}
		askAll()
		h.want("never active", watch.AgentNoSVM, vms)
		askAll()
		h.want("asking again", watch.AgentNoSVM, vms)
		for name, wrote := range h.wrote {
			if len(wrote) < vms/3/2 {
				t.Errorf("%s wrote %d of %d events", name, len(wrote), vms)
			}
		}
		deactivate()
		askAll()
		h.want("deactivated", watch.AgentNoSVM, 2*vms)

		deactivate()
		gateways = []int{0, 2}
		for n := range vms / 2 {
			h.gateway(gateways[n%2]).ask(n, 1, "")
		}
		time.Sleep(150 * time.Millisecond)
		h.crash(1)
		askAll()
		askAll()
		h.start(1)
		gateways = []int{0, 1, 2}
		askAll()
		askAll()
		if _, ids := h.written(watch.AgentNoSVM); ids != 3*vms || h.twice > 0 {
			t.Errorf("one died, and came back: %d events, want %d", ids, 3*vms)
		}
		// What it had written, and not yet spread, the next owner has told again, by the same id.
		h.forgetDoubles(watch.AgentNoSVM)
		h.want("one died, and came back", watch.AgentNoSVM, 3*vms)

		deactivate()
		for n := range vms {
			h.gateway(gateways[n%3]).ask(n, 1, "")
		}
		h.stop(2) // what it has to tell it tells
		gateways = []int{0, 1}
		askAll()
		askAll()
		h.want("one was stopped", watch.AgentNoSVM, 4*vms)
	})
}

// The agents of a tenant that a gateway has just deactivated ask that gateway at once: the
// owners, which have not heard of it yet, tell it all the same, soon.
func TestOwnersCatchUp(t *testing.T) {
	inWorld(t, 3, func(_ *testing.T, h *world) {
		const vms = 60
		h.people(1, vms)
		h.gateway(0).activate(1, true)
		h.gateway(0).svm(1)
		time.Sleep(5 * time.Second)
		h.SetFaults(clustertest.Faults{Delay: 100 * time.Millisecond, Jitter: 200 * time.Millisecond})
		h.gateway(0).activate(1, false)
		for n := range vms {
			h.gateway(0).ask(n, 1, "")
		}
		time.Sleep(5 * time.Second)
		h.want("asked once", watch.AgentNoSVM, vms)
	})
}

// On either side of a cut what happens is told at most once; what both sides tell has one
// id, and when they meet it is there once.
func TestPartition(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, h *world) {
		const vms = 100
		h.people(1, vms)
		h.gateway(0).activate(1, true)
		time.Sleep(time.Second)
		h.gateway(0).activate(1, false)
		time.Sleep(time.Second)
		h.Partition(h.Names(0, 1), h.Names(1, 3))
		for range 6 {
			for n := range vms {
				for i := range 3 {
					h.gateway(i).ask(n, 1, "")
					h.gateway(i).say(n, 1, `{"updateFailed":true}`)
				}
			}
			time.Sleep(20 * time.Second)
		}
		for _, eventType := range []string{watch.AgentNoSVM, watch.AgentUpdateFailed} {
			if n, ids := h.written(eventType); n != 2*vms || ids != vms || h.twice > 0 {
				t.Errorf("%d events %s were written, with %d ids; want %d, once on each side, with %d", n, eventType, ids, 2*vms, vms)
			}
		}
		h.Heal()
		h.Settle(time.Minute)
		time.Sleep(20 * time.Second)
		before := maps.Clone(h.wrote["n0"])
		for n := range vms {
			h.gateway(n%3).ask(n, 1, "")
			h.gateway(n%3).say(n, 1, `{"updateFailed":true}`)
		}
		time.Sleep(20 * time.Second)
		for i := range 3 {
			if n := h.gateway(i).count(watch.AgentNoSVM); n != vms {
				t.Errorf("n%d has %d events, want %d", i, n, vms)
			}
		}
		for id, e := range h.wrote["n0"] {
			if _, was := before[id]; !was && e.VM != (store.BIOSID{}) {
				t.Errorf("after the cut %s was told once more: %+v", e.Type, e)
			}
		}
	})
}

// After a cut an outage is told as before it, though one side's count of outages was lost.
func TestOutagesAfterAPartition(t *testing.T) {
	inLongWorld(t, 2, func(t *testing.T, h *world) {
		h.gateway(0).tenant(1, store.Simple)
		h.gateway(0).vm(1, 1)
		time.Sleep(2 * time.Second)
		outage := func(sides ...int) {
			for _, i := range sides {
				h.gateway(i).ask(1, 1, "")
			}
			time.Sleep(10 * time.Second)
			for _, i := range sides {
				h.gateway(i).svm(1)
			}
			time.Sleep(time.Second)
			for _, i := range sides {
				h.gateway(i).ask(1, 1, "")
			}
			time.Sleep(10 * time.Second)
			for _, i := range sides {
				h.gateway(i).must(func(tx *store.Tx) error { _, err := tx.DeleteSVM(svmID(1)); return err })
			}
			time.Sleep(time.Second)
		}
		outage(0)
		h.want("before", watch.AgentNoSVM, 1)
		h.Partition(h.Names(0, 1), h.Names(1, 2))
		time.Sleep(20 * time.Second)
		outage(0)
		outage(0)
		outage(1) // later, so its observation, which has counted less, stays
		h.Heal()
		h.Settle(time.Minute)
		time.Sleep(10 * time.Minute)
		n := h.gateway(0).count(watch.AgentNoSVM)
		if n != 3 {
			t.Errorf("%d events when they meet, want 3", n)
		}
		for range 3 {
			outage(0)
			time.Sleep(10 * time.Minute)
			n++
			if got := h.gateway(1).count(watch.AgentNoSVM); got != n {
				t.Errorf("%d events after one more outage, want %d", got, n)
			}
		}
	})
}

// An SVM that falls silent, one that comes back, and one that is full are told once.
func TestSVMsAmongGateways(t *testing.T) {
	inLongWorld(t, 3, func(_ *testing.T, h *world) {
		const svms = 30
		for n := range svms {
			h.gateway(n%3).reporting(n+1, 101, func(s *store.SVM) { s.HardCap = 100 })
		}
		time.Sleep(30 * time.Minute)
		h.want("full", watch.SVMOverCapacity, svms)
		h.want("silent", watch.SVMDown, svms)
		h.crash(2)
		time.Sleep(time.Minute)
		h.start(2)
		time.Sleep(time.Minute)
		for n := range svms {
			h.gateway((n+1)%3).report(n+1, 10)
		}
		time.Sleep(30 * time.Second)
		h.want("reporting", watch.SVMUp, svms)
		h.want("reporting", watch.SVMDown, svms)
	})
}

// Gateways that come and go are told once, by one of the others.
func TestMembersAmongGateways(t *testing.T) {
	inWorld(t, 3, func(_ *testing.T, h *world) {
		time.Sleep(30 * time.Second)
		h.want("all came", watch.MemberJoined, 3)
		h.crash(1)
		time.Sleep(time.Minute)
		h.want("n1 died", watch.MemberFailed, 1)
		h.start(1)
		time.Sleep(time.Minute)
		h.want("n1 came back", watch.MemberJoined, 4)
		h.stop(2)
		time.Sleep(time.Minute)
		h.want("n2 was stopped", watch.MemberLeft, 1)
		h.want("n2 was stopped", watch.MemberFailed, 1)
		h.start(2)
		time.Sleep(time.Minute)
		h.want("n2 came back", watch.MemberJoined, 5)
	})
}

// A conflict is told once, whichever gateways find it; by both sides of the cut, if their
// tables meet before they know of each other again.
func TestConflictsAreTold(t *testing.T) {
	inWorld(t, 3, func(t *testing.T, h *world) {
		const tenants = 8
		for n := range tenants {
			h.gateway(0).tenant(n+1, store.Complete)
			h.gateway(0).tenant(n+101, store.Complete)
		}
		time.Sleep(5 * time.Second)
		h.Partition(h.Names(0, 1), h.Names(1, 3))
		time.Sleep(20 * time.Second)
		for n := range tenants {
			h.gateway(1).activate(n+1, false)
			time.Sleep(10 * time.Millisecond)
			h.gateway(0).activate(n+1, true)
			h.gateway(0).vm(n, n+1)
			h.gateway(2).vm(n, n+101)
		}
		h.Heal()
		h.Settle(time.Minute)
		time.Sleep(time.Minute)
		h.wantOfSides(2, "activated and deactivated", string(store.TenantConflict), tenants)
		h.wantOfSides(2, "registered twice", string(store.VMConflict), tenants)
		h.gateway(0).table.Events(store.Version{}, func(e *store.Event) bool {
			if e.Type == string(store.VMConflict) && (e.VM.IsZero() || !slices.Contains([]byte(e.Message), '"')) {
				t.Errorf("event %+v", e)
			}
			return true
		})
	})
}
