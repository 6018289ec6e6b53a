package sink

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/svmgate/svmgate/store"
)

const (
	tryTimeout   = 30 * time.Second // of one try
	drainTimeout = 2 * time.Second  // how long deliveries go on when the gateway stops
	sweepEvery   = time.Minute      // how often is looked for what the table has forgotten
	keepEvery    = time.Second

	firstPause = time.Second
	mostPause  = time.Minute
	mostLater  = time.Hour // that a target may ask for
	sayEvery   = time.Hour // that events are refused
)

// run delivers until ctx is done, and then what can be delivered at once.
func (s *sink) run(ctx context.Context) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(drainTimeout, cancel) })()
	defer s.target.Close()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for work.Err() == nil {
		s.trim()
		batch := s.batch()
		switch {
		case len(batch) > 0:
			pause := s.try(work, batch)
			if pause > 0 && !s.pause(ctx, pause, sweep.C) {
				return
			}
		case ctx.Err() != nil:
			return
		default:
			select {
			case <-s.wake:
			case <-ctx.Done():
			}
		}
	}
}

// pause waits before the next try; what comes meanwhile may push out what is oldest. It
// reports false if there is to be none.
func (s *sink) pause(ctx context.Context, pause time.Duration, sweep <-chan time.Time) bool {
	over := time.NewTimer(pause)
	defer over.Stop()
	for {
		select {
		case <-over.C:
			return true
		case <-s.wake:
			s.trim()
		case <-sweep:
			s.sweep()
		case <-ctx.Done():
			return false
		}
	}
}

// try delivers events as far as that works, and returns how long to wait before the next.
func (s *sink) try(ctx context.Context, batch []store.Event) time.Duration {
	limited, cancel := context.WithTimeout(ctx, tryTimeout)
	taken, err := s.target.Deliver(limited, batch)
	cancel()
	for i := range batch[:taken] {
		s.leave(batch[i].Version, &s.delivered)
	}
	var refused *RefusedError
	switch {
	case err == nil:
		s.works()
		return 0
	case errors.As(err, &refused) && taken < len(batch):
		s.works()
		s.refuse(&batch[taken], err)
		return 0
	case ctx.Err() != nil: // the gateway stops; nobody knows whether they were taken
		return 0
	}
	if taken > 0 {
		s.works()
	}
	return s.fails(err)
}

// refuse gives up an event that will never be taken.
func (s *sink) refuse(e *store.Event, why error) {
	s.leave(e.Version, &s.refused)
	if s.said.IsZero() || time.Since(s.said) > sayEvery {
		s.said = time.Now()
		s.log.Error("an event was refused, and is not delivered; others may be, and are counted", "event", e.ID, "type", e.Type, "reason", why.Error())
	}
}

// fails notes a failure, and returns how long to wait before the next try.
func (s *sink) fails(err error) time.Duration {
	if s.failures == 0 {
		s.since = time.Now()
		s.show(true)
		s.log.Error("events can not be delivered; they wait", "reason", err.Error())
	}
	pause := min(firstPause<<min(s.failures, 10), mostPause)
	s.failures++
	// Gateways whose sinks go down together do not come back together.
	pause = pause/2 + rand.N(pause/2)
	var later *LaterError
	if errors.As(err, &later) {
		pause += min(max(later.After, 0), mostLater)
	}
	return pause
}

// works notes that a try came through.
func (s *sink) works() {
	if s.failures > 0 {
		s.show(false)
		s.log.Info("events are delivered again", "after", time.Since(s.since).Round(time.Millisecond).String(), "waiting", s.stats().Backlog)
	}
	s.failures, s.dropping = 0, false
}

func (s *sink) show(failing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = failing
}
