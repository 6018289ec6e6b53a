package discovery

import (
	"math/bits"
	"slices"
)

// large is a large class: a ring that has its members' slots, and who they are. Of those on
// the ring some may have left, and the walk passes over them.
type large struct {
	*ring
	indexes []uint64 // of the members, as bits
	all     bool     // of the ring are members
}

// A ring says who owns which slots of the circle. A question comes from slots that it knows
// to SVMs in two steps, each of which is one load for each slot, and the loads of a step need
// not wait for each other. It is a matter of some hundred kilobytes, and does not change:
// classes with the same SVMs share it.
type ring struct {
	words  []slotWord
	owners []owners // of the slots that have some, in the order of slots
	lists  []uint16 // of owners that are more than two: their number, then they
	of     []uint64 // whose slots are here: their indexes, as bits
}

// A slotWord is 32 slots: a bit for each that has an owner, and above them how many such
// slots are in the words before.
type slotWord uint64

const wordSlots = 32

// owners are the indexes of those that own a slot: one twice, or two, the lesser first. If
// the first is greater, there are more, and it is where in lists they are.
type owners [2]uint16

const listBits = 15 // of a place in lists are in the first half, which has its highest bit set

func listAt(at int) owners {
	return owners{1<<listBits | uint16(at&(1<<listBits-1)), uint16(at >> listBits)}
}

// newRing returns what has no slots yet, for SVMs whose indexes are given as bits.
func newRing(of []uint64) *ring {
	return &ring{words: make([]slotWord, circleSlots/wordSlots), of: of}
}

// whole returns the class of all that are on the ring.
func (r *ring) whole() *large { return &large{ring: r, indexes: r.of, all: true} }

// add notes who owns a slot, in ascending order. Slots must come in theirs.
func (r *ring) add(slot int, indexes []uint16) {
	if len(indexes) == 0 {
		return
	}
	w := &r.words[slot/wordSlots]
	if *w == 0 {
		*w = slotWord(len(r.owners)) << wordSlots
	}
	*w |= 1 << (slot % wordSlots)
	if len(indexes) <= 2 {
		r.owners = append(r.owners, owners{indexes[0], indexes[len(indexes)-1]})
		return
	}
	r.owners = append(r.owners, listAt(len(r.lists)))
	r.lists = append(append(r.lists, uint16(len(indexes))), indexes...)
}

// place returns where a slot's owners are, and 1; or 0 if it has none.
func (r *ring) place(slot int) (at uint32, owned int) {
	w := r.words[slot/wordSlots]
	before := uint32(w) & (1<<(slot%wordSlots) - 1)
	return uint32(w>>wordSlots) + uint32(bits.OnesCount32(before)), int(w >> (slot % wordSlots) & 1)
}

// ownersIn returns the indexes of owners. The slice may be of o itself.
func (r *ring) ownersIn(o *owners) []uint16 {
	switch {
	case o[0] == o[1]:
		return o[:1]
	case o[0] < o[1]:
		return o[:]
	}
	list := r.lists[int(o[1])<<listBits|int(o[0])&(1<<listBits-1):]
	return list[1 : 1+list[0]]
}

// ownersOf returns the indexes of those that own a slot.
func (r *ring) ownersOf(slot int) []uint16 {
	if at, owned := r.place(slot); owned == 1 {
		return r.ownersIn(&r.owners[at])
	}
	return nil
}

// bitsOf returns the indexes of members as bits; the last is the greatest.
func bitsOf(members []member) []uint64 {
	list := make([]uint64, members[len(members)-1].index/64+1)
	for _, m := range members {
		list[m.index/64] |= 1 << (m.index % 64)
	}
	return list
}

func (l *large) has(index uint32) bool { return hasBit(l.indexes, index) }

func hasBit(list []uint64, index uint32) bool {
	i := index / 64
	return int(i) < len(list) && list[i]>>(index%64)&1 == 1
}

// maxLeft is which part of a large class's members may have left before its slots are worked
// out anew: questions probe theirs in vain.
const maxLeft = 4

// with returns l with a member more or less, and size in all: it shares the ring. It reports
// false if it can not: that SVM is not on the ring, or too many that are there have left.
func (l *large) with(index uint32, size int) (*large, bool) {
	known := 0
	for _, w := range l.of {
		known += bits.OnesCount64(w)
	}
	if !hasBit(l.of, index) || known-size > size/maxLeft {
		return nil, false
	}
	next := large{ring: l.ring, indexes: slices.Clone(l.indexes)}
	next.indexes[index/64] ^= 1 << (index % 64)
	next.all = slices.Equal(next.indexes, l.of)
	return &next, true
}

// only returns what is left of a ring for those whose indexes are given as bits.
func (r *ring) only(indexes []uint64) *ring {
	next := newRing(indexes)
	kept := make([]uint16, 0, 64)
	for slot := range circleSlots {
		kept = kept[:0]
		for _, index := range r.ownersOf(slot) {
			if hasBit(indexes, uint32(index)) {
				kept = append(kept, index)
			}
		}
		next.add(slot, kept)
	}
	return next
}

// bytes is the memory that a ring takes.
func (r *ring) bytes() int {
	return cap(r.words)*8 + cap(r.owners)*4 + cap(r.lists)*2 + cap(r.of)*8
}
