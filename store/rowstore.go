package store

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// This file has where the records are that are not of a VM: most in a map, those of bulk
// kinds in the bulk of their bucket.

// row returns the record of a key. The value of one of a bulk kind is part of the table:
// it is valid until that changes. Reading needs the table's read lock, or the writers'.
func (t *Table) row(key Key) (Record, bool) {
	if !key.isBulk() {
		r, ok := t.rows[key]
		return r, ok
	}
	hash := xxhash.Sum64(key.ID[:])
	return t.buckets[bucketOf(hash)].bulk.get(hash, &key)
}

// rowCopy is row for who keeps the value.
func (t *Table) rowCopy(key Key) (Record, bool) {
	r, ok := t.row(key)
	if key.isBulk() {
		r.Value = bytes.Clone(r.Value)
	}
	return r, ok
}

// setRow puts a record in the place of what was there.
func (t *Table) setRow(r *Record) {
	hash := xxhash.Sum64(r.Key.ID[:])
	b := &t.buckets[bucketOf(hash)]
	if r.Key.isBulk() {
		t.setBulk(b, hash, r)
		return
	}
	if have, ok := t.rows[r.Key]; ok {
		b.remove(markOf(hash, &have))
	} else {
		b.keys = append(b.keys, r.Key)
	}
	b.add(markOf(hash, r))
	t.rows[r.Key] = *r
}

func (t *Table) setBulk(b *bucket, hash uint64, r *Record) {
	slot, ok := b.bulk.find(hash, &r.Key)
	if ok {
		have := b.bulk.at(slot)
		b.remove(markOf(hash, &have))
		t.bulkStats.add(&have, -1)
	}
	b.add(markOf(hash, r))
	t.bulkStats.add(r, +1)
	if r.Key.Kind == KindEvent {
		t.timeline.add(ref{r.Version.Clock, hash})
	}
	b.bulk.put(hash, r, slot, ok)
	t.bulkStats.largest = max(t.bulkStats.largest, len(b.bulk.data))
}

// dropBulk drops a record of a bulk kind, which is there.
func (t *Table) dropBulk(b *bucket, hash uint64, r *Record) {
	b.remove(markOf(hash, r))
	t.bulkStats.add(r, -1)
	b.bulk.drop(hash, &r.Key)
}

// eachRow calls fn with every record until it returns false. Values are as of row.
func (t *Table) eachRow(fn func(Record) bool) (all bool) {
	for _, r := range t.rows {
		if !fn(r) {
			return false
		}
	}
	for i := range t.buckets {
		if !t.buckets[i].bulk.each(fn) {
			return false
		}
	}
	return true
}
