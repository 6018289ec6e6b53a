package discovery

import (
	"math"

	"github.com/svmgate/svmgate/store"
)

// keepBooks brings up the accounts of SVMs whose records have changed: before the change
// is acknowledged, so that a cap holds from the next question. It is called under the
// table's locks.
func (s *Selector) keepBooks(view *store.View, changed []int) {
	if len(changed) == 0 {
		return
	}
	l := s.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moment = s.momentNow()
	for i := len(l.books); i < view.NumSVMs(); i++ {
		picks := s.table.Picks(i)
		l.books = append(l.books, book{picks: picks, origin: picks, goodSince: -1})
		l.marks = append(l.marks, mark{due: math.MaxInt64})
	}
	if l.history.made == 0 {
		l.remember(s)
	}
	for _, i := range changed {
		b := &l.books[i]
		if e := view.SVM(i); e != nil {
			l.enter(b, e)
			l.touch(i)
			s.bring(i)
		} else if b.present {
			l.strike(s, i)
		}
	}
}

// enter takes over what an SVM's record says.
func (l *ledger) enter(b *book, e *store.SVMEntry) {
	pools := l.pools.of(e.Tenants)
	b.leavePools()
	b.pools = pools
	b.joinPools()
	wanted := e.Wanted()
	if !b.present {
		b.unread, b.came = true, l.moment.since
	}
	b.fresh = b.fresh || b.hardCap != int32(e.HardCap)
	b.present, b.id, b.hash = true, e.ID, hashSVM(e.ID)
	b.admin = wanted == store.Draining || wanted == store.Down
	b.drain, b.hardCap, b.weight = drainOf(e), int32(e.HardCap), int32(e.Weight())
	b.pinned, b.rank = e.Pinned, l.rank(b.hash)
}

// strike takes an SVM out that is gone. What was picked and heard goes on counting.
func (l *ledger) strike(s *Selector, i int) {
	b := &l.books[i]
	b.leavePools()
	picks := s.table.Picks(i)
	l.crowd.change(picks-b.picks, -l.accounts[i].then.Load())
	l.publish(i, uint64(l.gateways.Load())<<32, 0, 0, 0, 0)
	l.marks[i] = mark{report: s.table.Load(i).Report(), due: math.MaxInt64}
	*b = book{picks: picks, origin: b.origin, heard: b.heard, goodSince: -1, quiet: quiet{listed: b.listed}}
}

func (b *book) leavePools() { b.inPools(-1) }

func (b *book) joinPools() { b.inPools(+1) }

func (b *book) inPools(n int) {
	for _, p := range b.pools {
		p.up += n * int(b2u(b.up))
		p.elders += n * int(b2u(b.elder))
		p.takes += n * int(b2u(b.takes))
		p.accused += n * int(b2u(b.accused))
	}
}
