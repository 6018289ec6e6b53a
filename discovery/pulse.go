package discovery

import (
	"math"
	"time"

	"github.com/svmgate/svmgate/store"
)

// beat brings the ledger up to date: a pulse. Only the selector's goroutine calls it.
func (s *Selector) beat() {
	gateways := s.countGateways()
	l := s.ledger
	l.mu.Lock()
	at := s.momentNow()
	if l.gateways.Load() != gateways {
		l.gateways.Store(gateways)
		l.peers.tellAt = min(l.peers.tellAt, at.since) // whoever has come knows nothing yet
		l.soil()
	}
	v := l.pulseAt(s, at)
	list := s.toTell(at)
	l.mu.Unlock()
	s.logVerdicts(v, at)
	if len(list) > 0 {
		s.tell(l.peers.epoch, list)
	}
}

// countGateways asks how many gateways there are: at least this one, and not more than
// can be heard.
func (s *Selector) countGateways() int32 {
	if s.count == nil {
		return 1
	}
	return int32(min(max(s.count(), 1), maxPeers+1))
}

// clock is the time. The pulse reads it, and what makes changes; questions do not: they
// go by the last pulse.
func clock() time.Time { return time.Now() }

func (s *Selector) momentNow() moment {
	now := clock()
	return moment{wall: now.UnixMilli(), since: now.Sub(s.start)}
}

// pulseAt works out every account that may have changed, and returns what is to be logged.
func (l *ledger) pulseAt(s *Selector, at moment) (v verdicts) {
	l.moment = at
	if at.since >= l.history.due {
		l.history.due = at.since + historyEvery
		l.remember(s)
	}
	l.follow(at)
	for i := range l.books {
		s.bring(i)
	}
	for _, i := range l.guard(s.table.SVMTTL()) {
		l.touch(i)
		s.bring(i)
	}
	for _, i := range l.weigh(at) { // now that the pools know who is suspect no more
		s.bring(i)
		v.suspects = append(v.suspects, l.books[i].id)
	}
	v.excess = l.excess
	l.now.Store(int64(at.since))
	l.window.Store(uint32(at.wall / 300_000))
	l.calm.Store(l.crowd.calm(l.gateways.Load()))
	l.pulse.Add(1)
	return v
}

// remember adds a row to the history.
func (l *ledger) remember(s *Selector) {
	l.history.add(l.moment.wall, len(l.books), func(i int) historyCount {
		return historyCount{picks: s.table.Picks(i), heard: l.books[i].heard}
	})
	l.crowd.remember()
}

// follow brings up which gateways there are, and what of it touches accounts.
func (l *ledger) follow(at moment) {
	names, round := l.peers.follow(at, l.gateways.Load())
	if !names && !round {
		return
	}
	for i := range l.books {
		b := &l.books[i]
		if names {
			b.rank = l.rank(b.hash)
		}
		if b.hardCap > 0 {
			l.touch(i)
		}
	}
}

func (l *ledger) rank(svm uint64) int32 {
	return rankOf(svm, l.peers.own, l.peers.hashes, l.gateways.Load())
}

// soil makes all accounts due, because gateways have come or gone.
func (l *ledger) soil() {
	for i := range l.books {
		b := &l.books[i]
		b.rank = l.rank(b.hash)
		l.touch(i)
	}
}

// bring works out an account, if anything may have changed it.
func (s *Selector) bring(i int) {
	l := s.ledger
	now := mark{report: s.table.Load(i).Report(), picks: s.table.Picks(i), state: s.table.Load(i).State()}
	m := &l.marks[i]
	if now.picks == m.picks && now.report == m.report && now.state == m.state && l.moment.since < m.due {
		return
	}
	now.due = math.MaxInt64
	if b := &l.books[i]; b.present {
		l.audit(s, i, now)
		now.due = b.due
	}
	*m = now
}

// audit works out an account.
func (l *ledger) audit(s *Selector, i int, now mark) {
	report, picks := now.report, now.picks
	a, b, at := &l.accounts[i], &l.books[i], l.moment
	b.due = math.MaxInt64
	if report != b.report || b.unread {
		l.rebase(i, report, s.table.SVMTTL())
	}
	b.fade(at, picks, s.table.SVMTTL())

	gateways := l.gateways.Load()
	sure := int32(report.Agents) + b.told - b.base + b.heard - b.heardBase - b.faded
	offset := sure - gateways*b.told
	then := offset + gateways*picks
	l.crowd.change(picks-b.picks, then-a.then.Load())
	left := b.hardCap - sure - b.early
	if b.most = max(b.most, left); b.fresh || b.retold {
		b.most = left
	}
	ceiling := room{
		told: b.told, left: left, most: b.most, n: gateways, rank: b.rank, fresh: b.fresh, round: l.peers.round,
	}.ceiling(a.ceiling.Load())
	b.fresh, b.retold, b.picks = false, false, picks

	l.observe(i, now.state)
	if a.told.Load() != b.told {
		a.told.Store(b.told)
	}
	l.publish(i, uint64(gateways)<<32|uint64(uint32(offset)), ceiling, then, b.weight, b.traits(at, s.returnAfter, picks-ceiling >= 0))
}

// publish writes what has changed, the ceiling before a trait says that it counts.
func (l *ledger) publish(i int, estimate uint64, ceiling, then, weight int32, traits uint32) {
	a := &l.accounts[i]
	if a.estimate.Load() != estimate {
		a.estimate.Store(estimate)
	}
	if a.ceiling.Load() != ceiling {
		a.ceiling.Store(ceiling)
	}
	if a.then.Load() != then {
		a.then.Store(then)
	}
	if a.weight.Load() != weight {
		a.weight.Store(weight)
	}
	l.setTraits(i, traits)
}

// rebase takes a new report.
func (l *ledger) rebase(i int, r store.Report, ttl time.Duration) {
	b := &l.books[i]
	b.report, b.unread, b.faded, b.early, b.fresh = r, false, 0, 0, true
	b.base, b.heardBase = r.Picks, b.heard
	if r.At > 0 {
		then := l.history.before(r.At, i)
		b.heardBase = then.heard
		if !r.Here {
			b.base = then.picks
		}
		shortly := l.history.before(r.At-Connecting.Milliseconds(), i)
		b.early = max(0, b.base-shortly.picks) + max(0, b.heardBase-shortly.heard)
	}
	if l.peers.toldAt <= r.At || l.peers.toldAt == 0 {
		b.told = b.base
	}
	b.fadeAt = nextFading(r.At, l.moment.wall, ttl)
}

// nextFading is when half of what stands beside a report fades next: a whole number of
// TTLs after it, so that all gateways do so at the same time.
func nextFading(report, now int64, ttl time.Duration) int64 {
	step := max(1, ttl.Milliseconds())
	return report + (max(0, now-report)/step+1)*step
}

// fade halves what stands beside the count of a report, when it is time. A pinned SVM takes
// agents for as long as no report comes, and its hard cap would let in others for those
// that fade: there it does not.
func (b *book) fade(at moment, picks int32, ttl time.Duration) {
	if at.wall >= b.fadeAt {
		if b.hardCap == 0 || !b.pinned {
			beside := picks - b.base + b.heard - b.heardBase - b.faded
			b.faded += beside - beside/2
			b.told += (picks - b.told) - (picks-b.told)/2
			b.early /= 2
			b.fresh = true
		}
		b.fadeAt = nextFading(b.report.At, at.wall, ttl)
	}
	b.wake(at.since + time.Duration(b.fadeAt-at.wall)*time.Millisecond)
}

// wake makes the book due at a time, if it is not so before.
func (b *book) wake(at time.Duration) { b.due = min(b.due, at) }
