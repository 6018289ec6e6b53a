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

// at is 1 for a slot that is set, else 0.
func (b *slotBits) at(slot int) int { return int(b[slot/64] >> (slot % 64) & 1) }

func (b *slotBits) set(slot int) { b[slot/64] |= 1 << (slot % 64) }

// A circle says which SVMs own a slot. It depends on the ids and capacities of
// the table's SVMs and on nothing else.
type circle struct {
	members []member // what it was built from
	scale   int

	// owners has an SVM's index for a slot with one owner, so that most probes
	// look at one place. Of a slot with several it has several + where they are
	// listed: their number, then their positions in members.
	owners []uint32
	lists  []uint32
	all    large // for walks over all members
}

const (
	several = 1 << 31
	nobody  = 1<<32 - 1
)

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
	owned := make([]uint64, 0, len(members)*fullSlots) // slot, then position
	next.all.slots = new(slotBits)
	next.eachSlot(members, func(pos, slot int) {
		owned = append(owned, uint64(slot)<<32|uint64(pos))
		next.all.slots.set(slot)
	})
	slices.Sort(owned)
	next.owners = slices.Repeat([]uint32{nobody}, circleSlots)
	for owned = slices.Compact(owned); len(owned) > 0; { // an SVM may own a slot twice
		slot, n := owned[0]>>32, 1
		for n < len(owned) && owned[n]>>32 == slot {
			n++
		}
		next.owners[slot] = members[uint32(owned[0])].index
		if n > 1 {
			next.owners[slot] = several + uint32(len(next.lists))
			next.lists = append(next.lists, uint32(n))
			for _, o := range owned[:n] {
				next.lists = append(next.lists, uint32(o))
			}
		}
		owned = owned[n:]
	}
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

// list returns what is listed for a slot with several owners.
func (c *circle) list(owners uint32) []uint32 {
	list := c.lists[owners-several:]
	return list[1 : 1+list[0]]
}

// eachOwner calls fn with the index of each of a slot's owners.
func (c *circle) eachOwner(slot int, fn func(index uint32)) {
	switch o := c.owners[slot]; {
	case o < several:
		fn(o)
	case o != nobody:
		for _, pos := range c.list(o) {
			fn(c.members[pos].index)
		}
	}
}
