package sim

import (
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// How agents behave.
const (
	connectWithin = 2 * time.Second
	noticeWithin  = 5 * time.Second // that their SVM is gone
	tryNext       = time.Second     // after an SVM that did not answer
)

const nowhere = -1

// An agent does one thing at a time, and what it does next is due at a tick.
type agent struct {
	due    int32
	pool   int32
	again  int32 // ticks until it asks again, once it is connected
	list   [discovery.DefaultLimit]int16
	svm    int16 // that it is connected to, or nowhere
	n, at  uint8 // of the list: how many there are; which is next, those before it failed
	step   step
	silent bool
	orphan bool // its SVM vanished, and it has no other yet
}

type step uint8

const (
	asks step = iota
	tries
)

// then makes something due for an agent.
func (r *run) then(a int32, s step, after int) {
	ag := &r.agents[a]
	ag.step, ag.due = s, int32(r.tick+max(1, after))
	r.wheel.add(int(ag.due), a)
}

// within is a random number of ticks up to a duration.
func (r *run) within(d time.Duration) int { return 1 + r.rand.IntN(ticks(d)) }

// arrive lets every agent that is nowhere ask for the first time, within a while.
func (r *run) arrive(within time.Duration) {
	for a := range r.agents {
		if r.agents[a].svm == nowhere {
			r.then(int32(a), asks, r.within(within))
		}
	}
}

func (r *run) act(a int32) {
	if r.agents[a].step == tries {
		r.try(a)
	} else {
		r.ask(a)
	}
}

// ask asks a gateway and begins to do as told.
func (r *run) ask(a int32) {
	ag := &r.agents[a]
	g := r.gateways[r.rand.IntN(len(r.gateways))]
	q := r.question(a)
	r.count.questions++
	g.selector.Select(&q, &r.answer)
	again := ticks(time.Duration(r.answer.RefreshSeconds) * time.Second)
	switch r.answer.Result {
	case discovery.Assigned:
		r.follow(a, again)
	case discovery.Later:
		r.later(r.answer.RefreshSeconds)
		r.then(a, asks, again+r.within(time.Second))
	default:
		r.refused(ag)
		r.then(a, asks, again)
	}
}

// question is what an agent asks.
func (r *run) question(a int32) discovery.Query {
	ag := &r.agents[a]
	q := discovery.Query{BIOS: store.BIOSID(id(biosIDs, 0, int(a)))}
	if ag.svm != nowhere && !ag.silent {
		q.Current = r.svms[ag.svm].id
	}
	for i, s := range ag.list[:ag.at] {
		r.failed[i] = r.svms[s].id
	}
	q.Failed = r.failed[:ag.at]
	return q
}

// follow does as the answer says.
func (r *run) follow(a int32, again int) {
	ag := &r.agents[a]
	ag.n, ag.at, ag.again = 0, 0, int32(again)
	for _, pick := range r.answer.SVMs() {
		ag.list[ag.n] = int16(number(pick.SVM.ID))
		ag.n++
	}
	r.chosen(a)
	if ag.list[0] == ag.svm {
		r.then(a, asks, again)
		return
	}
	r.svms[ag.list[0]].coming++
	r.then(a, tries, r.within(connectWithin))
}

// try connects to the SVM that is next in the list, or goes on to the one behind it.
func (r *run) try(a int32) {
	ag := &r.agents[a]
	s := &r.svms[ag.list[ag.at]]
	s.coming--
	if s.up {
		r.connect(a, int(ag.list[ag.at]))
		ag.at = 0
		if !r.policy.Settled {
			r.then(a, asks, int(ag.again))
		}
		return
	}
	r.count.failures++
	switch ag.at++; {
	case ag.at == ag.n:
		r.then(a, asks, ticks(tryNext))
	case ag.list[ag.at] == ag.svm:
		ag.at = 0
		r.then(a, asks, int(ag.again))
	default:
		r.svms[ag.list[ag.at]].coming++
		r.then(a, tries, ticks(tryNext))
	}
}

// connect moves an agent to an SVM.
func (r *run) connect(a int32, to int) {
	ag := &r.agents[a]
	if ag.svm != nowhere {
		r.svms[ag.svm].connected--
		r.moved(ag)
	}
	ag.svm = int16(to)
	r.svms[to].connected++
	r.connected(ag, to)
	ag.orphan = false
}

// place connects every agent at once, in proportion to capacity, and lets it ask when
// it would: a world that has been running for long.
func (r *run) place() {
	cards := map[int][]int16{} // by pool: an SVM for each unit of its capacity
	for i := range r.svms {
		s := &r.svms[i]
		for range s.capacity {
			cards[s.pool] = append(cards[s.pool], int16(i))
		}
	}
	dealt := map[int]int{}
	for a := range r.agents {
		at := int(r.agents[a].pool)
		to := cards[at][dealt[at]%len(cards[at])]
		dealt[at]++
		r.agents[a].svm = to
		r.svms[to].connected++
		r.then(int32(a), asks, r.within(discovery.RefreshServed*time.Second))
	}
}

// lose takes an SVM away. Its agents notice one by one.
func (r *run) lose(i int) (orphans int) {
	s := &r.svms[i]
	s.up = false
	r.pools[s.pool].capacity -= s.capacity
	for a := range r.agents {
		ag := &r.agents[a]
		if int(ag.svm) != i {
			continue
		}
		orphans++
		if ag.step == tries { // it was about to move
			r.svms[ag.list[ag.at]].coming--
		}
		ag.orphan, ag.svm = true, nowhere
		r.fall(int32(a), int16(i))
	}
	s.connected = 0
	return orphans
}

// fall makes an agent that has lost its SVM try the others of its list, or ask.
func (r *run) fall(a int32, was int16) {
	ag := &r.agents[a]
	rest := [discovery.DefaultLimit]int16{was}
	n := uint8(1)
	for _, s := range ag.list[:ag.n] {
		if s != was && int(n) < len(rest) && !r.AskFirst {
			rest[n] = s
			n++
		}
	}
	ag.list, ag.n, ag.at = rest, n, 1
	if n == 1 {
		r.then(a, asks, r.within(noticeWithin))
		return
	}
	r.svms[ag.list[1]].coming++
	r.then(a, tries, r.within(noticeWithin))
}
