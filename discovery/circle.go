package discovery

import (
	"math/bits"
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
//
// It is the largest of what questions look at, and small for that reason: an
// index of an SVM fits 16 bits.
type circle struct {
	members []member // what it was built from
	byIndex []member // the same, by index
	scale   int

	// owners has the indexes of a slot's owners: one twice, two, or, of a crowded
	// slot, both halves of where in lists they are: their number, then they.
	owners  []pair
	crowded *slotBits
	lists   []uint16
	all     large // for walks over all members
}

type pair [2]uint16

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
	next.byIndex = make([]member, members[len(members)-1].index+1)
	next.all.slots = new(slotBits)
	owned := make([]uint64, 0, len(members)*fullSlots) // slot, then index
	next.eachSlot(members, func(m member, slot int) {
		next.byIndex[m.index] = m
		next.all.slots.set(slot)
		owned = append(owned, uint64(slot)<<32|uint64(m.index))
	})
	slices.Sort(owned)
	owned = slices.Compact(owned) // an SVM may own a slot twice
	next.owners, next.crowded = make([]pair, circleSlots), new(slotBits)
	for len(owned) > 0 {
		n := 1
		for n < len(owned) && owned[n]>>32 == owned[0]>>32 {
			n++
		}
		next.own(int(owned[0]>>32), owned[:n])
		owned = owned[n:]
	}
	return next
}

// own notes the owners of a slot; their indexes are the lower 16 bits.
func (c *circle) own(slot int, owners []uint64) {
	if len(owners) <= len(pair{}) {
		c.owners[slot] = pair{uint16(owners[0]), uint16(owners[len(owners)-1])}
		return
	}
	at := len(c.lists)
	c.owners[slot] = pair{uint16(at), uint16(at >> 16)}
	c.crowded.set(slot)
	c.lists = append(c.lists, uint16(len(owners)))
	for _, o := range owners {
		c.lists = append(c.lists, uint16(o))
	}
}

// weight returns the weight that inverse was made from.
func (m member) weight() int { return int(^uint64(0) / m.inverse) }

func (c *circle) eachSlot(members []member, fn func(m member, slot int)) {
	for _, m := range members {
		for j := range slotCount(m.weight(), c.scale) {
			fn(m, slot(m.hash, j))
		}
	}
}

// bitsOf returns the slots that some of the members own.
func (c *circle) bitsOf(members []member) *slotBits {
	b := new(slotBits)
	c.eachSlot(members, func(_ member, slot int) { b.set(slot) })
	return b
}

// largeOf works out what a large class has beside its members, whose indexes are
// given as bits.
func (c *circle) largeOf(members []member, indexes []uint64) *large {
	l := &large{slots: c.bitsOf(members), indexes: indexes, ranks: new([circleSlots / 64]uint32)}
	for i, word := range l.slots {
		l.ranks[i] = uint32(len(l.sole))
		for ; word != 0; word &= word - 1 {
			slot := 64*i + bits.TrailingZeros64(word)
			l.sole = append(l.sole, l.only(c.ownersOf(slot, &c.owners[slot])))
		}
	}
	return l
}

// only returns the one of the owners that is a member, or many.
func (l *large) only(owners []uint16) uint16 {
	one := uint16(many)
	for _, index := range owners {
		if l.has(uint32(index)) {
			if one != many {
				return many
			}
			one = index
		}
	}
	return one
}

// ownersOf returns the indexes of a slot's owners, p being what owners has for it.
// There must be one.
func (c *circle) ownersOf(slot int, p *pair) []uint16 {
	switch {
	case c.crowded.at(slot) == 1:
		list := c.lists[int(p[0])|int(p[1])<<16:]
		return list[1 : 1+list[0]]
	case p[0] == p[1]:
		return p[:1]
	default:
		return p[:]
	}
}
