package discovery

import "math/bits"

// In a small class whose SVMs weigh alike, the greatest hash of agent and SVM has
// the least cost. So the first SVMs are found without working out a cost, and
// with few branches that the processor can not foresee: to rank 64 SVMs one by
// one, most of the time goes to those.
//
// The upper bits of premix serve as well as those of mix. Costs may be equal where
// hashes are near each other, and then ids decide: that is left to rank.

// SVMs of one weight, maxAlike at most, have different costs if their premixes
// differ by leadGap or more: a cost falls by 1, but for rounding, as the hash grows
// by 45 times the weight, and the last step of mix changes a hash by less than 2^33.
// TestHashesThatAreNear watches it.
const (
	leadGap  = 1 << 36
	maxAlike = 1 << 20
)

// alike is what leaders are found by.
type alike struct {
	hashes []uint64 // hashSVM of the members, folded; nil if they weigh differently
	floor  uint64   // about so many as floorReached reach it, of an agent's
}

// floorReached is so small that looking closely at those SVMs takes little time,
// and so great that it is seldom less than three.
const floorReached = 8

// alikeOf returns what leaders needs of the members of a small class; a single one is
// found without.
func alikeOf(members []member) (a alike) {
	if len(members) < 2 || members[0].weight() > maxAlike {
		return a
	}
	a.hashes = make([]uint64, len(members))
	for i := range members {
		if members[i].inverse != members[0].inverse {
			return alike{}
		}
		a.hashes[i] = fold(members[i].hash)
	}
	if len(members) > 2*floorReached {
		a.floor = -(^uint64(0) / uint64(len(members)) * floorReached)
	}
	return a
}

// leaders are the greatest premixes of an agent and SVMs, greatest first. In
// place of the last six bits is the SVM's position.
type leaders struct{ first, second, third, fourth uint64 }

// maxLeaders is how many are told apart from what follows.
const maxLeaders = 3

// with returns the leaders of l and x, without a branch.
func (l leaders) with(x uint64) leaders {
	x, l.first = min(x, l.first), max(x, l.first)
	x, l.second = min(x, l.second), max(x, l.second)
	x, l.third = min(x, l.third), max(x, l.third)
	l.fourth = max(x, l.fourth)
	return l
}

// leaders returns an agent's leaders of a class. Where just three reach the floor,
// it is in place of the fourth: all others are under it.
func (a *alike) leaders(agent uint64) leaders {
	agent = fold(agent)
	if a.floor != 0 {
		if l := a.above(agent); l.third != a.floor {
			return l
		}
	}
	var l leaders
	for i, h := range a.hashes {
		l = l.with(foldmix(agent^h)&^63 | uint64(i))
	}
	return l
}

// above returns the leaders of those that reach the floor. The agent is folded.
func (a *alike) above(agent uint64) leaders {
	var under uint64 // a bit for each, the last one's being the lowest
	for _, h := range a.hashes {
		_, borrow := bits.Sub64(foldmix(agent^h), a.floor, 0)
		under, _ = bits.Add64(under, under, borrow)
	}
	l := leaders{a.floor, a.floor, a.floor, a.floor}
	for reach := ^under << (64 - len(a.hashes)); reach != 0; {
		i := bits.LeadingZeros64(reach)
		reach &^= 1 << 63 >> i
		l = l.with(foldmix(agent^a.hashes[i])&^63 | uint64(i))
	}
	return l
}

// lead adds the usable leaders of a class, up to n in the answer. It reports
// whether it is done with the class: the answer is full, or nobody is left.
func (w *walk) lead(g *group, n int) bool {
	l := g.leaders(w.agent)
	order := [...]uint64{l.first, l.second, l.third, l.fourth}
	for i := range maxLeaders {
		if i == len(g.members) {
			return true
		}
		if order[i]-order[i+1] < leadGap {
			return false
		}
		if m := &g.members[order[i]&63]; w.usable(m.index) {
			w.take(m.index)
			if w.a.n == n {
				return true
			}
		}
	}
	return false
}
