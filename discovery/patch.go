package discovery

import (
	"cmp"
	"slices"
)

// Sets follow the facts of SVMs: a set that has an SVM more or less, or in another class, is
// made from the one before, so that no question has to do without. What would take longer
// than to work the set out anew is left to that: see patch.

// maxPatched is how many SVMs may have changed. After more it is cheaper to start over.
const maxPatched = 64

// patched returns the sets of the next catalog, which numbers words as the old one does: those
// of the old one, but for what a change of some SVMs makes of them.
func (t *setTable) patched(old, next *catalog, changed []int) *setTable {
	if t.count == 0 || len(changed) > maxPatched {
		return newSetTable(0)
	}
	slots, dropped := t.slots, 0
	for i := range t.slots {
		s := &t.slots[i]
		if s.set == nil {
			continue
		}
		p, ok := s.set.patch(s.key, old, next, changed)
		if p == s.set {
			continue
		}
		if &slots[0] == &t.slots[0] {
			slots = slices.Clone(slots)
		}
		slots[i].set = p
		if !ok {
			dropped++
		}
	}
	switch {
	case &slots[0] == &t.slots[0]:
		return t
	case dropped == 0:
		return tableOf(slots)
	}
	fewer := newSetTable(t.count - dropped)
	for _, s := range slots {
		if s.set != nil {
			fewer.add(s.key, s.set)
		}
	}
	return fewer
}

// tableOf returns the table whose slots are given.
func tableOf(slots []setSlot) *setTable {
	t := &setTable{slots: slots}
	for i := range slots {
		if slots[i].set != nil {
			t.note(slots[i].set)
		}
	}
	return t
}

// patch returns what a change of some SVMs makes of the set of a key, or s itself if that is
// nothing. It reports false, and returns nil, if the set is to be worked out anew: an SVM
// came or went or has another weight, or a class is large and has no slots of a new member.
func (s *set) patch(k setKey, old, next *catalog, changed []int) (p *set, ok bool) {
	p = s
	for _, i := range changed {
		from, to := outside, next.classIn(k, i)
		if i < len(old.svms) {
			from = old.classIn(k, i)
		}
		if next.circle != old.circle && (from != outside || to != outside || s.hasOnRing(uint32(i))) {
			return nil, false // it may have other slots
		}
		if from == to {
			continue
		}
		if p == s {
			p = &set{classes: s.classes} // shares are worked out anew
		}
		m := memberOf(next.svms[i].entry)
		if from != outside && !p.classes[from].turn(m) || to != outside && !p.classes[to].turn(m) {
			return nil, false
		}
	}
	if p != s {
		p.bytes = p.size()
	}
	return p, true
}

// hasOnRing reports whether an SVM is on one of the set's rings: a member, or one that has left.
func (s *set) hasOnRing(index uint32) bool {
	return slices.ContainsFunc(s.classes[:], func(g group) bool { return g.large != nil && hasBit(g.large.of, index) })
}

// turn adds a member, or removes it if it is there. What g was made of stays as it is.
func (g *group) turn(m member) bool {
	at, there := slices.BinarySearchFunc(g.members, m, func(a, b member) int { return cmp.Compare(a.index, b.index) })
	members := make([]member, 0, len(g.members)+1)
	members = append(members, g.members[:at]...)
	if there {
		members = append(members, g.members[at+1:]...)
	} else {
		members = append(append(members, m), g.members[at:]...)
	}
	if len(members) <= SmallClass {
		*g = group{members: members, alike: alikeOf(members)}
		return true
	}
	if g.large == nil {
		return false
	}
	next, ok := g.large.with(m.index, len(members))
	*g = group{members: members, large: next}
	return ok
}
