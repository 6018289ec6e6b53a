package discovery

import (
	"cmp"
	"slices"

	"github.com/svmgate/svmgate/store"
)

// A tally is what a forecast has counted so far.
type tally struct {
	tenants                  []tenantTally // by index
	before, atOnce, inTheEnd []int32       // SVMs' loads, by index

	// Of SVMs, by index: the sum of their fair shares in the classes of agents that have
	// them in the end, and how many those are.
	fair, shared []uint64

	flows map[[2]int32]int // agents, by the indexes of two SVMs
}

type tenantTally struct {
	agents                   int
	moves                    Moves
	before, atOnce, inTheEnd Outcome
}

// maxFlows bounds the pairs of SVMs that are counted. Those that come later do not count.
const maxFlows = 1 << 20

func newTally(s *Selector) tally {
	before := loadsOf(s)
	return tally{
		tenants: make([]tenantTally, s.catalog.Load().view.NumTenants()), before: before,
		fair: make([]uint64, len(before)), shared: make([]uint64, len(before)), flows: map[[2]int32]int{},
	}
}

// loadsOf returns the estimates of all SVMs, by index.
func loadsOf(s *Selector) []int32 {
	loads := make([]int32, s.catalog.Load().view.NumSVMs())
	for i := range loads {
		loads[i] = int32(max(0, s.agents(i)))
	}
	return loads
}

func (t *tally) of(slot store.Slot) *tenantTally { return &t.tenants[slot.Tenant()] }

func (t *tally) flow(from, to int) {
	pair := [2]int32{int32(from), int32(to)}
	if _, ok := t.flows[pair]; ok || len(t.flows) < maxFlows {
		t.flows[pair]++
	}
}

func (o *Outcome) count(r Result) {
	switch r {
	case Assigned:
		o.Served++
	case TenantInactive:
		o.Inactive++
	case OverCapacity:
		o.OverCapacity++
	default:
		o.NoSVM++
	}
}

func (o *Outcome) add(p Outcome) {
	o.Served += p.Served
	o.Inactive += p.Inactive
	o.NoSVM += p.NoSVM
	o.OverCapacity += p.OverCapacity
}

// stranded counts agents that should have an SVM and have none to themselves.
func (o *Outcome) stranded() int { return o.NoSVM + o.OverCapacity }

// result puts a forecast together.
func (f *forecaster) result(change *Change) Forecast {
	c, t := f.then.catalog.Load(), &f.tally
	r := Forecast{Flows: []Flow{}, Tenants: []TenantForecast{}, SVMs: []SVMForecast{}, FlowCount: len(t.flows)}
	r.Newcomers = change.Newcomers
	for _, n := range change.NewcomersOf {
		r.Newcomers += n
	}
	for i := range t.tenants {
		one := &t.tenants[i]
		r.Agents += one.agents
		r.Moves.AtOnce += one.moves.AtOnce
		r.Moves.InTheEnd += one.moves.InTheEnd
		r.Before.add(one.before)
		r.AtOnce.add(one.atOnce)
		r.InTheEnd.add(one.inTheEnd)
		if one.atOnce.stranded() > 0 {
			r.Stranded++
		}
		if one.moves.AtOnce+one.moves.InTheEnd+one.atOnce.stranded()+one.inTheEnd.stranded() > 0 {
			r.Tenants = append(r.Tenants, c.tenantForecast(i, one))
		}
	}
	r.TenantCount = len(r.Tenants)
	slices.SortFunc(r.Tenants, func(a, b TenantForecast) int {
		return cmp.Or(cmp.Compare(b.AtOnce.stranded(), a.AtOnce.stranded()),
			cmp.Compare(max(b.Moves.AtOnce, b.Moves.InTheEnd), max(a.Moves.AtOnce, a.Moves.InTheEnd)),
			cmp.Compare(a.Name, b.Name))
	})
	r.Tenants = r.Tenants[:min(len(r.Tenants), ForecastTop)]
	for pair, n := range t.flows {
		r.Flows = append(r.Flows, Flow{c.nameOf(int(pair[0])), c.nameOf(int(pair[1])), n})
	}
	slices.SortFunc(r.Flows, func(a, b Flow) int {
		return cmp.Or(cmp.Compare(b.Agents, a.Agents), compareIDs(a.From.ID, b.From.ID), compareIDs(a.To.ID, b.To.ID))
	})
	r.Flows = slices.Clone(r.Flows[:min(len(r.Flows), ForecastTop)])
	r.SVMs = f.svms(change)
	return r
}

func (c *catalog) tenantForecast(i int, one *tenantTally) TenantForecast {
	t := TenantForecast{Agents: one.agents, Moves: one.moves, AtOnce: one.atOnce, InTheEnd: one.inTheEnd}
	if tenant := c.view.Tenant(i); tenant != nil {
		t.ID, t.Name = tenant.ID, tenant.Name
	}
	return t
}

func (c *catalog) nameOf(i int) SVMName {
	e := c.svms[i].entry
	return SVMName{ID: e.ID, Name: e.Name}
}

func (f *forecaster) svms(change *Change) []SVMForecast {
	c, t, out := f.then.catalog.Load(), &f.tally, []SVMForecast{}
	had := f.now.catalog.Load().byID
	for i := range c.svms {
		e := c.svms[i].entry
		if e == nil {
			continue
		}
		s := SVMForecast{
			SVMName: c.nameOf(i), Capacity: e.Weight(), HardCap: e.HardCap, Full: f.then.full(i),
			Before: int(t.before[i]), AtOnce: int(t.atOnce[i]), InTheEnd: int(t.inTheEnd[i]),
		}
		if n := t.shared[i]; n > 0 {
			s.Fair = int((t.fair[i] + n/2) / n)
		}
		if _, ok := had[e.ID]; !ok {
			s.Change = "added"
		}
		if slices.Contains(change.Lose, e.ID) {
			s.Change, s.AtOnce, s.InTheEnd, s.Fair, s.Full = "lost", 0, 0, 0, false
		}
		out = append(out, s)
	}
	return out
}

// fairShare returns what an SVM would have if the agents of its class, as the agent of a
// slot sees it, were spread by capacity.
func (s *Selector) fairShare(slot store.Slot, svm int) uint64 {
	c, q := s.catalog.Load(), Query{}
	w := walk{s: s, c: c, q: &q, agent: slot.Hash()}
	w.prepare(&c.tenants[slot.Tenant()], slot, true)
	w.findSets()
	f := &c.svms[svm]
	group := 2*f.classOf(w.os) + 1
	if w.nearby && f.place.localTo(w.host, w.wide) {
		group--
	}
	set, _ := w.enter(group)
	return w.share(set).fair * uint64(f.entry.Weight()) >> fairShift
}
