package discovery

import (
	"slices"

	"github.com/svmgate/svmgate/store"
)

// A member is an SVM as the rendezvous order needs it: 24 bytes, so that a class
// of SmallClass lies in 24 cache lines.
type member struct {
	weighed
	index uint32
}

// weighed is what an SVM's cost is made from.
type weighed struct {
	hash    uint64 // hashSVM
	inverse uint64 // of its weight
}

func memberOf(e *store.SVMEntry) member {
	return member{weighed{hash: hashSVM(e.ID), inverse: inverse(e.Weight())}, uint32(e.Index)}
}

// weight returns the weight that inverse was made from.
func (m weighed) weight() int { return int(^uint64(0) / m.inverse) }

// A circle says which SVMs own a slot. It depends on the ids and capacities of
// the table's SVMs and on nothing else.
type circle struct {
	members []member // what it was built from
	scale   int
	all     *large // members; nil if they are few enough for a small class
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
	owned := make([]uint64, 0, len(members)*fullSlots) // slot, then index
	for _, m := range members {
		for j := range slotCount(m.weight(), next.scale) {
			owned = append(owned, uint64(slot(m.hash, j))<<32|uint64(m.index))
		}
	}
	slices.Sort(owned)
	owned = slices.Compact(owned) // an SVM may own a slot twice
	next.all = newRing(bitsOf(members)).whole()
	var indexes []uint16
	for i := 0; i < len(owned); {
		slot := owned[i] >> 32
		for indexes = indexes[:0]; i < len(owned) && owned[i]>>32 == slot; i++ {
			indexes = append(indexes, uint16(owned[i]))
		}
		next.all.add(int(slot), indexes)
	}
	return next
}
