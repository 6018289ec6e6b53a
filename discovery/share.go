package discovery

import "sync/atomic"

// A share is what the loads of a group's SVMs are measured by. It holds from one
// pulse to the next.
type share struct {
	fair    uint64 // (load + 1) / capacity, times 2^20, at most maxFair
	moving  uint64 // the part of the agents above the line whose turn to move it is, times 2^16
	settled bool   // some usable SVM is settled
}

const (
	fairShift = 20
	fairBits  = 35
	maxFair   = 1<<fairBits - 1
)

// below reports whether an SVM is below the soft cap: it has nobody, or one more agent is
// within it.
func (s share) below(agents int, weight int32) bool {
	return agents <= 0 || uint64(agents+1)*100<<fairShift <= SoftCap*s.fair*uint64(weight)
}

// above reports whether an SVM is so far above its share that agents shall move.
func (s share) above(agents int, weight int32) bool {
	return uint64(max(0, agents-1))*100<<fairShift > RebalanceAbove*s.fair*uint64(weight)
}

// relieves reports whether things get more even when one of n agents moves to an SVM that
// has m: that does not get above the line, nor has more for its weight than are left here.
// So the sum of load²/weight falls, and moves come to an end.
func (s share) relieves(n int, weight int32, m int, toWeight int32) bool {
	m = max(0, m) + 1
	return !s.above(m, toWeight) && int64(m)*int64(weight) <= int64(n-1)*int64(toWeight)
}

// sharedShare is the share of a set's class. The first question after a pulse works
// it out. Both words have the number of the pulse in them, so whoever reads them while
// they are written finds out.
type sharedShare struct{ fair, rest atomic.Uint64 }

const (
	settledBit  = 1 << 16
	restTag     = 17
	fairTagMask = 1<<(64-fairBits) - 1
)

func (s *sharedShare) load(pulse uint32) (share, bool) {
	fair, rest := s.fair.Load(), s.rest.Load()
	return share{fair & maxFair, rest & (settledBit - 1), rest&settledBit != 0},
		fair>>fairBits == uint64(pulse)&fairTagMask && rest>>restTag == uint64(pulse)
}

func (s *sharedShare) store(pulse uint32, v share) {
	s.fair.Store(v.fair | uint64(pulse)<<fairBits)
	s.rest.Store(v.moving | b2u(v.settled)*settledBit | uint64(pulse)<<restTag)
}

// share returns the share of the group under way, of the set that enter returned.
func (w *walk) share(s *set) share {
	if s == nil {
		return w.sum(nil)
	}
	pulse := w.s.ledger.pulse.Load()
	v, ok := s.shares[w.class].load(pulse)
	if !ok {
		v = w.sum(s)
		s.shares[w.class].store(pulse, v)
	}
	return v
}

// sum works out a share.
func (w *walk) sum(s *set) (v share) {
	load, capacity, above := uint64(0), uint64(0), uint64(0)
	members := w.membersOf(s)
	for i := range members {
		if a := w.measured(members[i].index); a != nil {
			load += uint64(max(0, a.then.Load()))
			capacity += uint64(a.weight.Load())
			v.settled = v.settled || a.traits.Load()&traitSettled != 0
		}
	}
	if capacity == 0 {
		return share{}
	}
	v.fair = min((load+1)<<fairShift/capacity, maxFair)
	for i := range members {
		if a := w.measured(members[i].index); a != nil && v.above(int(a.then.Load()), a.weight.Load()) {
			above += uint64(a.then.Load())
		}
	}
	switch {
	case above > 0 && w.s.ledger.due:
		v.moving = settledBit - 1
	case above > 0:
		v.moving = movingPart(load, above)
	}
	return v
}

// measured returns the account of an SVM that was usable at the last pulse and is a
// member of the group under way, else nil.
func (w *walk) measured(index uint32) *account {
	a := &w.s.ledger.accounts[index]
	if a.traits.Load()&traitUsable == 0 || !w.counts(index) {
		return nil
	}
	return a
}

// movingPart is the part of the agents above the line whose turn it is within a
// window of 300 seconds, times 2^16. A twentieth of the class may move, or movingLeast if
// that is more. Were it that / above, the part would grow as agents leave, and more would:
// so those that may have left already count as if they had not.
func movingPart(load, above uint64) uint64 {
	load = max(load, 20*movingLeast)
	return load << 16 / (20*above + load)
}

// movingLeast is one agent a minute: of a class of fifty, one in two minutes would take
// half an hour to make up for what a storm has left.
const movingLeast = 5

// membersOf returns the members of the group under way, of the set that enter
// returned; if there is none, all that may be: see counts.
func (w *walk) membersOf(s *set) []member {
	if s == nil {
		return w.scanned
	}
	return s.classes[w.class].members
}

// counts reports whether one of membersOf is a member indeed.
func (w *walk) counts(index uint32) bool { return !w.scan || w.inGroup(&w.c.svms[index]) }
