package discovery

import "sync"

// This file finds an SVM for agents that have none, or may not keep theirs.

// place puts that SVM of the best group first, among the first LookDeep in rendezvous
// order, that is open to the agent and has room. Of suspects the first is taken.
func (w *walk) place() {
	if w.inBest == 0 || w.best >= groups {
		return
	}
	w.suspects = false
	s, _ := w.enter(w.best)
	if w.s.policy != nil {
		if i := w.choose(s); i >= 0 {
			w.front(i)
		}
		return
	}
	share := w.share(s)
	look := min(w.inBest, LookDeep)
	at := w.roomy(share, 0, look)
	if at < 0 && look < LookDeep && look == w.limit { // the answer is full, but the group may have more
		w.takeGroup(s, LookDeep)
		at, look = w.roomy(share, look, w.a.n), w.a.n
	}
	if at < 0 {
		at = w.emptiest(look)
	}
	first := int(w.a.picks[at].index)
	w.a.n = min(w.a.n, w.limit)
	w.front(first)
}

// choices is memory for what policies are asked.
var choices = sync.Pool{New: func() any { return new([]Choice) }}

// choose asks the policy for an SVM of the group under way, of the set that enter
// returned. It returns -1 if none is usable.
func (w *walk) choose(s *set) int {
	taken := w.a.n
	w.a.n = 0 // what is in the answer may be chosen
	pooled := choices.Get().(*[]Choice)
	class := (*pooled)[:0]
	members := w.membersOf(s)
	for i := range members {
		if index := members[i].index; w.counts(index) && w.usable(index) {
			class = append(class, Choice{
				SVM: w.c.lines[index].svm, Hash: members[i].hash, Capacity: members[i].weight(),
				Agents: max(0, w.s.agents(int(index))), Reported: w.s.table.Load(int(index)).Report().Agents,
			})
		}
	}
	w.a.n = taken
	at := -1
	if len(class) > 0 {
		at = w.s.policy.Pick(w.agent, class)
		if at < 0 || at >= len(class) {
			w.s.badPick(at, len(class))
			at = 0
		}
		at = w.c.byID[class[at].SVM.ID]
	}
	clear(class) // a pool must not keep SVMs
	*pooled = class
	choices.Put(pooled)
	return at
}

// badPick counts a policy's pick that is no position, and logs the first.
func (s *Selector) badPick(at, size int) {
	if s.counts.badPicks.Add(1) == 1 {
		s.log.Error("the policy picked a position that is not in the class; the first is taken, here and from now on",
			"position", at, "class", size)
	}
}

// roomy returns the first position of the answer in [from, to) whose SVM is open to
// the agent and has less than its share, or -1.
func (w *walk) roomy(share share, from, to int) int {
	for at := from; at < to; at++ {
		i := int(w.a.picks[at].index)
		if share.below(w.s.agents(i), w.s.ledger.accounts[i].weight.Load()) && w.open(i) {
			return at
		}
	}
	return -1
}

// open reports whether an SVM takes the agent already. It takes all but for some
// minutes after it has come up.
func (w *walk) open(i int) bool {
	eighths := w.s.ledger.accounts[i].traits.Load() >> traitOpenShift & 15
	return eighths >= slowStartSteps ||
		mix(w.agent^hashSVM(w.c.svms[i].entry.ID)^openSalt)>>61 < uint64(eighths)
}

// emptiest returns the position of the SVM with the smallest load for its capacity
// among the first n of the answer: of those that are open to the agent, if there are
// any. Of equals it is the first.
func (w *walk) emptiest(n int) int {
	best, opened := 0, false
	var load, weight uint64
	for at := range n {
		i := int(w.a.picks[at].index)
		l, c, open := uint64(max(0, w.s.agents(i))), uint64(w.c.svms[i].entry.Weight()), w.open(i)
		if at == 0 || open && !opened || open == opened && l*weight < load*c {
			best, opened, load, weight = at, open, l, c
		}
	}
	return best
}
