package protection

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/svmgate/svmgate/store"
)

const (
	// batch is how many proven days are written as one change.
	batch = 256
	// gather is how long the first of them waits for others, unless there are enough.
	gather = 200 * time.Millisecond
	// tidyEvery is how often statements that prove nothing any more are forgotten, and days
	// that are not kept. The first time, a clock that was wrong at the start has been set.
	tidyEvery = time.Hour
	// firstPause and longestPause are how long it takes until what the table refused is
	// tried again.
	firstPause, longestPause = time.Second, 30 * time.Second
)

// evidence is days that are proven of a VM.
type evidence struct {
	vm store.BIOSID
	span
}

// queue is evidence that waits to be written down.
type queue struct {
	mu      sync.Mutex
	waiting []evidence
	dropped uint64
	wake    chan struct{} // has an element if there is something, and when there is enough for a batch
}

// put reports whether there was room.
func (q *queue) put(e evidence) bool {
	q.mu.Lock()
	n := len(q.waiting)
	if n == MaxWaiting {
		q.dropped++
		q.mu.Unlock()
		return false
	}
	q.waiting = append(q.waiting, e)
	q.mu.Unlock()
	if n == 0 || n == batch-1 {
		q.nudge()
	}
	return true
}

func (q *queue) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns all that waits; spare is memory for what comes next.
func (q *queue) take(spare []evidence) []evidence {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.waiting
	q.waiting = spare[:0]
	return all
}

func (q *queue) stats() (waiting int, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting), q.dropped
}

// Run writes down what is proven, and forgets what is too old, until ctx ends; then it
// writes what waits, once.
func (b *Book) Run(ctx context.Context) {
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	var spare []evidence
	var forgotten store.Day // those before it
	for {
		select {
		case <-ctx.Done():
			b.writeAll(ctx, b.queue.take(spare))
			return
		case <-b.queue.wake:
			b.gather(ctx)
			spare = b.queue.take(spare)
			b.writeAll(ctx, spare)
		case <-tidy.C:
			b.tidy()
			forgotten = b.forget(forgotten)
		}
	}
}

// gather waits until there is enough for a batch, or for [gather].
func (b *Book) gather(ctx context.Context) {
	timer := time.NewTimer(gather)
	defer timer.Stop()
	for {
		if n, _ := b.queue.stats(); n >= batch {
			return
		}
		select {
		case <-b.queue.wake:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// writeAll writes evidence down, batch by batch. What the table refuses is tried again
// until it takes it, or ctx has ended.
func (b *Book) writeAll(ctx context.Context, all []evidence) {
	for len(all) > 0 {
		n := min(batch, len(all))
		b.persist(ctx, all[:n])
		all = all[n:]
	}
}

func (b *Book) persist(ctx context.Context, list []evidence) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := b.write(list)
		if err == nil || errors.Is(err, store.ErrClosed) {
			if err == nil && pause > firstPause {
				b.cfg.Log.Info("days of protection are written down again")
			}
			return
		}
		b.counts.failures.Add(1)
		if pause == firstPause {
			b.cfg.Log.Warn("the table does not take on which days VMs were protected; it is tried again", "reason", err.Error())
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// write makes one change of a list of evidence.
func (b *Book) write(list []evidence) error {
	var changed uint64
	var unwritten []store.BIOSID
	err := b.cfg.Table.Update(func(tx *store.Tx) error {
		today := store.DayOf(tx.Now())
		for _, e := range list {
			news, err := tx.Protect(e.vm, e.first, e.last)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if news {
				changed++
			}
			if err != nil || e.last > today { // the VM is gone, or a clock was set back
				unwritten = append(unwritten, e.vm)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.counts.days.Add(changed)
	b.counts.unwritten.Add(uint64(len(unwritten)))
	for _, vm := range unwritten {
		b.unwritten(vm)
	}
	return nil
}

// forget drops, on every gateway, what has no day that is kept, unless that was done
// already, and returns the first day that is kept.
func (b *Book) forget(done store.Day) store.Day {
	first := b.kept(b.cfg.Clock()).first
	if first <= done {
		return done
	}
	n, err := b.cfg.Table.ForgetProtection(first)
	if err != nil {
		b.cfg.Log.Warn("old days of protection can not be forgotten; it is tried again", "reason", err.Error())
		return done
	}
	if n > 0 {
		b.cfg.Log.Info("old days of protection are forgotten", "before", first.String(), "vms", n)
	}
	return first
}
