package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What holds in a search, where [Config.Limits] does not say.
const (
	DefaultP99    = 5 * time.Millisecond
	DefaultErrors = 0.001
	DefaultRate   = 0.98
)

// A Search looks for the highest rate that holds: it doubles the rate until one
// does not, and halves what is between from there.
type Search struct {
	// From and To bound it, in requests a second; 0 means 1,000 and [MaxRate].
	From, To float64

	// Duration is that of each step; 0 means 5 s.
	Duration time.Duration

	// Halvings are made once a rate has failed; 0 means 4, which leaves a
	// sixteenth of the rate in doubt.
	Halvings int
}

const maxHalvings = 10

func (s *Search) check() error {
	if s == nil {
		return nil
	}
	s.Duration = orDefault(s.Duration, 5*time.Second)
	s.Halvings = orDefault(s.Halvings, 4)
	if s.From == 0 {
		s.From = 1000
	}
	if s.To == 0 {
		s.To = MaxRate
	}
	switch {
	case !(s.From > 0 && s.From <= s.To && s.To <= MaxRate):
		return fmt.Errorf("bench: Search must be from more than 0 to at most %d requests a second", MaxRate)
	case s.Duration < 0 || s.Duration > MaxDuration:
		return fmt.Errorf("bench: Duration of a Search must be from 0 to %v", MaxDuration)
	case s.Halvings < 0 || s.Halvings > maxHalvings:
		return fmt.Errorf("bench: Halvings must be from 0 to %d", maxHalvings)
	}
	return nil
}

// limits are those of a search.
func (c *Config) searchLimits() Limits {
	l := Limits{P99: c.Limits.P99, Errors: c.Limits.Errors, Rate: c.Limits.Rate}
	if l.P99 == 0 {
		l.P99 = Millis(DefaultP99)
	}
	if l.Errors == nil {
		few := DefaultErrors
		l.Errors = &few
	}
	if l.Rate == 0 {
		l.Rate = DefaultRate
	}
	return l
}

// search finds the capacity.
func (r *run) search(ctx context.Context) error {
	s, limits := r.cfg.Search, r.cfg.searchLimits()
	found := &Capacity{}
	r.result.Capacity = found
	try := func(rate float64) bool {
		step := r.measure(ctx, order{purpose: "search", rate: rate, lasts: s.Duration})
		for _, v := range step.judge(len(r.result.Steps)-1, limits) {
			if !v.Holds {
				found.FailedAt, found.Why = rate, v.String()
				pause(ctx, min(settle, s.Duration))
				return false
			}
		}
		found.RequestsPerSecond = rate
		return true
	}
	rate := s.From
	for ctx.Err() == nil && try(rate) && rate < s.To {
		rate = min(rate*2, s.To)
	}
	for range s.Halvings {
		if ctx.Err() != nil || found.FailedAt == 0 {
			break
		}
		try((found.RequestsPerSecond + found.FailedAt) / 2)
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("bench: the search was ended: %w", context.Cause(ctx))
	case found.RequestsPerSecond == 0:
		return errors.New("bench: no rate held: at " + fmt.Sprintf("%.0f", found.FailedAt) + " requests a second, " + found.Why)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
