package agentapi

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

const (
	// sweepPause is the least time between two sweeps. It is longer where a sweep takes
	// long: at least sweepShare times that, so that sweeping takes a tenth of a processor.
	sweepPause = 50 * time.Millisecond
	sweepShare = 10

	// sweepEvery is the longest time between two sweeps, for what changes by time alone:
	// an SVM that is silent for too long, a slow start that is over, an old token.
	sweepEvery = time.Second

	// sweepChunk is how many waiters are looked at before others get the room's lock.
	sweepChunk = 128

	// goneChecks is about how many connections are looked at in each of the sweeps that time
	// makes, in turn: whether their clients are still there.
	goneChecks = 1500
)

// A cause is why a wait has ended.
type cause uint8

const (
	causeNone    cause = iota
	causeChange        // the answer is, or may be, another one
	causeTimeout       // it has waited for as long as it wanted
	causeClosing       // the gateway wants no one to wait
	causeGone          // the client has closed its side of the connection
	causes
)

// tenantShare is how many times a tenant's share of a room goes into it.
const tenantShare = 2

// A waiter is a question whose answer is not sent before it changes. Its request stays
// with the goroutine that serves it; what is here is a copy, so that one goroutine can look
// at the questions of all.
type waiter struct {
	query    discovery.Query
	revision uint64
	token    *[32]byte // digest of what the agent showed; nil if none was asked for
	peer     peer
	tenant   store.TenantID // whose VM it is for; zero if it is not registered

	// Under the room's lock.
	at       int         // index in room.waiters
	admitted func() bool // whether who asks still may; nil: always

	timer *time.Timer
	wake  chan cause // has room for one
	cause cause      // of the goroutine that waits
}

// call wakes w unless it has been called and has not looked yet.
func (w *waiter) call(c cause) {
	select {
	case w.wake <- c:
	default:
	}
}

// A room holds the questions that wait. One goroutine, the sweeper, decides them again
// after changes and wakes those whose answer is another one: so a change costs one pass
// over all waiters, in a tenth of a processor at most, and wakes only whom it concerns. It
// decides without a trace: an agent that waits is neither counted nor moved nor put off by
// that. The sweeper lives while somebody waits.
type room struct {
	decide  func(*discovery.Query, *discovery.Answer)
	table   *store.Table // nil: nothing but time changes
	max     int
	share   int // of max, for one tenant
	closing <-chan struct{}
	changed chan struct{} // has room for one

	mu       sync.Mutex
	waiters  []*waiter
	tenants  map[store.TenantID]int // how many of them are for whose VMs
	sweeping bool                   // there is a sweeper

	answers sync.Pool // of *discovery.Answer
	ended   [causes]atomic.Uint64
	refused atomic.Uint64
	limited atomic.Uint64
}

func newRoom(cfg *Config) *room {
	r := &room{
		decide: cfg.Selector.Decide, table: cfg.Table, max: cfg.MaxWaiting,
		closing: cfg.Closing, changed: make(chan struct{}, 1), tenants: map[store.TenantID]int{}, share: cfg.MaxWaiting,
	}
	r.answers.New = func() any { return new(discovery.Answer) }
	if r.table != nil {
		r.share = (r.max + tenantShare - 1) / tenantShare
		r.table.Subscribe(func(*store.News) { r.poke() })
	}
	return r
}

// poke tells the sweeper that something may have changed.
func (r *room) poke() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// isClosing reports whether nobody is to wait any longer.
func (r *room) isClosing() bool {
	select {
	case <-r.closing:
		return true
	default:
		return false
	}
}

// enter lets w in for up to a time, of which a tenth is left to chance: agents that begin
// to wait together, after a restart, do not ask again together. It returns nil,
// or why there is no room. Who is in calls exit in the end.
func (r *room) enter(w *waiter, most time.Duration) *canned {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.waiters) >= r.max:
		r.refused.Add(1)
		return crowded
	case r.tenants[w.tenant] >= r.share:
		r.limited.Add(1)
		return limited
	}
	r.tenants[w.tenant]++
	w.wake, w.timer = make(chan cause, 1), time.NewTimer(most-rand.N(most/10+1))
	w.at = len(r.waiters)
	r.waiters = append(r.waiters, w)
	if !r.sweeping {
		r.sweeping = true
		go r.sweeper()
	}
	return nil
}

// tenantOf returns whose VM a question is for.
func (r *room) tenantOf(vm *store.BIOSID) store.TenantID {
	if r.table == nil {
		return store.TenantID{}
	}
	if slot, ok := r.table.Lookup(vm); ok {
		if tenant := r.table.View().Tenant(slot.Tenant()); tenant != nil { // the view is as new as the slot
			return tenant.ID
		}
	}
	return store.TenantID{}
}

// guard makes w leave when admitted reports false.
func (r *room) guard(w *waiter, admitted func() bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.admitted = admitted
}

// exit lets w out.
func (r *room) exit(w *waiter) {
	w.timer.Stop()
	r.ended[w.cause].Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tenants[w.tenant]--; r.tenants[w.tenant] == 0 {
		delete(r.tenants, w.tenant)
	}
	last := len(r.waiters) - 1
	r.waiters[w.at] = r.waiters[last]
	r.waiters[w.at].at = w.at
	r.waiters[last] = nil
	r.waiters = r.waiters[:last]
	if last == 0 {
		r.waiters = nil
		r.poke() // the sweeper ends
	}
}

// block returns when the question of w should be answered, or decided again: w.cause says
// why.
func (r *room) block(w *waiter) {
	// What changed between the answer and enter, no sweep has seen.
	if r.differs(w) {
		w.cause = causeChange
		return
	}
	select {
	case w.cause = <-w.wake:
	case <-w.timer.C:
		w.cause = causeTimeout
	}
}

// differs reports whether the answer of w is another one now, or may be.
func (r *room) differs(w *waiter) bool {
	answer := r.answers.Get().(*discovery.Answer)
	defer r.answers.Put(answer)
	return r.differsFrom(w, answer)
}

func (r *room) differsFrom(w *waiter, answer *discovery.Answer) bool {
	if w.admitted != nil && !w.admitted() {
		return true
	}
	if w.token != nil {
		if tenant, ok := r.table.TenantByToken(*w.token); !ok || tenant != w.query.Tenant {
			return true
		}
	}
	r.decide(&w.query, answer)
	return answer.Revision != w.revision
}

// sweeper sweeps after changes, and from time to time, while there are waiters.
func (r *room) sweeper() {
	timer := time.NewTimer(sweepEvery)
	defer timer.Stop()
	var answer discovery.Answer
	for turn := 0; ; {
		check := false
		select {
		case <-r.changed:
		case <-timer.C:
			check = true
			turn++
		case <-r.closing:
			r.callAll(causeClosing)
		}
		if r.end() {
			return
		}
		began := time.Now()
		r.sweep(&answer, check, turn)
		took := time.Since(began)
		time.Sleep(max(sweepPause, sweepShare*took))
		timer.Reset(max(0, sweepEvery-time.Since(began)))
	}
}

// end ends the sweeper if nobody is left, and reports whether it did.
func (r *room) end() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweeping = len(r.waiters) > 0
	return !r.sweeping
}

// sweep looks at all waiters, and calls those that should look themselves. From the last to
// the first: one that leaves meanwhile is replaced by the last, which has been looked at.
func (r *room) sweep(answer *discovery.Answer, check bool, turn int) {
	turns := 1 + r.waiting()/goneChecks
	r.each(func(w *waiter) {
		switch {
		case r.differsFrom(w, answer):
			w.call(causeChange)
		case check && (w.at+turn)%turns == 0 && w.peer.gone():
			w.call(causeGone)
		}
	})
}

func (r *room) callAll(c cause) { r.each(func(w *waiter) { w.call(c) }) }

func (r *room) each(fn func(*waiter)) {
	for rest := r.waiting(); rest > 0; {
		r.mu.Lock()
		rest = min(rest, len(r.waiters))
		chunk := r.waiters[max(0, rest-sweepChunk):rest]
		for _, w := range slices.Backward(chunk) {
			fn(w)
		}
		r.mu.Unlock()
		rest -= len(chunk)
	}
}

func (r *room) waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiters)
}

// WaitStats counts questions that waited, since the API was made.
type WaitStats struct {
	Waiting int    // now
	Changed uint64 // ended because the answer changed
	Timeout uint64 // ended because the time was over
	Closing uint64 // ended because the gateway stopped, or took another table
	Gone    uint64 // ended because the client closed its side
	Refused uint64 // found no room
	Limited uint64 // found none for another of the same tenant
}

// WaitStats returns the counts of both planes.
func (a *API) WaitStats() WaitStats {
	r := a.room
	return WaitStats{
		Waiting: r.waiting(), Refused: r.refused.Load(), Limited: r.limited.Load(),
		Changed: r.ended[causeChange].Load(), Timeout: r.ended[causeTimeout].Load(),
		Closing: r.ended[causeClosing].Load(), Gone: r.ended[causeGone].Load(),
	}
}
