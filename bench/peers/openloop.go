package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A pace is questions that fall due at a rate, whatever the server does, with
// exponential times between them, as those of many agents have.
type pace struct {
	rate  float64 // a second
	lasts time.Duration
	seed  uint64 // one seed makes the same times for every server
}

// times are how long the answers of a slice took, from when their questions were due,
// and how late those were sent; both in the order of size once they are sorted.
type times struct {
	latency, late []time.Duration
}

// at returns a percentile, in microseconds: so many percent took no longer.
func at(sorted []time.Duration, percent float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(percent / 100 * float64(len(sorted)))
	return float64(sorted[min(i, len(sorted)-1)]) / float64(time.Microsecond)
}

// open asks at a pace, in an open loop: whoever falls due while all connections wait
// for an answer takes the next one that is free, and that wait is in its latency. It
// does not sleep, which would make it late: it needs a processor of its own.
func (a *asker) open(p pace) (*times, error) {
	random := rand.New(rand.NewPCG(p.seed, p.seed))
	gap := func() time.Duration { return time.Duration(random.ExpFloat64() / p.rate * float64(time.Second)) }
	expected := int(p.rate*p.lasts.Seconds()*1.2) + 16
	t := &times{latency: make([]time.Duration, 0, expected), late: make([]time.Duration, 0, expected)}
	free, due := make([]int, 0, len(a.conns)), make([]time.Duration, len(a.conns))
	for i := range a.conns {
		free = append(free, i)
	}
	start := time.Now()
	for next := gap(); next < p.lasts || len(free) < len(a.conns); {
		now := time.Since(start)
		if now > p.lasts+patience {
			return nil, fmt.Errorf("%.0f questions a second are not answered: %d of those in %v are %v late", p.rate, len(t.latency), p.lasts, patience)
		}
		for ; next < p.lasts && next <= now && len(free) > 0; next += gap() {
			i := free[len(free)-1]
			free, due[i] = free[:len(free)-1], next
			t.late = append(t.late, time.Since(start)-next)
			if err := a.send(&a.conns[i]); err != nil {
				return nil, err
			}
		}
		answered, err := a.poll()
		if err != nil {
			return nil, err
		}
		for _, i := range answered {
			t.latency = append(t.latency, time.Since(start)-due[i])
			free = append(free, i)
		}
	}
	slices.Sort(t.latency)
	slices.Sort(t.late)
	return t, nil
}

// poll returns the connections whose answers are here, without waiting for any. They
// are good until it is called again.
func (a *asker) poll() ([]int, error) {
	n, err := unix.EpollWait(a.epoll, a.events, 0)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return nil, err
	}
	a.ready = a.ready[:0]
	for _, event := range a.events[:max(n, 0)] {
		whole, err := a.receive(&a.conns[event.Fd])
		if err != nil {
			return nil, err
		}
		if whole {
			a.ready = append(a.ready, int(event.Fd))
		}
	}
	return a.ready, nil
}
