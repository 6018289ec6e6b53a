package discovery

import "github.com/svmgate/svmgate/store"

// Select answers q into a and remembers the assignment. If the first SVM is neither
// the one that was remembered for the VM nor q.Current, the agent is sent there. A VM
// counts for one SVM at a time, the one remembered (if none is, for q.Current, if that
// is for the agent): when another is remembered, whether the agent was sent there or
// says that it is there, that one's load grows by one and the other's shrinks by one,
// until their next reports. A VM that is not registered is not remembered, and counts
// nothing. Nothing counts either unless the result is [Assigned].
func (s *Selector) Select(q *Query, a *Answer) {
	// Hot path: one call per agent request. It holds these invariants, which
	// TestSelectDoesNotAllocate and TestSelectTakesNoLock watch:
	//
	//  1. One load of the catalog. Everything below sees the same tenants and
	//     SVMs; loads and states are read as they are at the moment.
	//  2. No lock, no allocation, no clock, no logging. The one exception is a
	//     question whose candidate set does not stand yet: it leaves the set's
	//     key in a mailbox, without waiting.
	//  3. What the answer points to is immutable.
	slot, ok := s.table.Lookup(&q.BIOS)
	if c, registered := s.decideFor(q, a, slot, ok, false); registered {
		s.conclude(c, slot, q, a)
	}
}

// Prefetch asks memory for what a question about a VM begins with, and does not wait for it:
// for who has something else to do until then, such as other questions.
func (s *Selector) Prefetch(id *store.BIOSID) { s.table.Prefetch(id) }

// selectFor is Select for the registered VM of a slot.
func (s *Selector) selectFor(q *Query, a *Answer, slot store.Slot) {
	if c, registered := s.decideFor(q, a, slot, true, false); registered {
		s.conclude(c, slot, q, a)
	}
}

// conclude is what Select does beyond deciding.
func (s *Selector) conclude(c *catalog, slot store.Slot, q *Query, a *Answer) {
	if len(q.Failed) > 0 {
		s.accuse(c, slot, q)
	}
	if a.Result != Assigned || slot.Assigned() == int(a.picks[0].index) {
		return // most answers; and a write would keep the processor from going on
	}
	s.assign(c, slot, q, a)
}

// accuse notes which SVMs a registered VM could not reach, of those that are for it.
func (s *Selector) accuse(c *catalog, slot store.Slot, q *Query) {
	w := walk{s: s, c: c, q: q, agent: slot.Hash(), version: c.words.class(q.Version)}
	t := &c.tenants[slot.Tenant()]
	w.prepare(t, slot, true)
	for _, i := range w.failed[:w.nFailed] {
		if !t.inactive && c.svms[i].admits(w.area, c.words) == passes {
			s.blame(int(i), w.agent)
		}
	}
}

// assign remembers an answer whose first SVM is not the one remembered.
func (s *Selector) assign(c *catalog, slot store.Slot, q *Query, a *Answer) {
	current := -1
	if !q.Current.IsZero() {
		if i, ok := c.byID[q.Current]; ok {
			current = i
		}
	}
	if int(a.picks[0].index) == current {
		// Another gateway has sent it there and counts it, or the report has it: to count it
		// here too would be to count it twice.
		slot.Assign(current)
		return
	}
	if wait := s.admit(c, slot); wait > 0 {
		s.counts.later.Add(1)
		a.Result, a.n, a.RefreshSeconds = Later, 0, wait
		a.Revision = c.tenants[slot.Tenant()].revision(a)
		return
	}
	// The pick is counted before the answer stands: so no two questions that come
	// together take an SVM over its hard cap.
	for tries := 0; !s.reserve(int(a.picks[0].index)); tries++ {
		s.decideFor(q, a, slot, true, tries == maxTries)
		if a.Result != Assigned || slot.Assigned() == int(a.picks[0].index) {
			return
		}
	}
	first := int(a.picks[0].index)
	was := slot.Assign(first) // first itself, if another question of the same agent was faster
	if was < 0 && current >= 0 && s.fits(c, slot, q, current) {
		was = current
	}
	if was >= 0 {
		s.table.Pick(was, -1)
	}
	switch {
	case was < 0:
		s.counts.placed.Add(1)
	case was != first:
		s.counts.moved.Add(1)
	}
}

// fits reports whether the filters admit a registered VM's agent to an SVM, whatever
// the SVM's state.
func (s *Selector) fits(c *catalog, slot store.Slot, q *Query, i int) bool {
	w := walk{s: s, c: c, q: q, agent: slot.Hash(), version: c.words.class(q.Version)}
	w.prepare(&c.tenants[slot.Tenant()], slot, true)
	return c.svms[i].admits(w.area, c.words) == passes
}

// maxTries is how often a question looks for another SVM because others took the last
// places of those that it found. Then it looks for one without a hard cap.
const maxTries = 8

// Decide answers q into a like [Selector.Select], and remembers nothing. It never
// answers [Later].
func (s *Selector) Decide(q *Query, a *Answer) { s.decide(q, a) }

func (s *Selector) decide(q *Query, a *Answer) (*catalog, store.Slot, bool) {
	slot, ok := s.table.Lookup(&q.BIOS)
	c, ok := s.decideFor(q, a, slot, ok, false)
	return c, slot, ok
}

// decideFor answers q for the VM of a slot; sparing SVMs with a hard cap, if it is told
// to. It does what depends on the agent alone before it looks at the slot: the processor
// does it while the slot comes from memory.
func (s *Selector) decideFor(q *Query, a *Answer, slot store.Slot, ok, sparing bool) (*catalog, bool) {
	c := s.catalog.Load()
	var w walk
	w.s, w.c, w.q, w.a, w.agent, w.version, w.sparing = s, c, q, a, slot.Hash(), c.words.class(q.Version), sparing
	spread := spreadOf(w.agent)
	a.n, a.RefreshSeconds = 0, refreshServed(spread)

	if ok && !c.knows(slot) {
		// The VM is newer than the catalog we loaded; the table publishes what a
		// VM refers to before the VM, so the present one has it, unless the
		// selector is closed.
		c = s.catalog.Load()
		w.c, w.version = c, c.words.class(q.Version)
		ok = c.knows(slot)
	}
	t := &c.tenants[0]
	if ok {
		t = &c.tenants[slot.Tenant()]
		// A VM that the question may not see is not found.
		if t.gone || q.Authenticated && c.ids[slot.Tenant()] != q.Tenant {
			t, ok = &c.tenants[0], false
		}
	}
	a.Amiss = ok && slot.Amiss()
	switch {
	case !ok && !s.serve:
		a.Result, a.RefreshSeconds, a.Revision = NotRegistered, refreshNone(spread), 0
		return c, ok
	case t.inactive:
		a.Result, a.n, a.picks[0] = TenantInactive, 1, s.dead
	default:
		w.prepare(t, slot, ok)
		w.run(c)
	}
	if a.n == 0 {
		a.Result, a.RefreshSeconds = NoSVM, refreshNone(spread)
	}
	a.Revision = t.revision(a)
	return c, ok
}

func (c *catalog) knows(slot store.Slot) bool {
	return slot.Tenant() < len(c.tenants) && slot.Version() < len(c.versions) && slot.Path() < c.view.NumPaths()
}

// revision is the fingerprint of an answer.
func (t *tenantFacts) revision(a *Answer) uint64 {
	print := uint64(0)
	if a.n > 0 {
		print = a.picks[0].print
	}
	return mix(mix(t.settings+uint64(a.Result)*golden)^print) & (1<<53 - 1)
}

// spreadOf is a number by which agents are spread in time.
func spreadOf(agent uint64) uint64 { return mix(agent + golden) }

// refreshServed and refreshNone spread an interval by ±10 % over agents.
func refreshServed(spread uint64) int {
	return RefreshServed - RefreshServed/10 + int(spread%(2*RefreshServed/10+1))
}

func refreshNone(spread uint64) int {
	return RefreshNone - RefreshNone/10 + int(spread%(2*RefreshNone/10+1))
}

// prepare gathers the facts of the question: from the query, else from the VM's
// record, else from the tenant's settings.
func (w *walk) prepare(t *tenantFacts, slot store.Slot, registered bool) {
	q, c := w.q, w.c
	version, os, kind := w.version, q.OS, q.Kind
	var path store.PathSymbols
	if registered {
		path = c.view.Path(slot.Path())
		if version == versionAny {
			version = c.versions[slot.Version()]
		}
		if os == store.OSUnknown {
			os = slot.OS()
		}
		if kind == store.AgentUnknown {
			kind = slot.Kind()
		}
	}
	if version == versionAny {
		version = t.version
	}
	tag, protection, algorithm, level := t.tag, t.protection, t.algorithm, t.path
	if !t.locked {
		if q.Tag.Set {
			tag = c.words.tag(q.Tag.V)
		}
		if q.Protection.Set {
			protection = q.Protection.V
		}
		if q.Algorithm.Set {
			algorithm = q.Algorithm.V
		}
		if q.Path.Set {
			level = q.Path.V
		}
	}
	w.os, w.load = os, t.load
	w.host, w.wide = path.At(store.PathHost), path.At(w.s.level)
	w.base = makeKey(tag, version, protection, os, kind, t.dedication)
	w.preferLocal = algorithm == store.Standard
	if w.preferLocal {
		w.locals = c.within(w.nearKey())
		w.nearby = len(w.locals) > 0
	}
	w.area = w.base
	if algorithm == store.Extended && level != store.PathIgnore {
		w.area = w.base.in(scoped+part(level), path.At(level), 0)
	}
	w.all = c.within(w.area)
	w.limit = q.Limit
	if w.limit <= 0 {
		w.limit = DefaultLimit
	}
	w.limit = min(w.limit, MaxLimit)
	w.having(slot, registered)
	for _, id := range q.Failed[:min(len(q.Failed), MaxLimit)] {
		if i, ok := c.byID[id]; ok {
			w.failed[w.nFailed] = uint32(i)
			w.nFailed++
		}
	}
}
