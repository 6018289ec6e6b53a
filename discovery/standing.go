package discovery

import (
	"time"

	"github.com/svmgate/svmgate/store"
)

// This file is about what an SVM is to agents, from moment to moment: the traits of its
// account.

// A drain is how an SVM's agents leave it.
type drain struct {
	since time.Time
	over  time.Duration // 0: all at once
}

// drainOf returns how the agents of an SVM leave it, once it drains.
func drainOf(e *store.SVMEntry) drain {
	return drain{since: e.Drain.Since.Time, over: time.Duration(e.Drain.Over) * time.Second}
}

// left is the part of the agents whose turn has come, of 65535.
func (d drain) left(wall int64) uint32 {
	gone := wall - d.since.UnixMilli()
	if over := d.over.Milliseconds(); over > 0 && gone < over {
		return uint32(max(0, gone) * 65535 / over)
	}
	return 65535
}

// opened is to how many eighths of agents an SVM is open that came up among elders so long
// ago.
func opened(age time.Duration) int {
	return int(min(max(age, 0)/(SlowStart/slowStartSteps)+1, slowStartSteps))
}

// observe follows an SVM's state.
func (l *ledger) observe(i int, state store.SVMState) {
	b, now := &l.books[i], l.moment.since
	up := state == store.Ready || state == store.Suspect
	first := l.pulse.Load() == 0 // the selector is being made
	switch {
	case up && !b.up:
		if !b.held {
			b.upSince, b.ramp = now, !first && b.amongElders()
		}
		b.quiet = quiet{listed: b.listed}
	case !up && b.up && state == store.Down && !b.admin:
		l.lose(i)
	case b.admin && !up:
		b.quiet = quiet{listed: b.listed}
	}
	b.state = state
	b.count(up)
	takes := b.up || b.held
	if takes && !b.takes { // what was said of it before says nothing now
		b.until, b.believed = 0, 0
	}
	b.tally(&b.takes, takes, func(p *pool) *int { return &p.takes })
	b.accuse(l.moment)
	b.ramp = b.ramp && takes && opened(now-b.upSince) < slowStartSteps
	b.age(takes && !b.ramp && (b.elder || first || now-b.upSince >= SlowStart))
	if good := (state == store.Ready || b.held) && !b.suspect(l.moment); !good {
		b.goodSince = -1
	} else if b.goodSince < 0 {
		b.goodSince = now
	}
}

// count counts an SVM among those of its pools that are up, if it is.
func (b *book) count(up bool) { b.tally(&b.up, up, func(p *pool) *int { return &p.up }) }

// age counts an SVM among the elders of its pools, if it is one.
func (b *book) age(elder bool) { b.tally(&b.elder, elder, func(p *pool) *int { return &p.elders }) }

// tally brings up whether an SVM counts in one of the numbers of its pools.
func (b *book) tally(counts *bool, now bool, of func(*pool) *int) {
	if *counts != now {
		*counts = now
		for _, p := range b.pools {
			*of(p) += 2*int(b2u(now)) - 1
		}
	}
}

func (b *book) amongElders() bool {
	for _, p := range b.pools {
		if p.elders > 0 {
			return true
		}
	}
	return false
}

// traits returns the traits at a moment, and makes the book due when they change by
// themselves.
func (b *book) traits(at moment, returnAfter time.Duration, full bool) uint32 {
	var t uint32
	trait := func(holds bool, bit uint32) {
		if holds {
			t |= bit
		}
	}
	good, open := b.goodSince >= 0, slowStartSteps
	trait(b.hardCap > 0, traitCapped)
	trait(good && at.since-b.goodSince >= returnAfter, traitSettled)
	trait(good && (b.hardCap == 0 || !full), traitUsable)
	trait(b.held, traitHeld)
	trait(b.suspect(at), traitSuspect)
	if b.ramp {
		open = opened(at.since - b.upSince)
	}
	t |= uint32(open) << traitOpenShift
	if b.state == store.Draining {
		t |= b.drain.left(at.wall) << traitLeavingShift
	}
	b.wakeFor(at, good, returnAfter, t)
	return t
}

// wakeFor makes the book due when its traits will change by themselves.
func (b *book) wakeFor(at moment, good bool, returnAfter time.Duration, t uint32) {
	if good && t&traitSettled == 0 {
		b.wake(b.goodSince + returnAfter)
	}
	if b.ramp {
		b.wake(b.upSince + time.Duration(opened(at.since-b.upSince))*(SlowStart/slowStartSteps))
	} else if !b.elder && (b.up || b.held) {
		b.wake(b.upSince + SlowStart)
	}
	for _, until := range [...]time.Duration{b.until, b.believed} {
		if at.since < until {
			b.wake(until)
		}
	}
	if b.state == store.Draining && t>>traitLeavingShift < 65535 {
		b.wake(at.since) // a little more with every pulse
	}
}
