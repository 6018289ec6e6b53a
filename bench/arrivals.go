package bench

import (
	"math/rand/v2"
	"sync"
	"time"
)

// arrivals are the times at which requests fall due, from the start of a step.
// Whoever is free takes the next one, before or after it is due: so a request is
// late only if everybody is busy, and there is neither a scheduler that could be
// late nor a queue. What nobody took yet is the backlog.
type arrivals struct {
	gap    float64 // mean, in nanoseconds
	until  time.Duration
	count  int
	random *rand.Rand // nil for equal gaps

	mu   sync.Mutex
	n    int
	at   float64 // of the next, in nanoseconds
	last time.Duration
}

// newArrivals are those of a rate. until and count end them, where not zero; one
// of the two is not.
func newArrivals(rate float64, until time.Duration, count int, random *rand.Rand) *arrivals {
	a := &arrivals{gap: float64(time.Second) / rate, until: until, count: count, random: random}
	if random != nil {
		a.at = a.gap * random.ExpFloat64()
	}
	return a
}

// next takes the next arrival; false if there is no more.
func (a *arrivals) next() (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	due := time.Duration(a.at)
	if a.count > 0 && a.n >= a.count || a.until > 0 && due >= a.until {
		return 0, false
	}
	a.n++
	if a.last = due; a.random != nil {
		a.at += a.gap * a.random.ExpFloat64()
	} else {
		a.at = a.gap * float64(a.n) // not a sum: that drifts
	}
	return due, true
}
