package discovery

import (
	"math/bits"

	"github.com/svmgate/svmgate/store"
)

// A group is the SVMs of one class as a walk goes over them. In a candidate set
// it has just its members; while the set does not stand, members are all SVMs of
// the table and the walk filters them.
type group struct {
	members []member
	large   *large // nil if the class is small
	alike          // empty if it is large
}

// large is what a large class has beside its members: which slots of the circle
// they own, and their indexes as bits. While the set does not stand, indexes is
// nil and the walk filters.
type large struct {
	slots   *slotBits
	indexes []uint64

	// sole has the owner of each slot, or many, in their order; and ranks how many
	// slots are before each 64. A set's own are few and near each other, where the
	// circle's would have to come from all over memory.
	sole  []uint16
	ranks *[circleSlots / 64]uint32
}

// many stands for owners that are more than one, or are not known here.
const many = 1<<16 - 1

// ownerOf returns the index of a slot's only owner, or many.
func (l *large) ownerOf(slot int) uint16 {
	if l.sole == nil {
		return many
	}
	before := l.slots[slot/64] & (1<<(slot%64) - 1)
	return l.sole[int(l.ranks[slot/64])+bits.OnesCount64(before)]
}

func (l *large) has(index uint32) bool {
	i := index / 64
	return int(i) < len(l.indexes) && l.indexes[i]>>(index%64)&1 == 1
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

	failed  [MaxLimit]uint32
	nFailed int

	// Of the pass under way.
	suspects bool // which SVMs it is for
	full     bool // whether it takes SVMs at their hard cap

	// Of the group under way.
	key   setKey
	class int
	scan  bool // members are all SVMs
	exact bool // only SVMs whose load is least
	least int
}

// run fills the answer: what is ready, then what is suspect; if all of it is at
// its hard cap, the least loaded.
func (w *walk) run(c *catalog) {
	sets := c.sets.Load()
	area := sets.find(w.area)
	var near *set
	if w.nearby {
		near = sets.find(w.nearKey())
		if near == nil {
			w.s.miss(c, w.nearKey())
		}
	}
	if area == nil {
		w.s.miss(c, w.area)
	}
	for _, w.suspects = range [...]bool{false, true} {
		for w.class = range classes {
			if w.a.n >= w.limit {
				break
			}
			w.takeClass(near, area)
		}
	}
	w.a.Result = Assigned
	if w.a.n == 0 {
		w.overCapacity(area)
	}
	w.tell()
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

// takeClass appends the SVMs of a class: the local ones, then the rest. The local
// ones are among the rest, but those that are usable have been taken by then.
func (w *walk) takeClass(near, area *set) {
	if w.nearby {
		w.key = w.nearKey()
		w.takeGroup(near)
		if w.a.n >= w.limit {
			return
		}
	}
	w.key = w.area
	w.takeGroup(area)
}

// takeGroup appends the usable members of a group in rendezvous order. Under
// store.Fewest the first SVM of an answer is the least loaded of its group.
func (w *walk) takeGroup(s *set) {
	if w.scan = s == nil; w.scan {
		g := w.scanGroup()
		w.takeMembers(&g)
	} else if g := &s.classes[w.class]; len(g.members) > 0 {
		w.takeMembers(g)
	}
}

func (w *walk) takeMembers(g *group) {
	if w.a.n == 0 && w.load == store.Fewest && w.findLeast(g) {
		w.exact = true
		w.append(g, 1)
		w.exact = false
	}
	if w.a.n < w.limit {
		w.append(g, w.limit)
	}
}

// scanGroup stands in for the group of a set that does not stand yet.
func (w *walk) scanGroup() group {
	g := group{members: w.c.members}
	size := 0
	for i := range w.c.members {
		if w.inGroup(&w.c.svms[w.c.members[i].index]) {
			size++
		}
	}
	switch {
	case size == 0:
		g.members = nil
	case size > SmallClass:
		g.large = &w.c.circle.all
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
	if w.suspects || w.exact || !w.s.table.Ready(int(index)) {
		switch state := w.s.table.Load(int(index)).State(); {
		case state == store.Draining, state == store.Down, (state == store.Suspect) != w.suspects:
			return false
		case !w.full && w.s.full(int(index)):
			return false
		case w.exact && w.s.table.Agents(int(index)) != w.least:
			return false
		}
	}
	for _, i := range w.failed[:w.nFailed] {
		if i == index {
			return false
		}
	}
	for i := range w.a.picks[:w.a.n] {
		if w.a.picks[i].index == int32(index) {
			return false
		}
	}
	return true
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
func (w *walk) overCapacity(area *set) {
	w.full, w.key, w.scan = true, w.area, area == nil
	best := best{want: w.limit}
	for _, w.suspects = range [...]bool{false, true} {
		for w.class = range classes {
			members := w.c.members
			if !w.scan {
				members = area.classes[w.class].members
			}
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
