package cluster

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of what a donor does for one question.
const (
	maxServed = 2               // pulls at a time
	maxRead   = 1 << 16         // records looked at: where little differs, that is little to send
	maxArena  = 1 << 20         // bytes of a bucket's records that are kept, not to scan it twice
	maxTaken  = 3 * time.Second // until whoever asked has something: others may have long turns

	turnAfter = 100 * time.Microsecond // of work, others have a turn
	restAfter = time.Millisecond       // of work comes as much rest, or a bit more: pauses are a millisecond or longer
	maxRest   = 20 * time.Millisecond
	turnEvery = 16 // records take much less than turnAfter, and much more than to look at the clock
)

// servePull answers askPull with what this node has and the asker has not. What comes
// in otherwise is more urgent, and not even looked for by a processor that always has
// work: so every now and then, in the middle of a bucket too, that has a turn, and
// after some turns servePull rests as long as it has worked.
func (r *repair) servePull(peer string, body []byte) ([]byte, error) {
	if r.shuns(peer) {
		return nil, errRefused
	}
	from, all, err := readPull(body)
	if err != nil {
		return nil, err
	}
	select {
	case r.serving <- struct{}{}:
		defer func() { <-r.serving }()
	default:
		return nil, ErrBusy
	}
	s := servings.Get().(*serving)
	defer s.free()
	s.table, s.life, s.turns = r.table, r.life, r.turns
	s.asked = time.Now()
	s.began, s.turned = s.asked, s.asked
	s.buf = append(buffer(maxChunk+deliveryHead), make([]byte, deliveryHead)...)
	more, next := s.serve(from, all)
	s.rest()
	putDeliveryHead(s.buf, more, next)
	r.counts.servedRecords.Add(uint64(s.records))
	r.counts.servedBytes.Add(uint64(len(s.buf)))
	if s.tooLarge > 0 && r.counts.tooLarge.Add(uint64(s.tooLarge)) == uint64(s.tooLarge) {
		r.log.Error("records are too large to be sent to peers", "bytes", maxValue)
	}
	return s.buf, nil
}

// serving makes a chunk.
type serving struct {
	table    Table
	turns    *turnstile
	life     context.Context
	asked    time.Time
	began    time.Time // to work, after it rested
	turned   time.Time // to work, after others had a turn
	buf      []byte
	record   Record // that is looked at
	records  int
	read     int
	tooLarge int
	own      part        // of a bucket, again and again
	arena    []byte      // the records of that bucket, as they are sent, if there is room
	all      []collected // likewise
}

// servings are used again: garbage has to be collected while others wait.
var servings = sync.Pool{New: func() any { return new(serving) }}

func (s *serving) free() {
	clear(s.all[:cap(s.all)])
	*s = serving{arena: s.arena[:0], all: s.all[:0]}
	if cap(s.arena) <= 2*maxArena { // else a large record was in it
		servings.Put(s)
	}
}

// serve appends what differs, and returns where it broke off, if it did.
func (s *serving) serve(from position, all []wanted) (more bool, next position) {
	for i := range all {
		w := &all[i]
		if w.bucket != from.bucket {
			from = position{bucket: w.bucket}
		}
		if s.read > maxRead || i > 0 && time.Since(s.asked) > maxTaken {
			return true, from
		}
		if more, next := s.bucket(from, w); more {
			return true, next
		}
		s.rest()
	}
	return false, position{}
}

// rest lets others have a turn, or pauses, if there was enough work.
func (s *serving) rest() {
	now := time.Now()
	if worked := now.Sub(s.began); worked >= restAfter {
		pause(s.life, min(worked, maxRest))
		s.began = time.Now()
		s.turned = s.began
	} else if now.Sub(s.turned) >= turnAfter {
		s.turns.pass()
		s.turned = time.Now()
		s.began = s.began.Add(s.turned.Sub(now)) // it was the others who worked
	}
}

// scan calls fn with every record of a bucket, and rests between.
func (s *serving) scan(bucket int, fn func(*Record)) {
	n := 0
	s.table.Scan(bucket, func(r Record) bool {
		s.record = r // not &r: each would be memory of its own
		fn(&s.record)
		if n%turnEvery == 0 {
			s.rest()
		}
		n++
		return true
	})
}

func (s *serving) bucket(from position, w *wanted) (more bool, next position) {
	whole := s.look(from, w)
	s.rest()
	s.read += s.own.records
	take, size, rest := s.choose(w, from.sub)
	if size > 0 {
		if !whole {
			s.collect(&take, size, from)
		}
		more, next := s.send(&take)
		s.rest()
		if more {
			return true, next
		}
	}
	return rest < subs, position{bucket: w.bucket, sub: rest}
}

// look fills in what there is of a bucket, and collects all of it from a position on:
// most buckets need not be scanned again then. It reports whether there was room.
func (s *serving) look(from position, w *wanted) (whole bool) {
	s.own = part{}
	s.arena, s.all, whole = s.arena[:0], s.all[:0], true
	s.scan(w.bucket, func(r *Record) {
		sub := s.own.add(r, w.prints != nil)
		at := position{bucket: w.bucket, sub: sub, key: r.Key}
		switch {
		case at.before(from):
		case len(r.Value) > maxValue || len(s.arena)+recordSize(r) > maxArena:
			whole = false
		default:
			s.keep(at, r)
		}
	})
	return whole
}

func (s *serving) keep(at position, r *Record) {
	start := len(s.arena)
	s.arena = appendRecords(s.arena, *r)
	s.all = append(s.all, collected{at, s.arena[start:len(s.arena):len(s.arena)]})
}

// choose returns which subs fit, of those that differ, and their size: at least one
// if there is nothing yet. rest is the first that does not.
func (s *serving) choose(w *wanted, from int) (take subset, size, rest int) {
	own := &s.own
	for sub := from; sub < subs; sub++ {
		if own.sizes[sub] == 0 || w.prints != nil && own.prints[sub] == w.prints[sub] && w.prints[sub] != 0 {
			continue
		}
		if len(s.buf)+size+own.sizes[sub] > maxChunk && (size > 0 || s.records > 0) {
			return take, size, sub
		}
		take.add(sub)
		size += own.sizes[sub]
	}
	return take, size, subs
}

// collected is a record that is to be sent.
type collected struct {
	position
	bytes []byte
}

// collect collects the records of some subs, of about that size, from a position on.
func (s *serving) collect(take *subset, size int, from position) {
	s.arena, s.all = slices.Grow(s.arena[:0], size), s.all[:0]
	s.scan(from.bucket, func(r *Record) {
		at := position{bucket: from.bucket, sub: subOf(&r.Key), key: r.Key}
		switch {
		case !take.has(at.sub) || at.before(from):
		case len(r.Value) > maxValue:
			s.tooLarge++
		default:
			s.keep(at, r)
		}
	})
}

// send appends what was collected of some subs, in order, as long as there is room:
// one record at least.
func (s *serving) send(take *subset) (more bool, next position) {
	s.all = slices.DeleteFunc(s.all, func(c collected) bool { return !take.has(c.sub) })
	slices.SortFunc(s.all, func(a, b collected) int { return a.compare(b.position) })
	for _, c := range s.all {
		if s.records > 0 && len(s.buf)+len(c.bytes) > maxChunk {
			return true, c.position
		}
		s.buf = append(s.buf, c.bytes...)
		s.records++
	}
	return false, position{}
}
