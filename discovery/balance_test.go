package discovery_test

import (
	"cmp"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// This file is the oracle's own "Load" and "Keeping".

// A finding is what a gateway's ledger finds of an SVM. Scripts say it outright: how
// it comes about is for other tests.
type finding struct {
	held, suspect, settled bool
	open                   int // eighths of agents
	leaving                int // of 65535, while it drains
}

// plain is what is found of SVMs of which a script says nothing.
var plain = finding{settled: true, open: 8, leaving: 65535}

// asSeen is an SVM as it was at the last pulse.
type asSeen struct {
	load   int
	usable bool
}

// A sent is agents that were sent to an SVM, or have left it.
type sent struct {
	at time.Time
	n  int
}

// report is what every report means for what stands beside its count.
func (w *world) report(s *svm) {
	s.heard, s.picks, s.faded, s.early = time.Now(), 0, 0, 0
	s.fadeAt = s.heard.Add(svmTTL)
	// A gateway knows what it had picked at every full second.
	shortly := s.heard.Add(-discovery.Connecting).Truncate(time.Second)
	for _, e := range w.sent[s.id] {
		if !e.at.Before(shortly) {
			s.early += e.n
		}
	}
	s.early = max(0, s.early)
}

// estimate is what store.Balanced takes for the number of agents.
func (s *svm) estimate() int { return s.reported + s.picks - s.faded }

func (s *svm) full() bool { return s.config.HardCap > 0 && s.estimate()+s.early >= s.config.HardCap }

// pulse looks at all SVMs.
func (w *world) pulse() {
	for _, s := range w.svms {
		for ; !time.Now().Before(s.fadeAt); s.fadeAt = s.fadeAt.Add(svmTTL) {
			if s.config.Pinned && s.config.HardCap > 0 {
				continue // or others would be let in for those that it has
			}
			beside := s.picks - s.faded
			s.faded += beside - beside/2
			s.early /= 2
			w.meet("faded", beside != 0)
		}
		w.meet("sent shortly before a report", s.early > 0 && s.config.HardCap > 0)
		s.seen = asSeen{load: s.estimate(), usable: w.up(s) && !w.suspect(s) && !s.full()}
	}
	w.window = time.Now().Unix() / 300
}

func (w *world) up(s *svm) bool {
	state := w.state(s)
	return state == store.Ready || state == store.Suspect || state == store.Down && w.meet("held", s.finding.held)
}

func (w *world) suspect(s *svm) bool { return w.state(s) == store.Suspect || s.finding.suspect }

// balanced returns the SVMs for an agent, the first being what the load rule says. Free
// are those that are usable and not at their hard cap, in the usual order.
func (w *world) balanced(q *discovery.Query, a agent, free []*candidate) []*candidate {
	have := w.kept(q, a, free)
	if have == nil {
		return w.placed(a, free)
	}
	if w.meet("moves", w.moves(a, have)) {
		w.meet("moves past what is better", free[0].group() != have.group())
		looked := w.looked(free, have)
		to := w.withRoom(a, looked)
		if to == nil {
			to = w.relieving(a, have, looked)
		}
		if !w.meet("moves nowhere", to == nil) {
			have = to
		}
	}
	return first(have, free)
}

// first returns c and then the rest of list.
func first(c *candidate, list []*candidate) []*candidate {
	return append([]*candidate{c}, slices.DeleteFunc(slices.Clone(list), func(o *candidate) bool { return o.svm == c.svm })...)
}

// has returns the SVM that the agent has, or nil, and whether it says so itself.
func (w *world) has(q *discovery.Query) (s *svm, connected bool) {
	if s := w.svms[q.Current]; s != nil {
		return s, true
	}
	if _, ok := w.registered(q); !ok {
		return nil, false
	}
	return w.svms[w.first[q.BIOS]], false
}

// kept returns the SVM that the agent has, if it may keep it but for rebalancing.
func (w *world) kept(q *discovery.Query, a agent, free []*candidate) *candidate {
	s, connected := w.has(q)
	if s == nil {
		return nil
	}
	c := w.candidate(a, s)
	switch {
	case w.meet("keeping: filters", w.unfit(a, s) != "" || slices.Contains(a.failed, s.id)),
		w.meet("keeping: down", w.state(s) != store.Draining && !w.up(s)),
		w.meet("keeping: suspect", w.suspect(s) && !connected),
		w.meet("keeping: draining", w.state(s) == store.Draining && w.leaves(a, s)),
		w.meet("keeping: hard cap", s.config.HardCap > 0 && s.estimate() > s.config.HardCap),
		w.meet("keeping: better", w.better(a, c, free)):
		return nil
	}
	w.meet("kept though not first", len(free) == 0 || free[0].svm != s)
	w.meet("kept while draining", w.state(s) == store.Draining)
	w.meet("kept at its hard cap", s.full())
	w.meet("kept in a worse class", len(free) > 0 && free[0].group() != c.group())
	w.meet("kept though suspect", w.suspect(s) && len(free) > 0 && !free[0].suspect)
	return c
}

// leaves reports whether it is the agent's turn to leave a draining SVM.
func (w *world) leaves(a agent, s *svm) bool {
	return mixed(xxhash.Sum64(a.bios[:])^xxhash.Sum64(s.id[:])^0x589965cc75374cc3)%65535 < uint64(s.finding.leaving)
}

// better reports whether a class that is better than that of c, and has a usable SVM,
// has a settled one.
func (w *world) better(a agent, c *candidate, free []*candidate) bool {
	if len(free) == 0 || free[0].suspect {
		return false
	}
	for g := free[0].group(); g.compare(c.group()) < 0; g = g.next() {
		for _, o := range w.membersOf(a, g) {
			if settled := o.seen.usable && o.finding.settled; settled && !w.meet("settled but failed", slices.Contains(a.failed, o.id)) {
				return true
			}
		}
	}
	return false
}

// membersOf are the SVMs of a group, whatever their state. The local SVMs of a class
// are among the rest of it, too.
func (w *world) membersOf(a agent, g group) (list []*svm) {
	for _, s := range w.svms {
		if c := w.candidate(a, s); w.unfit(a, s) == "" &&
			c.licensed == g.licensed && c.suits == g.suits && (c.preferred || !g.preferred) {
			list = append(list, s)
		}
	}
	return list
}

// A measure is what a group's SVMs are compared with.
type measure struct {
	load, capacity int64
	fair           int64 // (load + 1) / capacity, times 2^20
}

func (w *world) measure(a agent, g group) (m measure) {
	for _, s := range w.membersOf(a, g) {
		if s.seen.usable {
			m.load += int64(max(0, s.seen.load))
			m.capacity += s.weight()
		}
	}
	if m.capacity > 0 {
		m.fair = min((m.load+1)<<20/m.capacity, 1<<35-1)
	}
	return m
}

func (m measure) below(s *svm) bool {
	return s.estimate() <= 0 || int64(s.estimate()+1)*100<<20 <= discovery.SoftCap*m.fair*s.weight()
}

func (m measure) above(s *svm, load int) bool {
	return int64(max(0, load-1))*100<<20 > discovery.RebalanceAbove*m.fair*s.weight()
}

// moves reports whether the agent's SVM has too many and it is the agent's turn.
func (w *world) moves(a agent, c *candidate) bool {
	m := w.measure(a, c.group())
	if !c.svm.seen.usable || !w.meet("above the line", m.above(c.svm, c.svm.estimate())) {
		return false
	}
	above := int64(0)
	for _, s := range w.membersOf(a, c.group()) {
		if s.seen.usable && m.above(s, s.seen.load) {
			above += int64(s.seen.load)
		}
	}
	if above == 0 {
		return false
	}
	if w.meet("moves but for a storm", !w.calm) {
		return false
	}
	turn := mixed(xxhash.Sum64(a.bios[:]) ^ mixed(uint64(w.window)^0x1d8e4e27c47d124f))
	most := max(m.load, 100) // 5 percent of it in 300 seconds, but no less than 5
	return int64(turn>>48) < most<<16/(20*above+most)
}

// looked are those of c's class that are looked at.
func (w *world) looked(free []*candidate, c *candidate) (list []*candidate) {
	for _, o := range free {
		if o.sameClass(c) && len(list) < discovery.LookDeep {
			list = append(list, o)
		}
	}
	return list
}

// withRoom returns the first that is open and below the soft cap, or nil.
func (w *world) withRoom(a agent, list []*candidate) *candidate {
	for _, c := range list {
		m := w.measure(a, c.group())
		below, open := m.below(c.svm), open(a, c.svm)
		w.meet("not open", !open)
		w.meet("above the soft cap", !below)
		if below && open {
			return c
		}
	}
	return nil
}

func open(a agent, s *svm) bool {
	return mixed(xxhash.Sum64(a.bios[:])^xxhash.Sum64(s.id[:])^0x8ebc6af09c88c6e3)>>61 < uint64(s.finding.open)
}

// placed is for agents that keep nothing.
func (w *world) placed(a agent, free []*candidate) []*candidate {
	if len(free) == 0 || free[0].suspect {
		return free
	}
	list := w.looked(free, free[0])
	c := w.withRoom(a, list)
	if c == nil {
		c = emptiest(a, list)
		w.meet("nobody has room", true)
	}
	w.meet("placed deep", c == list[len(list)-1] && len(list) > 3)
	return first(c, free)
}

// emptiest returns the one with the smallest load for its capacity, those first that are
// open to the agent.
func emptiest(a agent, list []*candidate) *candidate {
	return slices.MinFunc(list, func(x, y *candidate) int {
		return cmp.Or(yesFirst(open(a, x.svm), open(a, y.svm)), x.svm.burden(y.svm))
	})
}

// relieving returns the emptiest of a list, if a move there from an SVM that has too many
// makes things more even; else nil.
func (w *world) relieving(a agent, from *candidate, list []*candidate) *candidate {
	if len(list) == 0 {
		return nil
	}
	to := emptiest(a, list)
	then := int64(max(0, to.svm.estimate()) + 1)
	left := int64(from.svm.estimate() - 1)
	switch {
	case w.meet("relief is not open", !open(a, to.svm)),
		w.meet("relief is no better", then*from.svm.weight() > left*to.svm.weight()),
		w.meet("relief gets above the line", w.measure(a, to.group()).above(to.svm, int(then))):
		return nil
	}
	w.meet("moves to the emptiest", true)
	return to
}

// burden compares loads for their capacities.
func (s *svm) burden(o *svm) int {
	return cmp.Compare(int64(max(0, s.estimate()))*o.weight(), int64(max(0, o.estimate()))*s.weight())
}
