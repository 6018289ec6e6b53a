package discovery

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/svmgate/svmgate/store"
)

// decide puts the candidates into the order of the answer.
func (x *explainer) decide() {
	order := slices.Clone(x.usable)
	if x.load == store.Fewest {
		x.first, x.why = x.fewest()
	} else {
		x.first, x.why = x.balanced()
	}
	if x.first == nil {
		order = x.overCapacity()
	}
	if x.first != nil {
		order = slices.DeleteFunc(order, func(c *Candidate) bool { return c == x.first })
		order = slices.Insert(order, 0, x.first)
	}
	for i, c := range order {
		if c.Rank, c.Removed = i+1, ""; c == x.first {
			c.Reason = x.why
		} else {
			c.Reason = x.reason(c)
		}
	}
	x.sort()
	x.first = nil // it has moved
	if len(x.all) > 0 && x.all[0].Rank == 1 {
		x.first = &x.all[0]
	}
}

// sort puts the candidates that are ranked before the others.
func (x *explainer) sort() {
	x.usable = nil // they move
	slices.SortFunc(x.all, func(a, b Candidate) int {
		if a.Rank == 0 || b.Rank == 0 {
			return cmp.Or(compareBool(a.Rank == 0, b.Rank == 0), compareIDs(a.ID, b.ID))
		}
		return cmp.Compare(a.Rank, b.Rank)
	})
}

// refuseAll ranks nobody.
func (x *explainer) refuseAll(reason string) {
	for i := range x.all {
		if x.all[i].Removed == "" {
			x.all[i].Reason = reason
		}
	}
	x.sort()
}

// has returns the SVM that the agent has, or nil.
func (x *explainer) has() *Candidate {
	for i := range x.all {
		if x.all[i].index == x.have {
			return &x.all[i]
		}
	}
	return nil
}

// fewest returns the least loaded of the best group by what it reported and own picks
// since.
func (x *explainer) fewest() (*Candidate, string) {
	if len(x.usable) == 0 {
		return nil, ""
	}
	best := x.usable[0]
	for _, c := range x.alike(best) {
		if x.s.table.Agents(c.index) < x.s.table.Agents(best.index) {
			best = c
		}
	}
	return best, fmt.Sprintf("has the fewest agents of %d alike", len(x.alike(best)))
}

// alike returns the usable SVMs of a candidate's group, in the usual order.
func (x *explainer) alike(c *Candidate) (list []*Candidate) {
	for _, o := range x.usable {
		if o.group == c.group && o.Suspect == c.Suspect {
			list = append(list, o)
		}
	}
	return list
}

// firstOf says that an SVM is the first of some that are alike.
func firstOf(n int) string {
	if n == 1 {
		return "the only one of its class"
	}
	return fmt.Sprintf("first in its order of %d alike", n)
}

// balanced returns the first SVM of the answer, and why it is; nil if all that may be
// used are at their hard cap, or none may.
func (x *explainer) balanced() (*Candidate, string) {
	has := x.has()
	if has == nil {
		return x.place()
	}
	usual := len(x.usable) > 0 && x.usable[0] == has
	if leaves := x.leaves(has); !usual && leaves != "" {
		to, why := x.place()
		return to, fmt.Sprintf("leaves %s, which %s: %s", nameOf(has), leaves, why)
	}
	if !(usual && has.Suspect) && x.shallMove(has) {
		if to, where := x.relief(has); to != nil {
			return to, fmt.Sprintf("moves from %s, which has %d agents where %d are fair%s", nameOf(has), has.Load, has.Fair, where)
		}
	}
	return has, x.keptBecause(has)
}

// relief returns where an agent moves that has an SVM with too many, and what is to be said
// of it; nil if it stays.
func (x *explainer) relief(has *Candidate) (to *Candidate, where string) {
	group := x.group(has.group)
	if to, _ = x.roomy(group); to != nil && to != has {
		return to, ""
	}
	if len(group) == 0 || x.s.policy != nil {
		return nil, ""
	}
	to, n := x.leastLoaded(group)
	more, left := (to.Load+1)*has.Capacity, (has.Load+x.astray()-1)*to.Capacity
	if !x.open(to.index) || x.share(has.group).above(to.Load+1, int32(to.Capacity)) || more > left {
		return nil, ""
	}
	return to, fmt.Sprintf(", to the least loaded of the first %d in its order", n)
}

// leaves says why an agent may not keep the SVM that it has, or is empty.
func (x *explainer) leaves(has *Candidate) string {
	turn := mix(x.agent^hashSVM(has.ID)^leavingSalt)%65535 < uint64(x.s.ledger.accounts[has.index].traits.Load()>>traitLeavingShift)
	switch {
	case has.rule != passes, x.hasFailed(uint32(has.index)), has.State == store.Down && !has.Held:
		return cmp.Or(has.Reason, "is not for it")
	case has.Suspect && !x.says:
		return "is suspect"
	case has.State == store.Draining && turn:
		return "is draining, and it is this agent's turn"
	case x.s.over(has.index, has.HardCap):
		return fmt.Sprintf("has %d agents, and at most %d are allowed", has.Load, has.HardCap)
	case x.returns(has):
		return "is no longer the best: " + nameOf(x.usable[0]) + " " + x.advantage(x.usable[0], has)
	}
	return ""
}

// returns reports whether a group better than that of a candidate has a usable SVM, and
// that group or one between them has a settled one.
func (x *explainer) returns(has *Candidate) bool {
	if len(x.usable) == 0 || x.usable[0].Suspect {
		return false
	}
	for better := x.usable[0].group; better < has.group; better++ {
		for i := range x.all {
			if c := &x.all[i]; x.measures(better, c) && c.Settled && !x.hasFailed(uint32(c.index)) {
				return true
			}
		}
	}
	return false
}

// shallMove reports whether the SVM that an agent has, has too many, and it is the
// agent's turn.
func (x *explainer) shallMove(has *Candidate) bool {
	l, share := x.s.ledger, x.share(has.group)
	a := &l.accounts[has.index]
	agents, weight := x.s.agents(has.index), a.weight.Load()
	if !l.calm.Load() || a.traits.Load()&traitUsable == 0 || !share.above(agents+x.astray(), weight) {
		return false
	}
	return !share.above(agents, weight) || mix(x.agent^mix(uint64(l.window.Load())^movingSalt))>>48 < share.moving
}

// group returns the usable SVMs of a group that are not suspect, in the usual order.
func (x *explainer) group(group int) (list []*Candidate) {
	for _, c := range x.usable {
		if c.group == group && !c.Suspect {
			list = append(list, c)
		}
	}
	return list
}

// place finds an SVM for an agent that has none to keep.
func (x *explainer) place() (*Candidate, string) {
	if len(x.usable) == 0 {
		return nil, ""
	}
	if first := x.usable[0]; first.Suspect {
		return first, "all are suspect, and this is the first in its order"
	}
	group := x.group(x.usable[0].group)
	if to, why := x.roomy(group); to != nil {
		return to, why
	}
	best, n := x.leastLoaded(group)
	return best, fmt.Sprintf("the least loaded of the first %d in its order: all have their share of agents", n)
}

// leastLoaded returns the SVM of a group with the smallest load for its capacity, of those
// that are looked at: so many. Those that are open to the agent come before the others.
func (x *explainer) leastLoaded(group []*Candidate) (best *Candidate, looked int) {
	look := group[:min(len(group), LookDeep)]
	best = look[0]
	for _, c := range look {
		a, b := x.open(c.index), x.open(best.index)
		if a && !b || a == b && c.Load*best.Capacity < best.Load*c.Capacity {
			best = c
		}
	}
	return best, len(look)
}

// roomy returns the first of a group that has room for the agent, or what the policy
// picks of it; nil if there is none.
func (x *explainer) roomy(group []*Candidate) (*Candidate, string) {
	if x.s.policy != nil {
		return x.policyPick(group)
	}
	for i, c := range group[:min(len(group), LookDeep)] {
		switch share := x.share(c.group); {
		case !x.open(c.index) || !share.below(x.s.agents(c.index), int32(c.Capacity)):
		case i == 0:
			return c, firstOf(len(group))
		default:
			return c, fmt.Sprintf("number %d in its order of %d alike: %s", i+1, len(group), x.passedOver(group[0]))
		}
	}
	return nil, ""
}

// policyPick asks the policy for an SVM of a group, in the order of the table.
func (x *explainer) policyPick(group []*Candidate) (*Candidate, string) {
	if len(group) == 0 {
		return nil, ""
	}
	var class []Choice
	var of []*Candidate
	for i := range x.all {
		if c := &x.all[i]; c.Removed == "" && c.group == group[0].group && !c.Suspect {
			of = append(of, c)
			class = append(class, Choice{
				SVM: x.c.lines[c.index].svm, Hash: hashSVM(c.ID), Capacity: c.Capacity,
				Agents: c.Load, Reported: x.s.table.Load(c.index).Report().Agents,
			})
		}
	}
	at := x.s.policy.Pick(x.agent, class)
	if at < 0 || at >= len(class) {
		at = 0
	}
	return of[at], fmt.Sprintf("picked by the gateway's policy, of %d alike", len(class))
}

// overCapacity returns the SVMs that are at their hard cap, the least loaded first.
func (x *explainer) overCapacity() (list []*Candidate) {
	load := func(c *Candidate) uint64 { return uint64(c.Load) << 32 / uint64(c.Capacity) }
	for i := range x.all {
		if x.all[i].Removed == hardCap {
			list = append(list, &x.all[i])
		}
	}
	slices.SortFunc(list, func(a, b *Candidate) int {
		return cmp.Or(cmp.Compare(load(a), load(b)), cmp.Compare(a.place.cost, b.place.cost), compareIDs(a.ID, b.ID))
	})
	return list
}
