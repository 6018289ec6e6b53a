package cluster

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"time"
)

// A summary is what nodes tell each other of their tables: the question askDigest,
// its answer, and what memberlist's push/pull carries. As bytes it is a format,
// flags, the name, five times in milliseconds, and unless it is a refusal the sums,
// which groups follow, and these: 33.4 KiB at most, and 0.6 between equal tables.
type summary struct {
	name    string
	ready   bool // it may answer
	partial bool // it has not taken over everything yet
	refusal bool // it does not exchange digests with the one this is for

	started   time.Time
	wall      time.Time     // by its machine
	keep      time.Duration // of tombstones
	floor     time.Time     // older tombstones are gone; zero if it does not know yet
	exchanged time.Time     // when it last had all that a peer had; zero if never

	sums   sums
	full   uint64 // groups that buckets has, one in each bit
	digest Digest
}

const (
	readyFlag   = 1 << 0
	refusalFlag = 1 << 1
	partialFlag = 1 << 2
)

func (s *summary) append(buf []byte) []byte {
	flags, size := byte(0), 128+maxName+8*groups+8*64*bits.OnesCount64(s.full)
	if s.ready {
		flags |= readyFlag
	}
	if s.refusal {
		flags |= refusalFlag
	}
	if s.partial {
		flags |= partialFlag
	}
	buf = appendName(append(slices.Grow(buf, size), newestFormat, flags), s.name)
	for _, ms := range []int64{millis(s.started), millis(s.wall), s.keep.Milliseconds(), millis(s.floor), millis(s.exchanged)} {
		buf = binary.BigEndian.AppendUint64(buf, uint64(ms))
	}
	if s.refusal {
		return buf
	}
	for _, sum := range s.sums {
		buf = binary.BigEndian.AppendUint64(buf, sum)
	}
	buf = binary.BigEndian.AppendUint64(buf, s.full)
	for g := range eachBit(s.full) {
		for _, fingerprint := range s.digest[g*64 : g*64+64] {
			buf = binary.BigEndian.AppendUint64(buf, fingerprint)
		}
	}
	return buf
}

// readSummary reads what a peer sent: all of it, or none.
func readSummary(buf []byte) (*summary, error) {
	r := reader{rest: buf}
	if format := r.byte(); format < oldestFormat || format > newestFormat {
		return nil, errUnknown
	}
	flags := r.byte()
	s := &summary{ready: flags&readyFlag != 0, refusal: flags&refusalFlag != 0, partial: flags&partialFlag != 0}
	s.name = r.name()
	s.started, s.wall = r.time(), r.time()
	s.keep = time.Duration(r.millis()) * time.Millisecond
	s.floor, s.exchanged = r.time(), r.time()
	if s.keep <= 0 {
		r.fail()
	}
	if !s.refusal {
		for g := range s.sums {
			s.sums[g] = r.uint64()
		}
		s.full = r.uint64()
		for g := range eachBit(s.full) {
			for i := range 64 {
				s.digest[g*64+i] = r.uint64()
			}
		}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return s, nil
}

// millis reads milliseconds.
func (r *reader) millis() int64 {
	ms := r.uint64()
	if ms > maxMillis {
		r.fail()
		return 0
	}
	return int64(ms)
}

// time reads milliseconds since 1970, and 0 as no time at all.
func (r *reader) time() time.Time {
	if ms := r.millis(); ms > 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// maxMillis is in the year 2248: far from where arithmetic overflows.
const maxMillis = 1<<43 - 1

// millis is what [reader.time] reads.
func millis(t time.Time) int64 {
	return min(max(t.UnixMilli(), 0), maxMillis)
}

// differing returns the buckets that differ from ours, as far as s has them, and
// whether it has all groups that differ.
func (s *summary) differing(ours *Digest) (differ set, all bool) {
	all = true
	for g, sum := range ours.sums() {
		if sum == s.sums[g] {
			continue
		}
		if s.full>>g&1 == 0 {
			all = false
			continue
		}
		for b := g * 64; b < g*64+64; b++ {
			if s.digest[b] != ours[b] {
				differ.add(b)
			}
		}
	}
	return differ, all
}

// empty reports whether the table had nothing.
func (s *summary) empty() bool {
	return s.sums == noSums
}

// noSums are the sums of an empty table.
var noSums = new(Digest).sums()
