package cluster

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"
)

// tenure is how long this node took part, and how far back its peers remember what
// was deleted.
type tenure struct {
	out     atomic.Bool // this node may take no part any more
	onStale func(Stale)

	mut       sync.Mutex
	keep      time.Duration // the shortest of all nodes'
	floor     time.Time     // older tombstones are gone; zero while the time is not sure
	exchanged time.Time     // when this node last had all that a peer had; zero if never
	started   time.Time     // to the millisecond, as peers are told
}

const (
	keepDefault = 7 * 24 * time.Hour
	floorStep   = time.Hour // floors rise by so much at once: rarely, and everywhere alike
)

func (t *tenure) init(cfg *Config, now time.Time) {
	t.started = time.UnixMilli(millis(now))
	t.onStale, t.exchanged, t.keep = cfg.Stale, cfg.State.Exchanged, cfg.Keep
	if t.keep <= 0 {
		t.keep = keepDefault
	}
}

// tell fills in a summary. An empty table has nothing that peers could have deleted,
// and whoever is out sends nobody else away.
func (t *tenure) tell(s *summary, empty bool) {
	t.mut.Lock()
	defer t.mut.Unlock()
	s.started, s.keep = t.started, t.keep
	if !t.out.Load() {
		s.floor = t.floor
	}
	if !empty {
		s.exchanged = t.exchanged
	}
}

// raiseFloor forgets old tombstones, as time passes.
func (r *repair) raiseFloor() {
	if floor := r.tenure.rise(r.clock); !floor.IsZero() {
		r.table.Forget(floor.UnixMilli())
	}
}

// rise returns the new floor, or no time if it is as before. While it is not sure
// what the time is, it stays: a clock that is a year ahead must not forget
// everything.
func (t *tenure) rise(c *Clock) (floor time.Time) {
	if !c.state.Load().sure {
		return time.Time{}
	}
	t.mut.Lock()
	defer t.mut.Unlock()
	return t.riseLocked(c.Now().Add(-t.keep).Truncate(min(floorStep, t.keep/8)), c.Now())
}

func (t *tenure) riseLocked(to, now time.Time) (floor time.Time) {
	if t.floor.After(t.limitLocked(now)) {
		t.floor = time.Time{} // from when the clock was wrong
	}
	if !to.After(t.floor) {
		return time.Time{}
	}
	t.floor = to
	return to
}

// limitLocked is how high a floor can be, if clocks are right.
func (t *tenure) limitLocked(now time.Time) time.Time {
	return now.Add(-t.keep + min(2*floorStep, t.keep/4))
}

// heard takes what a peer says of its tenure. It returns the new floor if the peer's
// is higher, and errRefused if one of the two was away for too long. If both were, as
// two are that did not see each other, somebody must keep the table: who runs
// for longer, since the other may just have been switched on again. Who never met
// anybody has deleted nothing that others have, and keeps nothing that they deleted.
func (t *tenure) heard(theirs *summary, self string, empty bool, c *Clock) (floor time.Time, err error) {
	now := c.Now()
	t.mut.Lock()
	defer t.mut.Unlock()
	t.keep = min(t.keep, theirs.keep)
	believed := !theirs.floor.After(t.limitLocked(now))
	if !empty && !t.exchanged.IsZero() && !theirs.exchanged.IsZero() {
		higher := t.floor // for both, or both may go
		if believed && theirs.floor.After(higher) {
			higher = theirs.floor
		}
		this, other := t.exchanged.Before(higher), theirs.exchanged.Before(higher)
		if this && other {
			this = cmp.Or(t.started.Compare(theirs.started), cmp.Compare(self, theirs.name)) > 0
		}
		if this {
			t.leaveLocked(Stale{Peer: theirs.name, Exchanged: t.exchanged, Floor: higher})
		}
		if this || other {
			return time.Time{}, errRefused
		}
	}
	if theirs.exchanged.IsZero() {
		t.caughtUpLocked(c)
	}
	if believed {
		floor = t.riseLocked(theirs.floor, now)
	}
	return floor, nil
}

// leaveLocked ends this node's part.
func (t *tenure) leaveLocked(why Stale) {
	if !t.out.Swap(true) && t.onStale != nil {
		go t.onStale(why) // it may well stop the node, and wait for that
	}
}

// caughtUp notes that this node had all that a peer had.
func (t *tenure) caughtUp(c *Clock) {
	t.mut.Lock()
	defer t.mut.Unlock()
	t.caughtUpLocked(c)
}

func (t *tenure) caughtUpLocked(c *Clock) {
	now := c.Now()
	wasWrong := t.exchanged.Sub(now) > floorStep && c.state.Load().sure
	if now.After(t.exchanged) || wasWrong {
		t.exchanged = now
	}
}

func (t *tenure) lastExchanged() time.Time {
	t.mut.Lock()
	defer t.mut.Unlock()
	return t.exchanged
}
