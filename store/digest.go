package store

import (
	"math/bits"

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
	bulk   bulk
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

// markOf is the mark of a record that is not of a VM; hash is that of its id. The value counts: the
// version of an activation does not tell what is in it, since merging makes it
// from two; and should two writers ever use a version twice, it shows.
func markOf(hash uint64, r *Record) (m mark) {
	if lasts(*r) {
		m.sum = recordSum(hash, r.Key.Kind, r.Version, xxhash.Sum64(r.Value))
	}
	if r.Deleted() {
		m.died = 1 + r.Version.Millis()
	}
	return m
}

// markIn is the mark of one of a VM's records, which its version identifies.
func markIn(hash uint64, kind Kind, p *parsedRecord) (m mark) {
	switch p.form {
	case absent:
		return m
	case tombstone:
		m.died = 1 + p.version.Millis()
	}
	m.sum = recordSum(hash, kind, p.version, 0)
	return m
}

// recordSum is a hash on which all gateways must agree: of the hash of an id, kind,
// version, and the hash of a value.
func recordSum(id uint64, kind Kind, v Version, value uint64) uint64 {
	return fold(fold(fold(id+uint64(kind), v.Clock), v.Node), value)
}

// fold mixes a word into a hash, as wyhash does, in a few cycles.
func fold(h, word uint64) uint64 {
	hi, lo := bits.Mul64(h^word^0x2d358dccaa6c78a5, 0x9e3779b97f4a7c15)
	return hi ^ lo
}

// recount counts a VM's entry, which may be empty, in the place of another.
func (t *Table) recount(id *BIOSID, was, is []byte) {
	hash := hashBIOS(id)
	b := &t.buckets[bucketOf(hash)]
	for _, m := range t.symbols.marks(hash, was) {
		b.remove(m)
	}
	for _, m := range t.symbols.marks(hash, is) {
		b.add(m)
	}
}

// marks returns the marks of the records of an entry.
func (d *dictionary) marks(hash uint64, body []byte) (m [2]mark) {
	if len(body) == 0 {
		return m
	}
	var p parsedVM
	if err := d.parse(&p, body); err != nil {
		panic(err) // as in entryIn
	}
	return p.marks(hash)
}

func (p *parsedVM) marks(hash uint64) [2]mark {
	return [2]mark{markIn(hash, KindVM, &p.registration), markIn(hash, KindPlacement, &p.placement)}
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
