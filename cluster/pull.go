package cluster

import (
	"context"
	"time"
)

// Bounds of a pull.
const (
	maxGroup    = 128 // buckets in a question
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
	var ours Digest
	r.table.Digest(&ours)
	differ, _ := seen.theirs.differing(&ours)
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
	var ours Digest
	if pulled {
		r.table.Digest(&ours)
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
// and applies each before it asks on.
func (r *repair) pull(ctx context.Context, peer string, group []int) error {
	entries := make([][]byte, len(group))
	for i, b := range group {
		p := printsOf(r.table, b)
		entries[i] = appendWanted(nil, b, &p)
	}
	at := position{bucket: group[0]}
	for {
		answer, err := r.askPull(ctx, peer, at, entries)
		if err != nil {
			return err
		}
		c, err := readDelivery(answer)
		if err != nil {
			return err
		}
		if len(c.records) > 0 {
			if err := r.table.Merge(peer, c.records); err != nil {
				return err
			}
			r.counts.pulledRecords.Add(uint64(len(c.records)))
			r.counts.pulledBytes.Add(uint64(len(answer)))
		}
		if !c.more {
			return nil
		}
		if !at.before(c.next) {
			return errMalformed // it would go on for ever
		}
		for len(group) > 0 && group[0] < c.next.bucket {
			group, entries = group[1:], entries[1:]
		}
		if at = c.next; len(group) == 0 || group[0] != at.bucket {
			return errMalformed
		}
	}
}

func (r *repair) askPull(ctx context.Context, peer string, at position, entries [][]byte) ([]byte, error) {
	body := appendPosition(nil, at)
	for _, e := range entries {
		body = append(body, e...)
	}
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	return r.ask(ctx, peer, askPull, body)
}
