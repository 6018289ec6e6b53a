package discovery

import (
	"slices"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A gateway that hears of no reports any more must not take all SVMs for down when it is
// the one that is cut off. When many SVMs of a pool go down within a short time for want
// of reports, they are held: used as if they were up. It ends when a report comes, when
// another gateway tells that they are silent there, too, when an administrator takes them
// away, and after guardFor. A gateway that is alone holds nothing: it would never know.
const (
	// Where SVMs report every five minutes, a gateway that is cut off finds 40 percent of
	// them silent within two.
	guardWithin  = 2 * time.Minute
	guardPercent = 30 // of the SVMs of a pool
	guardFor     = 5 * time.Minute

	// guardAlone is how long after the last word of any other gateway, and a TTL of SVMs,
	// this one counts as alone: whoever is cut off from gateways and SVMs at once takes
	// those for silent only when the TTL has passed.
	guardAlone = 10 * time.Minute

	// silentFor is how long others are told that an SVM went silent, and silenceHolds
	// how long they remember it: they hear it once a minute.
	silentFor    = guardFor + time.Minute
	silenceHolds = 90 * time.Second
)

// quiet is what the guard knows of an SVM.
type quiet struct {
	lost      bool // it went down for want of reports
	lostAt    time.Duration
	storm     bool // and so did many others, about then
	listed    bool // among pools.lost
	held      bool
	elsewhere time.Duration // until then it is believed that it is silent elsewhere, too
}

// A pool is the SVMs that are dedicated to one tenant, or those that are to none.
type pool struct {
	up      int // SVMs
	elders  int // of them, up for longer than SlowStart
	takes   int // up or held
	accused int // of them, suspect though no probe of this gateway says so
	lost    int // SVMs that went down for want of reports within guardWithin
}

type pools struct {
	byTenant map[store.TenantID]*pool
	lost     []int // SVMs that may have to be held
}

// of returns the pools that an SVM with a dedication belongs to.
func (p *pools) of(tenants []store.TenantID) []*pool {
	if len(tenants) == 0 {
		tenants = []store.TenantID{{}}
	}
	if p.byTenant == nil {
		p.byTenant = map[store.TenantID]*pool{}
	}
	out := make([]*pool, 0, len(tenants))
	for _, id := range tenants {
		if p.byTenant[id] == nil {
			p.byTenant[id] = &pool{}
		}
		out = append(out, p.byTenant[id])
	}
	return out
}

// lose notes that an SVM went down for want of reports. It is held until the guard has
// had a look, at the end of the pulse.
func (l *ledger) lose(i int) {
	b := &l.books[i]
	if !b.listed {
		l.pools.lost = append(l.pools.lost, i)
	}
	b.quiet = quiet{lost: true, lostAt: l.moment.since, held: true, elsewhere: b.elsewhere, listed: true}
}

// guard decides which SVMs are held, and returns those for which that has changed.
func (l *ledger) guard(ttl time.Duration) (changed []int) {
	l.storm()
	alone := l.gateways.Load() == 1 && (!l.peers.ever || l.moment.since-l.peers.heard >= ttl+guardAlone)
	l.pools.lost = slices.DeleteFunc(l.pools.lost, func(i int) bool {
		b := &l.books[i]
		hold := !alone && b.mayHold(l.moment)
		if b.held != hold {
			b.held = hold
			changed = append(changed, i)
		}
		b.listed = hold || b.lately(l.moment)
		return !b.listed
	})
	return changed
}

// storm notes which SVMs went down together with many others of a pool.
func (l *ledger) storm() {
	for _, i := range l.pools.lost {
		for _, p := range l.books[i].pools {
			p.lost = 0
		}
	}
	for _, i := range l.pools.lost {
		if b := &l.books[i]; b.lately(l.moment) {
			for _, p := range b.pools {
				p.lost++
			}
		}
	}
	for _, i := range l.pools.lost {
		if b := &l.books[i]; b.lately(l.moment) {
			b.storm = b.storm || slices.ContainsFunc(b.pools, func(p *pool) bool {
				return p.lost*100 > guardPercent*(p.up+p.lost)
			})
		}
	}
}

// lately reports whether the SVM went down for want of reports within guardWithin.
func (b *book) lately(at moment) bool { return b.lost && at.since-b.lostAt < guardWithin }

func (b *book) mayHold(at moment) bool {
	return b.lost && b.storm && at.since-b.lostAt < guardFor && at.since >= b.elsewhere
}

// silent reports whether others are to be told that the SVM is silent here.
func (b *book) silent(at moment) bool { return b.lost && at.since-b.lostAt < silentFor }
