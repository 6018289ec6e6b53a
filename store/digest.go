package store

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Buckets is how many parts a digest tells apart; see [Table.Digest].
const Buckets = 4096

const bucketBits = 12

// The bucket of a record is the top of a hash of its id, whatever its kind: all
// records of a thing are in one. VMs stand in the order of that hash, so a bucket
// is a 16th of a shard, and its VMs are next to each other.
func bucketOf(hash uint64) int { return int(hash >> (64 - bucketBits)) }

// Digest writes to d a fingerprint of each bucket: the sum of hashes of the
// records in it, in whatever order they came. It is 0 for a bucket without
// records, and tables with the same records have the same digest. A bucket is a
// part of all keys, by a hash of the id; see [Table.ScanBucket]. SVMs' loads are
// in no bucket. The digest is kept as records change: asking costs a copy.
func (t *Table) Digest(d *[Buckets]uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range d {
		d[i] = t.buckets[i].sum
	}
}

// A bucket is what is known of the records in it without reading them.
type bucket struct {
	sum    uint64
	oldest int64 // 1 + the time of its oldest tombstone, or of one before that; 0: it has none
	dead   int   // tombstones
	keys   []Key // of those in Table.rows
}

// A mark is what a record counts for in its bucket.
type mark struct {
	sum  uint64
	died int64 // 1 + the time of a tombstone; 0: it is none
}

func (b *bucket) add(m mark) {
	b.sum += m.sum
	if m.died != 0 {
		b.dead++
		b.note(m.died)
	}
}

// note takes note of a tombstone that is in the bucket; died is 0 if it is none.
func (b *bucket) note(died int64) {
	if died != 0 && (b.oldest == 0 || died < b.oldest) {
		b.oldest = died
	}
}

func (b *bucket) remove(m mark) {
	b.sum -= m.sum
	if m.died != 0 {
		if b.dead--; b.dead == 0 {
			b.oldest = 0
		}
	}
}

// markOf is the mark of a record that is not of a VM. The value counts: the
// version of an activation does not tell what is in it, since merging makes it
// from two; and should two writers ever use a version twice, it shows.
func markOf(r *Record) (m mark) {
	if lasts(*r) {
		m.sum = recordSum(r.Key.Kind, &r.Key.ID, r.Version, xxhash.Sum64(r.Value))
	}
	if r.Deleted() {
		m.died = 1 + r.Version.Millis()
	}
	return m
}

// markIn is the mark of one of a VM's records, which its version identifies.
func markIn(kind Kind, id *BIOSID, p *parsedRecord) (m mark) {
	switch p.form {
	case absent:
		return m
	case tombstone:
		m.died = 1 + p.version.Millis()
	}
	m.sum = recordSum(kind, (*[16]byte)(id), p.version, 0)
	return m
}

// recordSum is a hash that all gateways must agree on.
func recordSum(kind Kind, id *[16]byte, v Version, value uint64) uint64 {
	var b [1 + 16 + 3*8]byte
	b[0] = byte(kind)
	copy(b[1:], id[:])
	binary.LittleEndian.PutUint64(b[17:], v.Clock)
	binary.LittleEndian.PutUint64(b[25:], v.Node)
	binary.LittleEndian.PutUint64(b[33:], value)
	return xxhash.Sum64(b[:])
}

func (t *Table) bucketOfID(id *[16]byte) *bucket { return &t.buckets[bucketOf(xxhash.Sum64(id[:]))] }

// setRow puts a record that is not of a VM in the place of what was there.
func (t *Table) setRow(r *Record) {
	b := t.bucketOfID(&r.Key.ID)
	if have, ok := t.rows[r.Key]; ok {
		b.remove(markOf(&have))
	} else {
		b.keys = append(b.keys, r.Key)
	}
	b.add(markOf(r))
	t.rows[r.Key] = *r
}

// recount counts a VM's entry, which may be empty, in the place of another.
func (t *Table) recount(id *BIOSID, was, is []byte) {
	b := &t.buckets[bucketOf(hashBIOS(id))]
	for _, m := range t.symbols.marks(id, was) {
		b.remove(m)
	}
	for _, m := range t.symbols.marks(id, is) {
		b.add(m)
	}
}

// marks returns the marks of the records of an entry.
func (d *dictionary) marks(id *BIOSID, body []byte) (m [2]mark) {
	if len(body) == 0 {
		return m
	}
	var p parsedVM
	if err := d.parse(&p, body); err != nil {
		panic(err) // as in entryIn
	}
	return p.marks(id)
}

func (p *parsedVM) marks(id *BIOSID) [2]mark {
	return [2]mark{markIn(KindVM, id, &p.registration), markIn(KindPlacement, id, &p.placement)}
}

// tombstones counts them.
func (t *Table) tombstones() (n int) {
	for i := range t.buckets {
		n += t.buckets[i].dead
	}
	return n
}

// oldestIn returns the buckets that may have tombstones older than floor.
func (t *Table) oldestIn(floor int64) (list []int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := range t.buckets {
		if o := t.buckets[i].oldest; o != 0 && o <= floor {
			list = append(list, i)
		}
	}
	return list
}
