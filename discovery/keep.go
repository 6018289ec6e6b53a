package discovery

import "github.com/svmgate/svmgate/store"

// balance is what [store.Balanced] makes of the usual order, which is in the answer:
// the SVM that the agent has comes first if it may keep it, else one that has room.
func (w *walk) balance() {
	switch {
	case w.have < 0:
		w.place()
	case w.inBest > 0 && w.a.picks[0].index == int32(w.have):
		// Usable, and nothing better is: all that is left is whether too many have it.
		if w.best >= groups || !w.moves(w.best) {
			return
		}
		w.move(w.best)
	default:
		group, ok := w.best, w.keepsPlainly()
		if !ok {
			group, ok = w.keeps()
		}
		switch {
		case !ok:
			w.place()
		case w.moves(group):
			w.move(group)
		default:
			w.front(w.have)
		}
	}
}

// having works out which SVM the agent has: the one that it says, else the one that
// it was given last.
func (w *walk) having(slot store.Slot, registered bool) {
	w.have, w.says = -1, false
	if registered {
		w.have = slot.Assigned()
	}
	if w.have >= len(w.c.lines) || w.have >= 0 && w.c.lines[w.have].svm == nil {
		w.have = -1
	}
	if w.q.Current.IsZero() {
		return
	}
	if w.have >= 0 && w.c.lines[w.have].svm.ID == w.q.Current {
		w.says = true
	} else if i, ok := w.c.byID[w.q.Current]; ok {
		w.have, w.says = i, true
	}
}

// keepsPlainly is keeps for most of the agents that do not have the first SVM of their
// order, and looks at little: theirs is a member of the best group, if that is large, and
// nothing is the matter with it. An SVM that is Ready has no hard cap.
func (w *walk) keepsPlainly() bool {
	if w.inBest == 0 || w.best >= groups || w.nearby || w.wholly == nil {
		return false
	}
	i, large := w.have, w.wholly.classes[w.best/2].large
	return large != nil && large.has(uint32(i)) && w.s.table.Ready(i) &&
		!w.s.ledger.suspect(uint32(i)) && !w.hasFailed(uint32(i))
}

// keeps reports whether the agent may keep its SVM, were there not too many on it,
// and the SVM's group. To an agent that is connected it makes no difference that
// others suspect the SVM: were they wrong, thousands would move for nothing.
func (w *walk) keeps() (group int, ok bool) {
	i, f := w.have, &w.c.svms[w.have]
	if f.entry == nil || f.admits(w.area, w.c.words) != passes || w.hasFailed(uint32(i)) {
		return 0, false
	}
	state, traits := w.s.table.Load(i).State(), w.s.ledger.accounts[i].traits.Load()
	switch {
	case state == store.Down && traits&traitHeld == 0,
		!w.says && (state == store.Suspect || traits&traitSuspect != 0),
		state == store.Draining && w.leaves(f, traits),
		w.s.over(i, f.entry.HardCap):
		return 0, false
	}
	group = 2 * f.classOf(w.os)
	if !w.nearby || !f.place.localTo(w.host, w.wide) {
		group++
	}
	return group, !w.returns(group)
}

// leaves reports whether it is the agent's turn to leave a draining SVM.
func (w *walk) leaves(f *svmFacts, traits uint32) bool {
	const all = 1<<16 - 1
	return mix(w.agent^hashSVM(f.entry.ID)^leavingSalt)%all < uint64(traits>>traitLeavingShift)
}

// returns reports whether there is a group better than the given one that has a
// settled SVM, and one that is usable now.
func (w *walk) returns(group int) bool {
	for better := w.best; w.inBest > 0 && better < group; better++ {
		if s, ok := w.enter(better); ok && w.settled(s) {
			return true
		}
	}
	return false
}

// settled reports whether the group under way has a settled SVM that the agent
// could reach.
func (w *walk) settled(s *set) bool {
	if !w.share(s).settled {
		return false
	}
	if w.nFailed == 0 {
		return true
	}
	members := w.membersOf(s)
	for i := range members {
		a := w.measured(members[i].index)
		if a != nil && a.traits.Load()&traitSettled != 0 && !w.hasFailed(members[i].index) {
			return true
		}
	}
	return false
}

// moves reports whether the agent's SVM, which is in the given group, has so many
// agents that some shall move, and it is this one's turn.
func (w *walk) moves(group int) bool {
	l := w.s.ledger
	if !l.calm.Load() {
		return false
	}
	s, _ := w.enter(group)
	share := w.share(s)
	a := &l.accounts[w.have]
	agents, weight := w.s.agents(w.have), a.weight.Load()
	switch {
	case a.traits.Load()&traitUsable == 0:
		return false
	case share.above(agents, weight):
		return mix(w.agent^mix(uint64(l.window.Load())^movingSalt))>>48 < share.moving
	default:
		return w.astray() > 0 && share.above(agents+1, weight)
	}
}

// astray is 1 if the agent may be connected to another SVM than the one that it was given
// here: it does not say, and there are other gateways. Then it would be one more on that.
func (w *walk) astray() int {
	return int(b2u(!w.says && w.s.ledger.gateways.Load() > 1))
}

// move puts an SVM of the given group first that is open to the agent and has room; if
// there is none, the emptiest if that is worth it, else the one that the agent has.
func (w *walk) move(group int) {
	w.a.n, w.inBest, w.suspects = 0, 0, false
	s, _ := w.enter(group)
	w.remote = group%2 == 1 && w.nearby
	to := w.have
	if w.s.policy != nil {
		if i := w.choose(s); i >= 0 {
			to = i
		}
	} else {
		w.takeGroup(s, LookDeep)
		to = w.relief(w.share(s))
	}
	w.a.n, w.remote = 0, false
	w.take(uint32(to))
	w.takeAllGroups()
}

// relief returns where an agent moves: the first SVM of the answer that is open to it and
// has room; else the emptiest that is open, if that makes things more even; else the one
// that the agent has.
func (w *walk) relief(share share) int {
	if at := w.roomy(share, 0, w.a.n); at >= 0 {
		return int(w.a.picks[at].index)
	}
	if w.a.n == 0 {
		return w.have
	}
	to, l := int(w.a.picks[w.emptiest(w.a.n)].index), w.s.ledger
	if w.open(to) && share.relieves(w.s.agents(w.have)+w.astray(), l.accounts[w.have].weight.Load(),
		w.s.agents(to), l.accounts[to].weight.Load()) {
		return to
	}
	return w.have
}

// front puts an SVM first, and leaves the rest as it is.
func (w *walk) front(index int) {
	at := 0
	for at < w.a.n && w.a.picks[at].index != int32(index) {
		at++
	}
	if at == w.limit { // it was not among them, and there is no room
		at--
	}
	w.a.n = max(w.a.n, at+1)
	for ; at > 0; at-- {
		w.a.picks[at].index = w.a.picks[at-1].index
	}
	w.a.picks[0].index = int32(index)
}
