package discovery

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/svmgate/svmgate/store"
)

// pulses is how often a forecast brings loads up to date while all agents ask.
const pulses = 128

// nobody stands for no SVM where an index of one is expected.
const nobody = -1

// A forecaster lets all agents ask on a table that is supposed.
type forecaster struct {
	now   *Selector // as things are
	still *Selector // the same, on a table of its own
	then  *Selector // as they would be

	newcomers   int         // spread over all VMs
	newcomersOf map[int]int // by index of the tenant
	vms         []int       // by index of the tenant
	all         int         // VMs

	// Where each agent is before the change, and in the forecast so far: the index of its
	// SVM, or nobody. VMs come first, by the place that the table gives them, then
	// newcomers in the order of their coming.
	before, places []int32

	// By how much those that are new exceed the picks of the supposed table: some came
	// before, and not every change of picks is of one who comes.
	newOnes int64

	answer Answer
	tally  tally
}

// An agent is one that asks in a forecast.
type agent struct {
	n        int // in places
	slot     store.Slot
	newcomer bool
}

func (s *Selector) forecast(ctx context.Context, change *Change) (Forecast, error) {
	f := &forecaster{now: s, newcomers: change.Newcomers, newcomersOf: map[int]int{}}
	if err := f.checkNewcomers(change); err != nil {
		return Forecast{}, err
	}
	var err error
	if f.still, err = s.suppose(new(Change)); err != nil {
		return Forecast{}, err
	}
	if f.then, err = s.suppose(change); err != nil {
		return Forecast{}, err
	}
	if err := f.takeStock(ctx); err != nil {
		return Forecast{}, err
	}
	if err := f.each(ctx, f.askAtOnce); err != nil {
		return Forecast{}, err
	}
	f.tally.atOnce = loadsOf(f.then)
	f.then.endTurns()
	if err := f.each(ctx, f.askInTheEnd); err != nil {
		return Forecast{}, err
	}
	f.tally.inTheEnd = loadsOf(f.then)
	return f.result(change), nil
}

// takeStock finds out where all agents are. Estimates have those that were sent to their
// SVM. The others are sent to one now; where reports tell of agents whom nobody was seen
// to send, it is they, else they count as well.
func (f *forecaster) takeStock(ctx context.Context) error {
	f.count()
	f.tally = newTally(f.then)
	c, unknown := f.then.catalog.Load(), make([]int, len(f.tally.before))
	for i := range f.still.catalog.Load().view.NumSVMs() {
		unknown[i] = f.still.agents(i)
	}
	asked, every := 0, max(1, f.all/pulses)
	each := func(fn func(place int, slot store.Slot)) error {
		f.then.table.ScanVMs(func(place int, _ store.BIOSID, slot store.Slot) bool {
			if c.counts(slot) {
				fn(place, slot)
			}
			asked++
			return asked%1024 != 0 || ctx.Err() == nil
		})
		return ctx.Err()
	}
	if err := each(func(place int, slot store.Slot) {
		if at := c.remembered(slot); at != nobody && !f.inactive(slot) {
			f.before[place] = int32(at)
			f.tally.of(slot).before.count(Assigned)
			unknown[at]--
		}
	}); err != nil {
		return err
	}
	if err := each(func(place int, slot store.Slot) {
		if f.before[place] != nobody {
			return
		}
		at, was := f.send(slot)
		f.before[place] = int32(at)
		f.tally.of(slot).before.count(was)
		if at == nobody {
			return
		}
		if unknown[at]--; unknown[at] >= 0 {
			f.still.table.Pick(at, -1)
		} else {
			f.then.table.Pick(at, +1)
		}
		if asked%every == 0 {
			f.still.pulse()
		}
	}); err != nil {
		return err
	}
	f.newOnes = f.now.came() - f.picks()
	f.pulse()
	f.tally.before = loadsOf(f.then)
	return nil
}

// came is how many agents came lately.
func (s *Selector) came() int64 {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.ledger.crowd.came(s.ledger.gateways.Load())
}

// picks are those of all SVMs of the supposed table.
func (f *forecaster) picks() (n int64) {
	for i := range f.then.catalog.Load().view.NumSVMs() {
		n += int64(f.then.table.Picks(i))
	}
	return n
}

// pulse brings up to date what the supposed table's agents meet. Until the end it is as if
// all of them asked within seconds: those that come may be so many that nobody is moved.
func (f *forecaster) pulse() {
	f.then.pulse()
	l, agents := f.then.ledger, int64(0)
	if l.due {
		return
	}
	for i := range f.then.catalog.Load().view.NumSVMs() {
		agents += int64(l.accounts[i].then.Load())
	}
	l.calm.Store(isCalm(f.picks()+f.newOnes, agents))
}

// inactive reports whether the tenant of a VM is inactive as things are.
func (f *forecaster) inactive(slot store.Slot) bool {
	c := f.now.catalog.Load()
	return !c.knows(slot) || c.tenants[slot.Tenant()].inactive
}

// send returns where an agent would be sent, as things are, that was sent nowhere.
func (f *forecaster) send(slot store.Slot) (at int, was Result) {
	if f.inactive(slot) {
		return nobody, TenantInactive
	}
	return askOf(f.still, &f.answer, slot, nobody, nobody)
}

// counts reports whether a VM is one of those that are asked.
func (c *catalog) counts(slot store.Slot) bool {
	return c.knows(slot) && !c.tenants[slot.Tenant()].gone
}

// remembered returns the SVM that a VM's agent was last sent to, if there still is one.
func (c *catalog) remembered(slot store.Slot) int {
	if i := slot.Assigned(); i >= 0 && i < len(c.svms) && c.svms[i].entry != nil {
		return i
	}
	return nobody
}

// askAtOnce lets an agent ask that is where it was before the change.
func (f *forecaster) askAtOnce(a agent) {
	from, remembered, said := int(f.before[a.n]), nobody, nobody
	if !a.newcomer {
		remembered = f.then.catalog.Load().remembered(a.slot)
		if from != nobody && remembered != from {
			remembered, said = nobody, from
		}
	}
	to, result := askOf(f.then, &f.answer, a.slot, remembered, said)
	f.recount(from, remembered, to)
	f.places[a.n] = int32(to)
	t := f.tally.of(a.slot)
	t.agents++
	t.atOnce.count(result)
	if from != nobody && to != nobody && from != to {
		t.moves.AtOnce++
	}
}

// askInTheEnd lets an agent ask again.
func (f *forecaster) askInTheEnd(a agent) {
	from := int(f.places[a.n])
	to, result := askOf(f.then, &f.answer, a.slot, from, nobody)
	f.recount(from, from, to)
	if to != nobody {
		f.tally.fair[to] += f.then.fairShare(a.slot, to)
		f.tally.shared[to]++
	}
	t := f.tally.of(a.slot)
	t.inTheEnd.count(result)
	if before := int(f.before[a.n]); before != nobody && to != nobody && before != to {
		t.moves.InTheEnd++
		f.tally.flow(before, to)
	}
}

// askOf puts an agent's question to a supposed table, and returns where it is then. It
// is remembered to be at an SVM, or says that it is at one.
func askOf(s *Selector, a *Answer, slot store.Slot, remembered, said int) (int, Result) {
	q, twin := Query{Limit: 1}, slot.Twin(slot.Hash())
	if remembered != nobody {
		twin.Assign(remembered)
	}
	if said != nobody {
		q.Current = s.catalog.Load().svms[said].entry.ID
	}
	s.selectFor(&q, a, twin)
	if len(s.misses) > 0 { // at once, or the next would have to scan, too
		s.buildMissed(<-s.misses)
	}
	switch a.Result {
	case Assigned:
		return int(a.picks[0].index), Assigned
	case OverCapacity: // it is told of nothing better than what it has
		return max(remembered, said), OverCapacity
	default:
		return nobody, a.Result
	}
}

// recount makes picks what they should be where Select does not count: agents that are
// served no more leave, and those of a tenant that was inactive were not there.
func (f *forecaster) recount(from, remembered, to int) {
	switch {
	case from != nobody && to == nobody:
		f.then.table.Pick(from, -1)
		f.newOnes++ // whoever leaves makes up for none that came
	case from == nobody && remembered != nobody && to != nobody:
		f.then.table.Pick(remembered, +1)
		f.newOnes--
	}
}

func (f *forecaster) checkNewcomers(change *Change) error {
	sum, c := change.Newcomers, f.now.catalog.Load()
	if change.Newcomers < 0 || change.Newcomers > MaxNewcomers {
		return &ChangeError{"Newcomers", fmt.Errorf("%d agents; want 0 to %d", change.Newcomers, MaxNewcomers)}
	}
	for id, n := range change.NewcomersOf {
		i := c.tenantIndex(id)
		if i < 0 {
			return &ChangeError{"NewcomersOf", fmt.Errorf("tenant %s: %w", id, store.ErrNotFound)}
		}
		if n < 0 || n > MaxNewcomers-sum {
			return &ChangeError{"NewcomersOf", fmt.Errorf("%d agents; want 0 to %d in all", n, MaxNewcomers)}
		}
		sum += n
		f.newcomersOf[i] = n
	}
	return nil
}

// count counts the VMs, so that newcomers can be spread evenly among them.
func (f *forecaster) count() {
	c := f.then.catalog.Load()
	f.vms = make([]int, len(c.tenants))
	f.then.table.ScanVMs(func(_ int, _ store.BIOSID, slot store.Slot) bool {
		if c.counts(slot) {
			f.vms[slot.Tenant()]++
			f.all++
		}
		return true
	})
	n := f.then.table.Places() + f.newcomers
	for _, more := range f.newcomersOf {
		n += more
	}
	f.before, f.places = make([]int32, n), make([]int32, n)
	for i := range f.before {
		f.before[i] = nobody // newcomers, and who comes while the others ask
	}
}

// each calls ask for every agent, newcomers after those that they are like, and brings
// loads up to date now and then.
func (f *forecaster) each(ctx context.Context, ask func(agent)) error {
	c, asked, next := f.then.catalog.Load(), 0, f.then.table.Places()
	every := max(1, (f.all+len(f.places)-next)/pulses)
	met := make([]int, len(f.vms)) // of each tenant
	total := 0
	one := func(a agent) bool {
		ask(a)
		if asked++; asked%every == 0 {
			f.pulse()
		}
		return asked%1024 != 0 || ctx.Err() == nil
	}
	come := func(slot store.Slot, n int) bool {
		for ; n > 0 && next < len(f.places); n-- {
			if !one(agent{next, slot.Twin(f.newHash(next)), true}) {
				return false
			}
			next++
		}
		return true
	}
	f.then.table.ScanVMs(func(place int, _ store.BIOSID, slot store.Slot) bool {
		t := slot.Tenant()
		if !c.counts(slot) {
			return true
		}
		goOn := one(agent{place, slot, false}) &&
			come(slot, due(total, f.all, f.newcomers)+due(met[t], f.vms[t], f.newcomersOf[t]))
		total++
		met[t]++
		return goOn
	})
	for _, t := range slices.Sorted(maps.Keys(f.newcomersOf)) {
		if f.vms[t] == 0 && ctx.Err() == nil {
			come(store.Stranger(t, 0), f.newcomersOf[t])
		}
	}
	f.pulse()
	return ctx.Err()
}

// newHash is the hash of a newcomer: any will do, if it is always the same.
func (f *forecaster) newHash(n int) uint64 {
	return mix(uint64(n-f.then.table.Places()+1) * golden)
}

// due is how many of n newcomers come after the i-th of some VMs, counting from 0, so
// that they are spread evenly.
func due(i, vms, n int) int {
	if i >= vms { // it has come since they were counted
		return 0
	}
	return (i+1)*n/vms - i*n/vms
}
