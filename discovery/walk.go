package discovery

import "github.com/svmgate/svmgate/store"

// A group is the SVMs of one class as a walk goes over them. In a candidate set
// it has just its members; where there is none, members are all that may be in it,
// and the walk filters them.
type group struct {
	members []member
	large   *large // nil if the class is small
	alike          // empty if it is large
}

// A walk goes over the groups of a question, best first, and fills the answer.
// It lives on the stack of one question.
type walk struct {
	s     *Selector
	c     *catalog
	q     *Query
	a     *Answer
	agent uint64
	limit int

	os          store.GuestOS
	load        store.Load
	host, wide  store.Symbol
	version     uint16
	preferLocal bool
	nearby      bool   // and some SVM is local to the VM
	base, area  setKey // settings alone, and with the scope

	locals, all []member // all SVMs that are local to the VM, and all that there are for it; and maybe others

	failed  [MaxLimit]uint32
	nFailed int

	have int  // index of the SVM that the agent has; less than 0 if it has none
	says bool // and says so itself: it is connected to it

	// Of the table's candidate sets, those of the question; nil if one does not stand, or
	// there is none because SVMs are few.
	near, wholly *set

	// Of the pass under way.
	suspects bool // which SVMs it is for
	full     bool // whether it takes SVMs at their hard cap
	sparing  bool // whether it leaves alone whatever has a hard cap
	remote   bool // whether it leaves alone what is local

	// Of the group under way.
	key   setKey
	class int
	scan  bool // there is no set: all of scanned may be members
	exact bool // only SVMs whose load is least
	least int

	scanned []member

	// Of the best group that has a usable SVM.
	best   int // see enter; suspects come after all others
	inBest int // SVMs of the answer that are in it: the first ones
}

// Groups are numbered, the best first: twice the class, and one more for the SVMs
// that are not local. The suspects of all groups come after all groups.
const groups = 2 * classes

// run fills the answer. Under [store.Balanced] it works out the usual order first:
// most agents have the SVM that is first in it, and then there is little to do.
func (w *walk) run(c *catalog) {
	w.findSets()
	if w.near == nil && w.nearKey().hasSet(w.locals) {
		w.s.miss(c, w.nearKey())
	}
	if w.wholly == nil && w.area.hasSet(w.all) {
		w.s.miss(c, w.area)
	}
	w.takeAllGroups()
	w.a.Result = Assigned
	if w.load == store.Balanced {
		w.balance()
	}
	if w.a.n == 0 {
		w.overCapacity()
	}
	w.tell()
}

// findSets finds the candidate sets of the question that stand.
func (w *walk) findSets() {
	sets := w.c.sets.Load()
	if near := w.nearKey(); near.hasSet(w.locals) {
		w.near = sets.find(near)
	}
	if w.area.hasSet(w.all) {
		w.wholly = sets.find(w.area)
	}
}

// takeAllGroups appends SVMs in the usual order: what is ready, then what is
// suspect, each from the best group to the worst. The local SVMs of a class are
// among the rest of it, too, but those that are usable have been taken by then.
func (w *walk) takeAllGroups() {
	for _, w.suspects = range [...]bool{false, true} {
		for group := range groups {
			if w.a.n >= w.limit {
				return
			}
			if s, ok := w.enter(group); ok {
				w.takeGroup(s, w.limit)
			}
			if w.inBest == 0 && w.a.n > 0 {
				w.best, w.inBest = group+groups*int(b2u(w.suspects)), w.a.n
			}
		}
	}
}

// enter makes a group the one under way and returns its set, which is nil if that
// does not stand. There is none of local SVMs where no SVM is local.
func (w *walk) enter(group int) (s *set, ok bool) {
	w.class = group / 2
	if group%2 == 0 {
		if !w.nearby {
			return nil, false
		}
		w.key, s, w.scanned = w.nearKey(), w.near, w.locals
	} else {
		w.key, s, w.scanned = w.area, w.wholly, w.all
	}
	w.scan = s == nil
	return s, true
}

func (w *walk) nearKey() setKey { return w.base.in(local, w.host, w.wide) }

// miss asks for a candidate set, without waiting. It is given the catalog apart
// from the walk: what is sent is kept, and a walk must not be.
func (s *Selector) miss(c *catalog, k setKey) {
	s.counts.scans.Add(1)
	select {
	case s.misses <- miss{key: k, catalog: c}:
	default:
	}
}

// takeGroup appends the usable members of the group under way in rendezvous order,
// until the answer has n. Under store.Fewest the first SVM of an answer is the least
// loaded of its group. The set is what enter returned.
func (w *walk) takeGroup(s *set, n int) {
	if s == nil {
		g := w.scanGroup()
		w.takeMembers(&g, n)
	} else if g := &s.classes[w.class]; len(g.members) > 0 {
		w.takeMembers(g, n)
	}
}

func (w *walk) takeMembers(g *group, n int) {
	if w.a.n == 0 && w.load == store.Fewest && w.findLeast(g) {
		w.exact = true
		w.append(g, 1)
		w.exact = false
	}
	if w.a.n < n {
		w.append(g, n)
	}
}

// scanGroup stands in for the group of a set that there is not.
func (w *walk) scanGroup() group {
	g := group{members: w.scanned}
	if len(g.members) <= few {
		return g
	}
	size := 0
	for i := range g.members {
		if w.inGroup(&w.c.svms[g.members[i].index]) {
			size++
		}
	}
	switch {
	case size == 0:
		g.members = nil
	case size > SmallClass:
		g.large = w.c.circle.all
	}
	return g
}

// inGroup reports whether an SVM belongs to the group under way, for members
// that no set has filtered.
func (w *walk) inGroup(f *svmFacts) bool {
	return f.admits(w.key, w.c.words) == passes && f.classOf(w.os) == w.class
}

// append adds members of g, in rendezvous order, until the answer has n.
func (w *walk) append(g *group, n int) {
	switch {
	case len(g.members) == 1: // the one of a host, as a rule, and there is nothing to rank
		if i := g.members[0].index; w.counts(i) && w.usable(i) {
			w.take(i)
		}
		return
	case g.large != nil:
		w.probe(g.large, n)
	case g.hashes != nil && n-w.a.n <= maxLeaders && w.lead(g, n):
		return
	}
	if w.a.n < n {
		w.rank(g.members, n)
	}
}

// take appends an SVM to the answer, by its index: see tell.
func (w *walk) take(index uint32) {
	w.a.picks[w.a.n].index = int32(index)
	w.a.n++
}

// tell works out what the answer says of the SVMs that were taken. It does so for
// all of them together, because they lie far apart in memory and this way are
// waited for together.
func (w *walk) tell() {
	for i := range w.a.picks[:w.a.n] {
		p := &w.a.picks[i]
		l := &w.c.lines[p.index]
		p.SVM, p.Local, p.fragment, p.print = l.svm, l.place.localTo(w.host, w.wide), l.fragment, l.print
	}
}

// usable applies what changes from moment to moment, and what this question
// excludes.
func (w *walk) usable(index uint32) bool {
	if w.suspects || w.exact || w.s.ledger.suspect(index) || !w.s.table.Ready(int(index)) {
		if !w.usableNow(int(index)) {
			return false
		}
	}
	return !w.hasFailed(index) && !w.taken(index) && !(w.remote && w.c.lines[index].place.localTo(w.host, w.wide))
}

// usableNow is what usable needs to know of few SVMs.
func (w *walk) usableNow(i int) bool {
	state, traits := w.s.table.Load(i).State(), w.s.ledger.accounts[i].traits.Load()
	suspect := state == store.Suspect || traits&traitSuspect != 0
	switch {
	case state == store.Draining, state == store.Down && traits&traitHeld == 0, suspect != w.suspects:
		return false
	case !w.full && (w.s.full(i) || w.sparing && traits&traitCapped != 0):
		return false
	default:
		return !w.exact || w.s.table.Agents(i) == w.least
	}
}

// hasFailed reports whether the agent could not reach the SVM.
func (w *walk) hasFailed(index uint32) bool {
	for _, i := range w.failed[:w.nFailed] {
		if i == index {
			return true
		}
	}
	return false
}

// taken reports whether the SVM is in the answer already.
func (w *walk) taken(index uint32) bool {
	for i := range w.a.picks[:w.a.n] {
		if w.a.picks[i].index == int32(index) {
			return true
		}
	}
	return false
}

// findLeast sets least to the smallest load of a usable member, if there is one.
func (w *walk) findLeast(g *group) bool {
	found := false
	for i := range g.members {
		m := &g.members[i]
		n := w.s.table.Agents(int(m.index))
		if found && n >= w.least || w.scan && !w.inGroup(&w.c.svms[m.index]) || !w.usable(m.index) {
			continue
		}
		w.least, found = n, true
	}
	return found
}

// overCapacity fills the answer with the least loaded of all usable SVMs. There
// are none but at their hard cap, or the answer would not be empty.
func (w *walk) overCapacity() {
	w.full, w.key, w.scan, w.scanned = true, w.area, w.wholly == nil, w.all
	best := best{want: w.limit}
	for _, w.suspects = range [...]bool{false, true} {
		for w.class = range classes {
			members := w.membersOf(w.wholly)
			for i := range members {
				m := &members[i]
				if w.scan && !w.inGroup(&w.c.svms[m.index]) || !w.usable(m.index) {
					continue
				}
				agents := uint64(max(0, w.s.agents(int(m.index))))
				best.insert(w.c, ranked{
					first: agents << 32 / uint64(m.weight()),
					cost:  cost(w.agent, m.hash, m.inverse), index: m.index,
				})
			}
		}
	}
	if best.n > 0 {
		w.a.Result = OverCapacity
	}
	w.takeAll(&best)
}
