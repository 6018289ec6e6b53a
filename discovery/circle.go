package discovery

import (
	"slices"

	"github.com/svmgate/svmgate/store"
)

// A member is an SVM as the rendezvous order needs it: 24 bytes, so that a class
// of SmallClass lies in 24 cache lines.
type member struct {
	hash    uint64 // hashSVM
	inverse uint64 // of its weight
	index   uint32
}

func memberOf(e *store.SVMEntry) member {
	return member{hash: hashSVM(e.ID), inverse: inverse(e.Weight()), index: uint32(e.Index)}
}

// slotBits has a bit for every slot of the circle.
type slotBits [circleSlots / 64]uint64

func (b *slotBits) has(slot int) bool { return b[slot/64]>>(slot%64)&1 == 1 }

func (b *slotBits) set(slot int) { b[slot/64] |= 1 << (slot % 64) }

// A circle says which SVMs own a slot. It depends on the ids and capacities of
// the table's SVMs and on nothing else.
type circle struct {
	members []member // what it was built from
	scale   int
	starts  []uint32 // by slot: where its owners start; one more at the end
	owners  []uint32 // positions in members
	all     large    // for walks over all members
}

// follow returns the circle of the given members: c itself if they are the same.
// A table with no more SVMs than a small class has needs no circle.
func (c *circle) follow(members []member) *circle {
	if slices.Equal(c.members, members) {
		return c
	}
	next := &circle{members: members, scale: 1}
	for _, m := range members {
		next.scale = max(next.scale, scaleFor(m.weight()))
	}
	if len(members) <= SmallClass {
		return next
	}
	next.starts = make([]uint32, circleSlots+1)
	next.eachSlot(members, func(_ int, slot int) { next.starts[slot+1]++ })
	for i := range circleSlots {
		next.starts[i+1] += next.starts[i]
	}
	next.owners = make([]uint32, next.starts[circleSlots])
	filled := slices.Clone(next.starts)
	next.all.slots = new(slotBits)
	next.eachSlot(members, func(pos, slot int) {
		next.owners[filled[slot]] = uint32(pos)
		filled[slot]++
		next.all.slots.set(slot)
	})
	return next
}

// weight returns the weight that inverse was made from.
func (m member) weight() int { return int(^uint64(0) / m.inverse) }

func (c *circle) eachSlot(members []member, fn func(position, slot int)) {
	for pos, m := range members {
		for j := range slotCount(m.weight(), c.scale) {
			fn(pos, slot(m.hash, j))
		}
	}
}

// bitsOf returns the slots that some of the members own.
func (c *circle) bitsOf(members []member) *slotBits {
	b := new(slotBits)
	c.eachSlot(members, func(_, slot int) { b.set(slot) })
	return b
}

// ownersOf returns the owners of a slot, as positions in members. An SVM that
// owns a slot twice is among them twice.
func (c *circle) ownersOf(slot int) []uint32 { return c.owners[c.starts[slot]:c.starts[slot+1]] }
