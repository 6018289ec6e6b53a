package cluster

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// repair makes the table equal with those of peers, whatever was lost on the way. It
// knows peers by name only, and speaks to them by questions.
//
// Every second it tells two peers the root of its digest. Whoever has another root,
// and each node every ten seconds with anybody, exchanges digests; whoever sees a
// bucket differ twice running, or at all while it joins, pulls it. Two sessions with
// different peers run at a time, on different buckets.
type repair struct {
	self  string
	table Table
	clock *Clock
	log   *slog.Logger
	seeds bool // there are some
	life  context.Context

	ask  func(ctx context.Context, peer string, what question, body []byte) ([]byte, error)
	hint func(peer string, root uint64)
	live func() []string // peers

	wake    chan struct{}
	hurry   chan struct{} // hints are due at once
	roots   chan heardRoot
	told    chan told
	serving chan struct{} // one for each pull that is served
	turns   *turnstile    // for whoever serves them; nil without a network of the system's
	readiness
	tenure
	counts struct {
		exchanges, pulledRecords, pulledBytes, servedRecords, servedBytes, tooLarge, vain atomic.Uint64
		differing, localStateSize                                                         atomic.Int64
	}

	hinted time.Time // for run

	mu      sync.Mutex
	peers   map[string]*relation
	calls   map[string]time.Time // whom to exchange digests with, and when
	busy    map[string]bool      // whom now
	claimed set                  // what is being pulled
	tries   [Buckets]try
	routine time.Time // when to exchange with anybody
}

// How often, and how many.
const (
	maxSessions   = 2
	maxCalls      = 4 // planned: more peers than that will be there another time
	hintEvery     = time.Second
	hintPeers     = 2
	exchangeEvery = 10 * time.Second
	again         = time.Second // between two exchanges with a peer
	askTimeout    = 5 * time.Second
	maxRelations  = 1024 // remembered
	maxHeard      = 16   // waiting to be looked at
)

// A relation is what is known of a peer's table and clock.
type relation struct {
	exchanged time.Time // by the monotonic clock, as are the others
	differing int
	since     time.Time // when it began to differ; zero if it is equal

	first   set // differed in an exchange
	firstAt time.Time

	lead   time.Duration // of its clock
	leadAt time.Time     // zero if it is not known

	ready    bool // it may answer
	refuses  bool // it was away for too long, or holds that of this node
	failures int  // in a row
	notUntil time.Time
}

func (r *repair) init(cfg *Config, clock *Clock, log *slog.Logger) {
	r.self, r.table, r.clock, r.log = cfg.Name, cfg.Table, clock, log
	r.seeds = len(cfg.Seeds) > 0
	r.wake, r.hurry = make(chan struct{}, 1), make(chan struct{}, 1)
	r.roots, r.told = make(chan heardRoot, maxHeard), make(chan told, maxHeard)
	r.serving = make(chan struct{}, maxServed)
	r.peers = make(map[string]*relation)
	r.calls = make(map[string]time.Time)
	r.busy = make(map[string]bool)
	r.tenure.init(cfg, clock.Now())
	r.readiness.init(cfg)
}

// run works until life ends.
func (r *repair) run() {
	r.routine = time.Now().Add(about(exchangeEvery))
	r.tick()
	ticker := time.NewTicker(about(hintEvery))
	defer ticker.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	for {
		peer, wait := r.next(time.Now())
		if peer != "" {
			sessions.Go(func() {
				defer r.ended(peer)
				r.session(r.life, peer)
			})
			continue
		}
		timer.Reset(wait)
		select {
		case <-r.life.Done():
			return
		case <-r.wake:
		case <-timer.C:
		case <-ticker.C:
			r.tick()
		case <-r.hurry:
			r.hintSome(r.live())
		case h := <-r.roots:
			r.compare(h)
		case t := <-r.told:
			r.hear(t)
		}
	}
}

// tick does what is due every second.
func (r *repair) tick() {
	now, live := time.Now(), r.live()
	if r.clock.jumped() {
		r.forgetLeads(live)
	}
	r.judgeClock(live)
	if r.out.Load() {
		return
	}
	r.raiseFloor()
	r.readiness.waited()
	if len(live) == 0 {
		return
	}
	r.hintSome(live)
	r.mu.Lock()
	routine := now.After(r.routine) || !r.ready.Load() && len(r.calls)+len(r.busy) == 0
	if routine {
		r.routine = now.Add(about(exchangeEvery))
	}
	r.mu.Unlock()
	if routine {
		r.call(live[rand.IntN(len(live))], 0)
	}
}

// about spreads what many nodes do.
func about(d time.Duration) time.Duration {
	return d*8/10 + rand.N(d*4/10)
}

// hintSome tells some peers the root of this node's digest.
func (r *repair) hintSome(live []string) {
	if len(live) == 0 || r.out.Load() || time.Since(r.hinted) < hintEvery/4 {
		return
	}
	r.hinted = time.Now()
	root := rootOf(r.table)
	for range hintPeers {
		r.hint(live[rand.IntN(len(live))], root)
	}
}

// A heardRoot is a hint of a peer's.
type heardRoot struct {
	peer string
	root uint64
}

func (r *repair) compare(h heardRoot) {
	if h.root != rootOf(r.table) {
		r.call(h.peer, rand.N(again/2))
	}
}

// call plans an exchange with a peer, unless there is much to do already: then there
// will be another hint.
func (r *repair) call(peer string, in time.Duration) {
	if !slices.Contains(r.live(), peer) {
		return
	}
	at := time.Now().Add(in)
	r.mu.Lock()
	defer r.mu.Unlock()
	rel := r.relationLocked(peer)
	for _, earliest := range []time.Time{rel.notUntil, rel.exchanged.Add(again / 2)} {
		if at.Before(earliest) {
			at = earliest
		}
	}
	old, planned := r.calls[peer]
	if planned && !at.Before(old) || !planned && len(r.calls) >= maxCalls {
		return
	}
	r.calls[peer] = at
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// relationLocked returns what is known of a peer. Of too many, any is forgotten.
func (r *repair) relationLocked(peer string) *relation {
	rel := r.peers[peer]
	if rel == nil {
		for name := range r.peers {
			if len(r.peers) < maxRelations {
				break
			}
			delete(r.peers, name)
		}
		rel = new(relation)
		r.peers[peer] = rel
	}
	return rel
}

// next returns whom to exchange with now, or how long nobody need be.
func (r *repair) next(now time.Time) (peer string, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wait = time.Hour
	if len(r.busy) >= maxSessions || r.out.Load() {
		return "", wait
	}
	for name, at := range r.calls {
		if in := at.Sub(now); !r.busy[name] && in < wait {
			peer, wait = name, in
		}
	}
	if wait > 0 {
		return "", wait
	}
	delete(r.calls, peer)
	r.busy[peer] = true
	return peer, 0
}

func (r *repair) ended(peer string) {
	r.mu.Lock()
	delete(r.busy, peer)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// session exchanges digests with a peer, and pulls what that shows.
func (r *repair) session(ctx context.Context, peer string) {
	seen, err := r.exchange(ctx, peer)
	pulled := false
	if err == nil {
		pulled, err = r.pullAll(ctx, peer, seen)
	}
	r.note(peer, err)
	switch {
	case err != nil:
		if ctx.Err() == nil && !errors.Is(err, errRefused) {
			r.call(peer, 0) // not until it has had some rest
		}
	case pulled || seen.begins:
		r.call(peer, again)
	default:
		return
	}
}

// note remembers how a session ended.
func (r *repair) note(peer string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rel := r.relationLocked(peer)
	rest := time.Duration(0)
	switch {
	case err == nil:
		rel.failures = 0
	case errors.Is(err, ErrBusy):
		rest = again/4 + rand.N(again/4)
	default:
		rel.failures++
		rest = about(min(again/2<<min(rel.failures, 8), exchangeEvery))
		r.log.Debug("repair failed", "peer", peer, "error", err)
	}
	rel.notUntil = time.Now().Add(rest)
}

// describe tells what is known of a peer.
func (r *repair) describe(m *Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.Self {
		m.Ready = r.ready.Load()
	}
	rel := r.peers[m.Name]
	if rel == nil {
		return
	}
	m.Ready = rel.ready
	now := time.Now()
	if !rel.exchanged.IsZero() {
		m.Exchanged = r.clock.Now().Add(-now.Sub(rel.exchanged))
	}
	m.Differing = rel.differing
	if !rel.since.IsZero() {
		m.Lag = now.Sub(rel.since)
	}
	if !rel.leadAt.IsZero() {
		m.Offset = rel.lead - r.clock.machine()
	}
}
