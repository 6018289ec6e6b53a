package store

import (
	"bytes"
	"cmp"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// Events, and the days of protection, are dropped when they are old. All gateways must
// drop the same, or their tables would never be equal: so how far they have been dropped
// is a record itself, a floor. Its id is zero; its value is the clock of a version, or a
// day. Of two floors the greater holds, whatever their versions.
//
// What lies below a floor and comes later is not taken. What is there goes in steps, so
// that writers never wait for long; until then who reads is not told of it.
//
// Days below the floor are taken out of a protection, and it goes when its version is
// below, too, which none of its days is after. So it does not matter in which order
// floors and protections come. Of events there is one case in which it does: a floor
// between two of one id. Then tables differ until the floor has passed the later, or
// until they are compared.
type floors struct {
	clock uint64 // events whose version has a lower one are below
	day   Day

	sunk    int         // buckets in which no day is below
	sinking atomic.Bool // something may be below

	droppedEvents, emptied int // since the table was opened: events, and protections that had days

}

func (f *floors) clear() {
	f.clock, f.day, f.sunk = 0, 0, Buckets
	f.sinking.Store(false)
}

// isFloor reports whether the record of a key is a floor.
func (k Key) isFloor() bool {
	return (k.Kind == KindEvent || k.Kind == KindProtection) && k.ID == [16]byte{}
}

func encodeFloor(floor uint64) []byte {
	e := newEncoder()
	e.uint(floor)
	return e
}

func decodeFloor(value []byte) (uint64, error) {
	d := newDecoder(value)
	floor := d.uint()
	return floor, d.err
}

// floor returns the floor of a kind as this change finds it, which another that is made
// together with it may have raised.
func (tx *Tx) floor(kind Kind) uint64 {
	floor, _ := decodeFloor(tx.current(kind, [16]byte{}).Value) // 0 if there is none
	return floor
}

// checkFloor fails if a floor is above its own record: none is in the future.
func (r *Record) checkFloor() error {
	floor, err := decodeFloor(r.Value)
	most := r.Version.Clock
	if r.Key.Kind == KindProtection {
		most = uint64(r.Version.day())
	}
	if err == nil && floor > most {
		return errAhead
	}
	return err
}

func mergeFloor(have, got Record) (Record, bool) {
	h, _ := decodeFloor(have.Value) // 0 if there is none
	g, err := decodeFloor(got.Value)
	return got, err == nil && cmp.Or(cmp.Compare(g, h), compareRecords(got, have)) > 0
}

// raise takes note of a floor. It needs the table's lock.
func (f *floors) raise(r *Record) {
	floor, err := decodeFloor(r.Value)
	switch {
	case err != nil:
		return
	case r.Key.Kind == KindEvent && floor > f.clock:
		f.clock = floor
	case r.Key.Kind == KindProtection && Day(floor) > f.day:
		f.day, f.sunk = Day(floor), 0
	default:
		return
	}
	f.sinking.Store(true)
}

// lift takes out of a record what is below a floor, and reports whether something is
// left. It needs the table's read lock, or the writers'.
func (f *floors) lift(r *Record) bool {
	switch {
	case r.Key.isFloor():
		return true
	case r.Key.Kind == KindEvent:
		return r.Version.Clock >= f.clock
	case r.Key.Kind != KindProtection || f.day == 0:
		return true
	case r.Version.day() < f.day:
		return false
	}
	p, err := decodeProtection(r.Value)
	if err == nil && p.Days.cut(f.day) {
		r.Value = p.encode()
	}
	return err == nil
}

// sinkAll drops all that is below, a piece at a time.
func (t *Table) sinkAll() {
	for t.floors.sinking.Load() {
		t.sinkPiece()
	}
}

func (t *Table) sinkPiece() {
	t.turn <- struct{}{} // what a group has staged was made of what stands in the table
	defer func() { <-t.turn }()
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sink()
}

// sinkRecords is how many records are looked at before writers go on.
const sinkRecords = 2048

// sink drops some of what is below the floors. It needs the writers' lock and the table's.
func (t *Table) sink() {
	f := &t.floors
	if !f.sinking.Load() {
		return
	}
	all := t.timeline.cut(f.clock, sinkRecords, func(at ref) {
		b := &t.buckets[bucketOf(at.hash)]
		if r, ok := b.bulk.event(at.hash, at.clock); ok {
			t.dropBulk(b, at.hash, &r)
			b.bulk.tidy()
			f.droppedEvents++
		}
	})
	for seen := 0; seen < sinkRecords && f.sunk < Buckets; f.sunk++ {
		b := &t.buckets[f.sunk]
		seen += b.bulk.live
		f.emptied += t.sinkDays(b)
	}
	f.sinking.Store(!all || f.sunk < Buckets)
}

// dropped returns how many events, and how many protections that had days, were dropped
// since the table was opened.
func (t *Table) dropped() (events, protections int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.floors.droppedEvents, t.floors.emptied
}

// sinkDays takes days below the floor out of the protections in a bucket.
func (t *Table) sinkDays(b *bucket) (emptied int) {
	var changed []Record
	b.bulk.each(func(have Record) bool {
		if have.Key.Kind != KindProtection {
			return true
		}
		r := have
		stays := t.floors.lift(&r)
		if hasDays(&have) && !(stays && hasDays(&r)) {
			emptied++
		}
		switch {
		case !stays:
			t.dropBulk(b, xxhash.Sum64(have.Key.ID[:]), &have)
		case !bytes.Equal(r.Value, have.Value):
			changed = append(changed, r)
		}
		return true
	})
	for i := range changed {
		t.setRow(&changed[i])
	}
	b.bulk.tidy()
	return emptied
}
