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
	own := partOf(s.table, w.bucket)
	s.read += own.records
	take, rest := s.choose(&own, w, from.sub)
	if take != 0 {
		if more, next := s.send(s.collect(take, from)); more {
			return true, next
		}
	}
	return rest < subs, position{bucket: w.bucket, sub: rest}
}

// choose returns which subs fit, of those that differ: at least one if there is
// nothing yet. rest is the first that does not.
func (s *serving) choose(own *part, w *wanted, from int) (take uint64, rest int) {
	size := len(s.buf)
	for sub := from; sub < subs; sub++ {
		if own.sizes[sub] == 0 || own.prints[sub] == w.prints[sub] {
			continue
		}
		if size += own.sizes[sub]; size > maxChunk && (take != 0 || s.records > 0) {
			return take, sub
		}
		take |= 1 << sub
	}
	return take, subs
}

// collected is a record that is to be sent.
type collected struct {
	position
	bytes []byte
}

// collect returns the records of some subs from a position on, in order.
func (s *serving) collect(take uint64, from position) (all []collected) {
	var arena []byte
	s.table.Scan(from.bucket, func(r Record) bool {
		at := position{bucket: from.bucket, sub: subOf(&r.Key), key: r.Key}
		if take>>at.sub&1 == 0 || at.before(from) {
			return true
		}
		if len(r.Value) > maxValue {
			s.tooLarge++
			return true
		}
		start := len(arena)
		arena = appendRecords(arena, r)
		all = append(all, collected{at, arena[start:len(arena):len(arena)]})
		return true
	})
	slices.SortFunc(all, func(a, b collected) int { return a.compare(b.position) })
	return all
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
