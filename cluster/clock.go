package cluster

import (
	"slices"
	"sync/atomic"
	"time"
)

// A Clock gives the time that versions are made of: this machine's, as long as
// most peers do not agree on another.
//
// Time passes by the machine's monotonic clock, which nobody sets. Against it
// stand the clocks that may be wrong, this machine's and those of peers: each leads
// it by so much. Most leads that are near each other are right.
type Clock struct {
	wall  func() time.Time
	start time.Time // a moment by the monotonic clock
	state atomic.Pointer[clockState]
}

type clockState struct {
	free  bool          // nobody is asked: the machine's clock is right
	own   bool          // the machine's clock is right, as long as it is near lead
	lead  time.Duration // of the right time
	wall  time.Duration // the machine's lead, when it was last looked at
	sure  bool          // most agree, or there is nobody to ask
	wrong bool          // most agree on another time than this machine's
	error time.Duration // lead of the machine's clock over that of most
}

// agree is how near clocks are that agree.
const agree = 30 * time.Second

// NewClock returns a clock over this machine's.
func NewClock(wall func() time.Time) *Clock {
	c := &Clock{wall: wall, start: time.Now()}
	now := c.machine()
	c.state.Store(&clockState{free: true, own: true, sure: true, lead: now, wall: now})
	return c
}

// Now returns the time that most members agree on. It never jumps by more than
// they do.
func (c *Clock) Now() time.Time {
	s := c.state.Load()
	if s.free {
		return c.wall().Round(0)
	}
	right := c.steady().Add(s.lead)
	if s.own {
		if now := c.wall().Round(0); now.Sub(right).Abs() <= agree {
			return now
		}
	}
	return right
}

// steady is the time by the monotonic clock: it goes on whatever happens to others,
// and says nothing to other machines.
func (c *Clock) steady() time.Time { return c.start.Round(0).Add(time.Since(c.start)) }

// machine is by how much this machine's clock leads.
func (c *Clock) machine() time.Duration { return c.wall().Round(0).Sub(c.steady()) }

// jumped reports whether this machine's clock was set since it was last looked at, or
// the monotonic one stood still, as it does while a machine is suspended.
func (c *Clock) jumped() bool {
	return (c.machine() - c.state.Load().wall).Abs() > agree
}

// judge says what the time is from the leads of all live peers' clocks. Without any
// the machine's is followed as long as it does not jump; alone is a node that
// nobody can correct, and follows whatever it does. One goroutine calls it at a time.
func (c *Clock) judge(peers []time.Duration, alone bool) {
	old, own := c.state.Load(), c.machine()
	next := clockState{own: true, lead: own, wall: own}
	most, ours, found := majority(append(slices.Clone(peers), own), own)
	switch {
	case found:
		next.sure, next.error = true, own-most
		if !ours {
			next.own, next.wrong, next.lead = false, true, most
		}
	case alone:
		next.free, next.sure = true, true
	case old.own && (own-old.lead).Abs() <= agree:
	default: // as it was, by the monotonic clock
		next.own, next.lead, next.wrong, next.error = old.own, old.lead, old.wrong, own-old.lead
	}
	c.state.Store(&next)
}

// majority returns the median of the leads that are near each other, if those are
// more than half of all and not one alone, and whether own is among them.
func majority(leads []time.Duration, own time.Duration) (median time.Duration, ours, found bool) {
	slices.Sort(leads)
	need := max(2, len(leads)/2+1)
	best := 0
	for from, to := 0, 0; from < len(leads); from++ {
		for to < len(leads) && leads[to]-leads[from] <= agree {
			to++
		}
		n := to - from
		has := leads[from] <= own && own <= leads[to-1]
		if n >= need && (has && !ours || has == ours && n > best) {
			best, ours, found = n, has, true
			median = leads[from+(n-1)/2]
		}
	}
	return median, ours, found
}
