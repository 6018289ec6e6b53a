package cluster

import (
	"context"
	"slices"
	"time"
)

// Bounds of what a donor does for one question.
const (
	maxServed = 2       // pulls at a time
	maxRead   = 1 << 16 // records looked at: where little differs, that is little to send
	restAfter = 500 * time.Microsecond
	maxRest   = 20 * time.Millisecond
)

// servePull answers askPull with what this node has and the asker has not. Every
// now and then it rests as long as it has worked: what comes in otherwise is more
// urgent, and is not even looked for by a processor that always has work.
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
		return nil, errBusy
	}
	s := serving{table: r.table, life: r.life, began: time.Now(), buf: make([]byte, deliveryHead, 64<<10)}
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
	life     context.Context
	began    time.Time // to work, after it rested
	buf      []byte
	records  int
	read     int
	tooLarge int
	own      part        // of a bucket, again and again
	arena    []byte      // likewise
	all      []collected // likewise
}

// serve appends what differs, and returns where it broke off, if it did.
func (s *serving) serve(from position, all []wanted) (more bool, next position) {
	for i := range all {
		w := &all[i]
		if w.bucket != from.bucket {
			from = position{bucket: w.bucket}
		}
		if s.read > maxRead {
			return true, from
		}
		if more, next := s.bucket(from, w); more {
			return true, next
		}
		s.rest()
	}
	return false, position{}
}

// rest pauses if there was enough work. It is called after each look at a bucket.
func (s *serving) rest() {
	if worked := time.Since(s.began); worked >= restAfter {
		pause(s.life, min(worked, maxRest))
		s.began = time.Now()
	}
}

func (s *serving) bucket(from position, w *wanted) (more bool, next position) {
	s.own.look(s.table, w.bucket, w.prints != nil)
	s.rest()
	s.read += s.own.records
	take, size, rest := s.choose(w, from.sub)
	if size > 0 {
		if more, next := s.send(s.collect(&take, size, from)); more {
			return true, next
		}
	}
	return rest < subs, position{bucket: w.bucket, sub: rest}
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

// collect returns the records of some subs, of about that size, from a position on,
// in order.
func (s *serving) collect(take *subset, size int, from position) []collected {
	s.arena, s.all = slices.Grow(s.arena[:0], size), s.all[:0]
	s.table.Scan(from.bucket, func(r Record) bool {
		at := position{bucket: from.bucket, sub: subOf(&r.Key), key: r.Key}
		if !take.has(at.sub) || at.before(from) {
			return true
		}
		if len(r.Value) > maxValue {
			s.tooLarge++
			return true
		}
		start := len(s.arena)
		s.arena = appendRecords(s.arena, r)
		s.all = append(s.all, collected{at, s.arena[start:len(s.arena):len(s.arena)]})
		return true
	})
	slices.SortFunc(s.all, func(a, b collected) int { return a.compare(b.position) })
	return s.all
}

// send appends records as long as there is room: one at least.
func (s *serving) send(all []collected) (more bool, next position) {
	for _, c := range all {
		if s.records > 0 && len(s.buf)+len(c.bytes) > maxChunk {
			return true, c.position
		}
		s.buf = append(s.buf, c.bytes...)
		s.records++
	}
	return false, position{}
}
