package cluster

import (
	"context"
	"slices"
	"time"
)

// Bounds of a pull.
const (
	maxGroup    = 128      // buckets in a question
	maxAsked    = 64 << 10 // bytes of their fingerprints, and those of one more
	pullTimeout = 15 * time.Second
)

// A try is what came of pulling a bucket.
type try struct {
	at           time.Time
	ours, theirs uint64 // fingerprints, after it
	fails        int    // in a row, without being equal after it
	told         bool
}

// mayLocked reports whether to pull a bucket again. One that changes all the time is
// pulled every few seconds, or it would be pulled over and over; one that stays as it
// is (because the table refuses a record, say) once a minute.
func (t *try) may(ours, theirs uint64) bool {
	wait := again << min(t.fails, 6)
	if t.ours != ours || t.theirs != theirs {
		wait = min(wait, 4*again)
	}
	return t.fails == 0 || time.Since(t.at) >= wait
}

// tried notes that a bucket was pulled to its end, and reports whether that has been
// in vain for a while, if nobody was told.
func (t *try) tried(ours, theirs uint64) (vain bool) {
	same := t.ours == ours && t.theirs == theirs
	if same || time.Since(t.at) < 3*exchangeEvery {
		t.fails++
	} else {
		t.fails, t.told = 1, false
	}
	t.at, t.ours, t.theirs = time.Now(), ours, theirs
	vain = same && t.fails >= 3 && !t.told
	t.told = t.told || vain
	return vain
}

// pullAll pulls what is due of what differs, and reports whether that was anything.
// While this node joins that is all; then it is ready when all of it is applied.
func (r *repair) pullAll(ctx context.Context, peer string, seen *sight) (pulled bool, err error) {
	joining := !r.ready.Load() && (seen.theirs.ready || !seen.theirs.empty() && !seen.theirs.partial)
	if joining {
		r.from.Store(&peer)
	}
	var done set
	for ctx.Err() == nil && !r.out.Load() {
		group, others := r.claim(seen, &done, joining)
		if len(group) > 0 {
			err := r.pull(ctx, peer, group)
			r.release(peer, group, seen.theirs, err == nil)
			if err != nil {
				return pulled, err
			}
			for _, b := range group {
				done.add(b)
			}
			pulled = true
			continue
		}
		if !joining || !others {
			if joining || seen.all {
				r.tenure.caughtUp(r.clock)
			}
			if joining {
				r.ready.Store(true)
			}
			return pulled, nil
		}
		pause(ctx, again/20)
	}
	return pulled, ctx.Err()
}

// claim takes buckets to pull, in order. others says that there are more, which
// another session pulls.
func (r *repair) claim(seen *sight, done *set, joining bool) (group []int, others bool) {
	ours := digestOf(r.table)
	defer ours.done()
	differ, _ := seen.theirs.differing(ours)
	r.mu.Lock()
	defer r.mu.Unlock()
	left := 0
	for b := range differ.each() {
		due := joining || seen.twice.has(b) && r.tries[b].may(ours[b], seen.theirs.digest[b])
		switch {
		case done.has(b) || !due || seen.theirs.digest[b] == 0: // nothing to be had
			continue
		case r.claimed.has(b):
			others = true
		case len(group) < maxGroup:
			r.claimed.add(b)
			group = append(group, b)
		}
		left++
	}
	if joining {
		r.left.Store(int64(left))
	}
	return group, others
}

// release gives buckets back.
func (r *repair) release(peer string, group []int, theirs *summary, pulled bool) {
	var ours *Digest
	if pulled {
		ours = digestOf(r.table)
		defer ours.done()
	}
	vain := 0
	r.mu.Lock()
	for _, b := range group {
		r.claimed.drop(b)
		if pulled && ours[b] != theirs.digest[b] && r.tries[b].tried(ours[b], theirs.digest[b]) {
			vain++
		}
	}
	r.mu.Unlock()
	if vain > 0 {
		r.counts.vain.Add(uint64(vain))
		r.log.Warn("parts of the table stay different from a peer's, though all was pulled: one of the two refuses records of the other, from too far in the future perhaps",
			"peer", peer, "parts", vain, "of", Buckets)
	}
}

// pull asks a peer for the records of a group of buckets that differ, chunk by chunk,
// and applies them. While it applies one it waits for the next: that hides the way
// there and back, and the work of the peer.
func (r *repair) pull(ctx context.Context, peer string, group []int) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks := make(chan delivery)
	var fetched error
	go func() {
		defer close(chunks)
		fetched = r.fetch(ctx, peer, group, chunks)
	}()
	for c := range chunks {
		if err == nil && len(c.records) > 0 {
			err = r.take(peer, &c)
		}
		if err != nil {
			cancel()
		}
	}
	if err == nil {
		err = fetched
	}
	return err
}

func (r *repair) take(peer string, c *delivery) error {
	if err := r.table.Merge(peer, c.records); err != nil {
		return err
	}
	r.counts.pulledRecords.Add(uint64(len(c.records)))
	r.counts.pulledBytes.Add(uint64(c.size))
	return nil
}

// fetch asks for a group until there is no more of it.
func (r *repair) fetch(ctx context.Context, peer string, group []int, to chan<- delivery) error {
	var entries [][]byte // of the first buckets of the group
	at := position{bucket: group[0]}
	for {
		asked, body := 0, appendPosition(nil, at)
		for ; asked < len(group) && len(body) < maxAsked; asked++ {
			if b := group[asked]; asked == len(entries) {
				entries = append(entries, appendWanted(nil, b, printsOf(r.table, b)))
			}
			body = append(body, entries[asked]...)
		}
		c, err := r.askPull(ctx, peer, body)
		if err != nil {
			return err
		}
		select {
		case to <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
		done := asked
		switch {
		case c.more:
			if done = slices.Index(group[:asked], c.next.bucket); done < 0 || !at.before(c.next) {
				return errMalformed // it would go on for ever
			}
			at = c.next
		case asked == len(group):
			return nil
		default:
			at = position{bucket: group[asked]}
		}
		group, entries = group[done:], entries[done:]
	}
}

func (r *repair) askPull(ctx context.Context, peer string, body []byte) (delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	answer, err := r.ask(ctx, peer, askPull, body)
	if err != nil {
		return delivery{}, err
	}
	return readDelivery(answer)
}
