package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/svmgate/svmgate/store"
)

// tick is how fine time is. Ticks fall between the pulses of selectors, never on one:
// what happens at one moment has one order only, and a run is the same each time.
const (
	tick       = 20 * time.Millisecond
	firstTick  = 7 * time.Millisecond
	firstPulse = time.Millisecond
	nextPulse  = 5 * time.Millisecond
)

// ticks is a duration in ticks, at least one.
func ticks(d time.Duration) int { return max(1, int(d/tick)) }

// A run is a world under way. Its methods are called by one goroutine, in a bubble.
type run struct {
	World
	policy Policy
	rand   *rand.Rand
	seed   uint64

	tick     int // since the beginning
	agents   []agent
	svms     []svm
	gateways []*gateway
	pools    []pool
	hosts    []int // of agents
	wheel    wheel
	calls    calls
	reports  [][]int // SVMs by the tick of the interval at which they report

	sight
}

// An svm is an SVM as it is, whatever gateways believe.
type svm struct {
	id        store.SVMID
	facts     store.SVMFacts
	capacity  int
	hardCap   int
	pool      int
	up        bool
	connected int
	coming    int // agents on their way
}

// A pool is agents that share SVMs with nobody else.
type pool struct {
	agents   int
	capacity int     // of the SVMs that are up
	peak     float64 // greatest load of an SVM for its fair share
}

// start begins a run: every gateway knows every SVM, all are up, and nobody is
// connected.
func (l *Lab) start(w World, p Policy, seed uint64) (*run, error) {
	r := &run{World: w, policy: p, seed: seed, rand: rand.New(rand.NewPCG(seed, 5)), hosts: w.deal()}
	r.reports = make([][]int, ticks(w.Report))
	r.people()
	r.reset()
	for i := range max(1, w.Gateways) {
		g := &gateway{run: r, number: i}
		r.gateways = append(r.gateways, g)
		if err := g.open(l); err != nil {
			return r, err
		}
	}
	var records []store.Record
	for i := range r.svms {
		if err := r.gateways[0].table.Update(func(tx *store.Tx) error { return r.register(tx, i) }); err != nil {
			return r, err
		}
		for _, kind := range []store.Kind{store.KindSVMConfig, store.KindSVMFacts, store.KindSVMLoad} {
			record, _ := r.gateways[0].table.Record(store.Key{Kind: kind, ID: r.svms[i].id})
			records = append(records, record)
		}
	}
	time.Sleep(firstPulse)
	for i, g := range r.gateways {
		if i > 0 {
			if _, err := g.table.Apply(store.Batch{Records: records}); err != nil {
				return r, err
			}
		}
		if err := g.start(); err != nil {
			return r, err
		}
		time.Sleep(nextPulse)
	}
	time.Sleep(time.Until(epoch.Add(time.Since(epoch).Truncate(tick) + tick + firstTick)))
	return r, nil
}

// people makes agents and SVMs. The first pool is of the SVMs that belong to nobody.
func (r *run) people() {
	r.pools = make([]pool, 1)
	for range r.SVMs {
		r.addSVM(0)
	}
	for _, kind := range r.Tenants {
		for range kind.Count {
			at := 0
			if kind.SVMs > 0 {
				at = len(r.pools)
				r.pools = append(r.pools, pool{})
				for range kind.SVMs {
					r.addSVM(at)
				}
			}
			for range kind.Agents {
				r.agents = append(r.agents, agent{svm: nowhere, pool: int32(at), silent: r.rand.Float64() < r.Silent})
			}
			r.pools[at].agents += kind.Agents
		}
	}
}

func (r *run) addSVM(pool int) int {
	i := len(r.svms)
	s := svm{
		id: id(svmIDs, r.seed, i), pool: pool, up: true, capacity: r.capacity(i), hardCap: r.HardCap * r.capacity(i),
		facts: store.SVMFacts{Version: "6.0", License: store.License{State: store.LicenseValid}},
	}
	if len(r.Hosts) > 0 {
		s.facts.Path = hostPath(i)
	}
	r.svms = append(r.svms, s)
	r.pools[pool].capacity += s.capacity
	at := r.rand.IntN(len(r.reports))
	r.reports[at] = append(r.reports[at], i)
	return i
}

// grow adds SVMs that belong to nobody. Each is registered at one gateway.
func (r *run) grow(n int) {
	for range n {
		i := r.addSVM(0)
		g := r.gateways[r.rand.IntN(len(r.gateways))]
		r.must(g.table.Update(func(tx *store.Tx) error { return r.register(tx, i) }))
	}
}

// register writes an SVM into a table.
func (r *run) register(tx *store.Tx, i int) error {
	s := &r.svms[i]
	config := store.SVMConfig{
		Name: fmt.Sprintf("svm-%d", i), Address: fmt.Sprintf("10.9.%d.%d", i/250, i%250+1), Capacity: s.capacity, HardCap: s.hardCap,
	}
	if s.pool > 0 {
		config.Tenants = []store.TenantID{id(tenantIDs, 0, r.tenantOf(s.pool))}
	}
	_, err := tx.PutSVM(store.SVM{ID: s.id, SVMConfig: config, SVMFacts: s.facts, ConnectedAgents: s.connected})
	return err
}

// tenantOf is the number of the tenant whose pool it is.
func (r *run) tenantOf(at int) int {
	tenant := 0
	for _, kind := range r.Tenants {
		if kind.SVMs == 0 {
			tenant += kind.Count
			continue
		}
		if at <= kind.Count {
			return tenant + at - 1
		}
		at -= kind.Count
		tenant += kind.Count
	}
	return tenant
}

func (r *run) close() {
	for _, g := range r.gateways {
		g.close()
	}
}

// must stops a run in which something failed that can not.
func (r *run) must(err error) {
	if err != nil {
		panic(fmt.Sprintf("sim: seed %d, %s: %v", r.seed, r.policy.Name, err))
	}
}

// advance lets time pass.
func (r *run) advance(d time.Duration) {
	for range ticks(d) {
		time.Sleep(tick)
		r.tick++
		r.turn()
	}
}

// now is the time since the beginning.
func (r *run) now() time.Duration { return time.Duration(r.tick) * tick }

func (r *run) turn() {
	r.calls.run(r.tick)
	for _, g := range r.gateways {
		g.passTold()
	}
	r.wheel.each(r.tick, func(a int32) {
		if r.agents[a].due == r.tick32() {
			r.act(a)
		}
	})
	for _, i := range r.reports[r.tick%len(r.reports)] {
		if r.svms[i].up {
			g := r.gateways[r.rand.IntN(len(r.gateways))]
			g.report = append(g.report, i)
		}
	}
	for _, g := range r.gateways {
		g.takeReports()
	}
	if r.tick%ticks(passOnEvery) == 0 {
		for _, g := range r.gateways {
			g.passOn()
		}
	}
	if r.tick%ticks(time.Second) == 0 {
		for _, g := range r.gateways {
			g.table.Sweep(time.Now())
		}
		r.look()
	}
}

func (r *run) tick32() int32 { return int32(r.tick) }

// A wheel has agents by the tick at which something is due for them, up to its size in
// ticks ahead.
type wheel struct{ slots [1 << 15][]int32 }

func (w *wheel) add(tick int, agent int32) {
	slot := &w.slots[tick%len(w.slots)]
	*slot = append(*slot, agent)
}

func (w *wheel) each(tick int, fn func(agent int32)) {
	slot := &w.slots[tick%len(w.slots)]
	for _, a := range *slot {
		fn(a)
	}
	*slot = (*slot)[:0]
}

// calls are functions by the tick at which they are called; of one tick, in the order
// in which they were added.
type calls struct {
	queue callQueue
	added int
}

type call struct {
	tick, order int
	fn          func()
}

func (c *calls) add(tick int, fn func()) {
	c.added++
	heap.Push(&c.queue, call{tick, c.added, fn})
}

func (c *calls) run(tick int) {
	for len(c.queue) > 0 && c.queue[0].tick <= tick {
		heap.Pop(&c.queue).(call).fn()
	}
}

type callQueue []call

func (q callQueue) Len() int { return len(q) }
func (q callQueue) Less(i, j int) bool {
	return q[i].tick < q[j].tick || q[i].tick == q[j].tick && q[i].order < q[j].order
}
func (q callQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *callQueue) Push(x any)   { *q = append(*q, x.(call)) }
func (q *callQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
