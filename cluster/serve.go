package cluster

import (
	"runtime"
	"slices"
	"time"
)

// Bounds of what a donor does for one question.
const (
	maxServed = 2       // pulls at a time
	maxRead   = 1 << 16 // records looked at: where little differs, that is little to send
	maxRest   = 20 * time.Millisecond
)

// servePull answers askPull with what this node has and the asker has not. It rests
// as long as it works, and lets others run between two buckets: what comes in
// otherwise is more urgent.
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
	began := time.Now()
	s := serving{table: r.table, buf: make([]byte, deliveryHead, 64<<10)}
	more, next := s.serve(from, all)
	putDeliveryHead(s.buf, more, next)
	r.counts.servedRecords.Add(uint64(s.records))
	r.counts.servedBytes.Add(uint64(len(s.buf)))
	if s.tooLarge > 0 && r.counts.tooLarge.Add(uint64(s.tooLarge)) == uint64(s.tooLarge) {
		r.log.Error("records are too large to be sent to peers", "bytes", maxValue)
	}
	pause(r.life, min(time.Since(began), maxRest))
	return s.buf, nil
}

// serving makes a chunk.
type serving struct {
	table    Table
	buf      []byte
	records  int
	read     int
	tooLarge int
	arena    []byte      // of a bucket, again and again
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
		runtime.Gosched()
	}
	return false, position{}
}

func (s *serving) bucket(from position, w *wanted) (more bool, next position) {
	own := partOf(s.table, w.bucket, w.prints != prints{})
	s.read += own.records
	take, size, rest := s.choose(&own, w, from.sub)
	if take != 0 {
		if more, next := s.send(s.collect(take, size, from)); more {
			return true, next
		}
	}
	return rest < subs, position{bucket: w.bucket, sub: rest}
}

// choose returns which subs fit, of those that differ, and their size: at least one
// if there is nothing yet. rest is the first that does not.
func (s *serving) choose(own *part, w *wanted, from int) (take uint64, size, rest int) {
	for sub := from; sub < subs; sub++ {
		if own.sizes[sub] == 0 || own.prints[sub] == w.prints[sub] && w.prints[sub] != 0 {
			continue
		}
		if len(s.buf)+size+own.sizes[sub] > maxChunk && (take != 0 || s.records > 0) {
			return take, size, sub
		}
		take |= 1 << sub
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
func (s *serving) collect(take uint64, size int, from position) []collected {
	s.arena, s.all = slices.Grow(s.arena[:0], size), s.all[:0]
	s.table.Scan(from.bucket, func(r Record) bool {
		at := position{bucket: from.bucket, sub: subOf(&r.Key), key: r.Key}
		if take>>at.sub&1 == 0 || at.before(from) {
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
