package store

import (
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Forget drops tombstones whose time is before floor, in milliseconds since 1970,
// and returns how many there were. They are in no digest any more, and from then
// on one that old is not taken if there is nothing that it would delete. A floor
// below an earlier one is taken for that.
//
// It is for when every gateway has them: whoever has not, and still has what they
// deleted, must not be heard any more. What is forgotten is not journalled. A
// restart brings back what is in the log behind the last snapshot, until Forget is
// called again. Of a VM a slot stays, 32 bytes, until its part of the table grows
// or the next start; of a tenant or an SVM its index, which counts for the bounds
// of the package comment; of a tenant also that it is not active, so that one made
// again with its id starts inactive.
//
// It costs little if there is nothing to forget, and otherwise a look at the
// buckets that have old tombstones. Writers wait for one bucket at a time.
func (t *Table) Forget(floor int64) (n int) {
	t.turn <- struct{}{}
	t.writing.Lock()
	t.floor = max(t.floor, floor)
	floor = t.floor
	t.writing.Unlock()
	<-t.turn
	for _, i := range t.oldestIn(floor) {
		n += t.forgetIn(i, floor)
	}
	return n
}

// isForgotten reports whether a record that would come in the place of have is a
// tombstone that this table has forgotten, or would have. It needs the writers'
// lock.
func (t *Table) isForgotten(have, r *Record) bool {
	return r.Deleted() && have.Version.IsZero() && r.Version.Millis() < t.floor
}

func (t *Table) forgetIn(i int, floor int64) (n int) {
	t.turn <- struct{}{} // a group may be packing its VMs beside what stands in the table
	defer func() { <-t.turn }()
	t.writing.Lock()
	defer t.writing.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	b := &t.buckets[i]
	b.oldest = 0 // found anew among those that stay
	b.keys = slices.DeleteFunc(b.keys, func(key Key) bool {
		r := t.rows[key]
		m := markOf(xxhash.Sum64(key.ID[:]), &r)
		if m.died == 0 || r.Version.Millis() >= floor {
			b.note(m.died)
			return false
		}
		b.remove(m)
		delete(t.rows, key)
		if key.Kind == KindToken {
			delete(t.tokenRows, key.ID)
		}
		n++
		return true
	})
	n += t.forgetBulk(b, floor)
	for _, key := range t.vms.appendBucket(nil, i) {
		n += t.forgetVM(b, key.ID, floor)
	}
	return n
}

// forgetBulk drops the old tombstones of bulk kinds.
func (t *Table) forgetBulk(b *bucket, floor int64) (n int) {
	b.bulk.each(func(r Record) bool {
		switch {
		case !r.Deleted():
		case r.Version.Millis() >= floor:
			b.note(1 + r.Version.Millis())
		default:
			t.dropBulk(b, xxhash.Sum64(r.Key.ID[:]), &r)
			n++
		}
		return true
	})
	b.bulk.tidy()
	return n
}

// forgetVM drops the old tombstones of a VM, and its entry with the last record.
func (t *Table) forgetVM(b *bucket, id BIOSID, floor int64) (n int) {
	slot, _ := t.vms.find(&id)
	e := t.entryIn(&t.packing.mem, id)
	for _, r := range []*Record{&e.registration, &e.placement} {
		if r.Version.IsZero() || !r.Deleted() {
			continue
		}
		if r.Version.Millis() >= floor {
			b.note(1 + r.Version.Millis())
			continue
		}
		*r = Record{Key: r.Key}
		n++
	}
	switch {
	case n == 0:
	case e.registration.Version.IsZero() && e.placement.Version.IsZero():
		t.recount(&id, t.vms.packed(slot), nil)
		t.vms.forget(slot)
	default:
		body := t.symbols.pack(&e)
		t.recount(&id, t.vms.packed(slot), body)
		t.vms.setPacked(slot, body)
	}
	return n
}
