package ksc

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// A center is one KSC, with the links to its main server that nobody uses just now.
type center struct {
	url     string
	cfg     *Config
	account Account // ours
	tls     *tls.Config
	log     *slog.Logger

	room  chan struct{} // holds one for each Make and Remove that is under way here
	looks chan struct{} // likewise for Describe and Capacity, which wait for neither

	mu   sync.Mutex
	idle []*link
	over bool // Close was called
}

// maxLooks bounds the looks at one KSC that are under way.
const maxLooks = 2

// enter waits until there is room for one more, who must take one out when he leaves.
func enter(ctx context.Context, room chan struct{}) error {
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// borrow returns a link to the main server; back must follow.
func (c *center) borrow() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.idle); n > 0 {
		l := c.idle[n-1]
		c.idle = c.idle[:n-1]
		return l
	}
	return newLink(c, "")
}

// back keeps a link for the next who needs one, or closes it: there are enough, or Close
// was called.
func (c *center) back(l *link) {
	c.mu.Lock()
	keep := !c.over && len(c.idle) < c.cfg.Connections
	if keep {
		c.idle = append(c.idle, l)
	}
	c.mu.Unlock()
	if !keep {
		l.close()
	}
}

// shut closes the links that nobody uses.
func (c *center) shut() {
	c.mu.Lock()
	idle := c.idle
	c.idle, c.over = nil, true
	c.mu.Unlock()
	for _, l := range idle {
		l.close()
	}
}

// list returns the virtual servers.
func (c *center) list(ctx context.Context) ([]vserver, error) {
	if err := enter(ctx, c.looks); err != nil {
		return nil, err
	}
	defer func() { <-c.looks }()
	l := c.borrow()
	defer c.back(l)
	return again(ctx, c, l.vservers)
}

// maxPause bounds the wait between two attempts.
const maxPause = 5 * time.Second

// again calls fn, which is safe to repeat, until it succeeds, or fails in a way that does
// not pass, or has failed [Config].Attempts times.
func again[T any](ctx context.Context, c *center, fn func(context.Context) (T, error)) (T, error) {
	for try := 1; ; try++ {
		result, err := fn(ctx)
		if err == nil || !passing(err) || ctx.Err() != nil || try >= c.cfg.Attempts {
			return result, err
		}
		if err := c.pause(ctx, try, err); err != nil {
			return result, err
		}
	}
}

// pause waits after attempt number try.
func (c *center) pause(ctx context.Context, try int, why error) error {
	c.log.Debug("ksc: trying again", "ksc", c.url, "attempt", try, "error", why)
	d := min(c.cfg.Pause<<min(try-1, 16), maxPause)
	return wait(ctx, d/2+rand.N(d+1))
}
