package discovery

import (
	"math/bits"
	"slices"
)

// large says which members of a large class own which slots of the circle. A question
// comes from slots that it knows to SVMs in two steps, each of which is one load for each
// slot, and the loads of a step need not wait for each other.
type large struct {
	words  []slotWord
	owners []owners // of the slots that have some, in the order of slots
	lists  []uint16 // of owners that are more than two: their number, then they

	// indexes has the members as bits. The circle's own has none: while a candidate set does
	// not stand, the walk filters.
	indexes []uint64

	// slotsOf has as bits those whose slots are here, if they are more than the members: some
	// have left since it was made, and the walk passes over them. Else it is nil.
	slotsOf []uint64
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

// newLarge returns what has no slots yet.
func newLarge() large { return large{words: make([]slotWord, circleSlots/wordSlots)} }

// add notes who owns a slot, in ascending order. Slots must come in theirs.
func (l *large) add(slot int, indexes []uint16) {
	if len(indexes) == 0 {
		return
	}
	w := &l.words[slot/wordSlots]
	if *w == 0 {
		*w = slotWord(len(l.owners)) << wordSlots
	}
	*w |= 1 << (slot % wordSlots)
	if len(indexes) <= 2 {
		l.owners = append(l.owners, owners{indexes[0], indexes[len(indexes)-1]})
		return
	}
	l.owners = append(l.owners, listAt(len(l.lists)))
	l.lists = append(append(l.lists, uint16(len(indexes))), indexes...)
}

// place returns where a slot's owners are, and 1; or 0 if it has none.
func (l *large) place(slot int) (at uint32, owned int) {
	w := l.words[slot/wordSlots]
	before := uint32(w) & (1<<(slot%wordSlots) - 1)
	return uint32(w>>wordSlots) + uint32(bits.OnesCount32(before)), int(w >> (slot % wordSlots) & 1)
}

// of returns the indexes of owners. The slice may be of o itself.
func (l *large) of(o *owners) []uint16 {
	switch {
	case o[0] == o[1]:
		return o[:1]
	case o[0] < o[1]:
		return o[:]
	}
	list := l.lists[int(o[1])<<listBits|int(o[0])&(1<<listBits-1):]
	return list[1 : 1+list[0]]
}

// ownersOf returns the indexes of those that own a slot.
func (l *large) ownersOf(slot int) []uint16 {
	if at, owned := l.place(slot); owned == 1 {
		return l.of(&l.owners[at])
	}
	return nil
}

func (l *large) has(index uint32) bool { return hasBit(l.indexes, index) }

func hasBit(list []uint64, index uint32) bool {
	i := index / 64
	return int(i) < len(list) && list[i]>>(index%64)&1 == 1
}

// maxLeft is which part of a large class's members may have left before its slots are worked
// out anew: questions probe theirs in vain.
const maxLeft = 4

// with returns l with a member more or less, and size in all: it shares the slots. It reports
// false if it can not: it knows no slots of that SVM, or too many have left.
func (l *large) with(index uint32, size int) (*large, bool) {
	next := *l
	if next.slotsOf == nil {
		next.slotsOf = l.indexes
	}
	next.indexes = slices.Clone(l.indexes)
	next.indexes[index/64] ^= 1 << (index % 64)
	known := 0
	for _, w := range next.slotsOf {
		known += bits.OnesCount64(w)
	}
	return &next, hasBit(next.slotsOf, index) && known-size <= size/maxLeft
}

// only returns what is left of l for those whose indexes are given as bits.
func (l *large) only(indexes []uint64) *large {
	next := newLarge()
	next.indexes = indexes
	kept := make([]uint16, 0, 64)
	for slot := range circleSlots {
		kept = kept[:0]
		for _, index := range l.ownersOf(slot) {
			if next.has(uint32(index)) {
				kept = append(kept, index)
			}
		}
		next.add(slot, kept)
	}
	return &next
}

// bytes is the memory that l takes.
func (l *large) bytes() int {
	return cap(l.words)*8 + cap(l.owners)*4 + cap(l.lists)*2 + (cap(l.indexes)+cap(l.slotsOf))*8
}
