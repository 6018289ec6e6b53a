package store

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Of events, observations and days of protection there may be millions. They are kept
// without pointers, so that they cost the garbage collector nothing: those of a bucket
// back to back in one piece of memory, with a small index. The rest of the package does
// not know: it asks row, setRow and eachRow.

// isBulk reports whether the record of a key is kept so.
func (k Key) isBulk() bool {
	return (k.Kind == KindObservation || k.Kind == KindEvent || k.Kind == KindProtection) && !k.isFloor()
}

// A bulk has records back to back, each behind a head: kind and length in one word (the
// kind is 0 if the record was replaced or dropped), id, clock and node. The index has
// where records begin, + 1, at home by the hash of their id or behind that.
//
// Who changes it needs the table's lock, who reads it the read lock. Values are parts of
// it, and valid until it changes.
type bulk struct {
	data  []byte
	index []uint32
	taken int // of the index, by records that were dropped, too
	live  int // records
	dead  int // bytes
}

const bulkHead = 4 + 16 + 8 + 8

func (b *bulk) kind(at int) Kind     { return Kind(b.data[at]) }
func (b *bulk) id(at int) []byte     { return b.data[at+4 : at+20] }
func (b *bulk) clock(at int) uint64  { return binary.LittleEndian.Uint64(b.data[at+20:]) }
func (b *bulk) size(at int) int      { return bulkHead + int(binary.LittleEndian.Uint32(b.data[at:])>>8) }
func (b *bulk) home(hash uint64) int { return int(hash & (1<<32 - 1) * uint64(len(b.index)) >> 32) }

func (b *bulk) record(at int) Record {
	end := at + b.size(at)
	return Record{
		Key:     Key{b.kind(at), [16]byte(b.id(at))},
		Version: Version{Clock: b.clock(at), Node: binary.LittleEndian.Uint64(b.data[at+28:])},
		Value:   b.data[at+bulkHead : end : end],
	}
}

func (b *bulk) write(dst []byte, r *Record) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Value))<<8|uint32(r.Key.Kind))
	dst = append(dst, r.Key.ID[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, r.Version.Clock)
	dst = binary.LittleEndian.AppendUint64(dst, r.Version.Node)
	return append(dst, r.Value...)
}

// search returns the place in the index of the first record for which is holds.
func (b *bulk) search(hash uint64, is func(at int) bool) (slot int, ok bool) {
	if len(b.index) == 0 {
		return 0, false
	}
	for i := b.home(hash); b.index[i] != 0; {
		if is(int(b.index[i] - 1)) {
			return i, true
		}
		if i++; i == len(b.index) {
			i = 0
		}
	}
	return 0, false
}

// find returns where the record of a key is; hash is that of its id.
func (b *bulk) find(hash uint64, key *Key) (slot int, ok bool) {
	return b.search(hash, func(at int) bool { return b.kind(at) == key.Kind && [16]byte(b.id(at)) == key.ID })
}

func (b *bulk) get(hash uint64, key *Key) (Record, bool) {
	slot, ok := b.find(hash, key)
	if !ok {
		return Record{}, false
	}
	return b.at(slot), true
}

// at returns the record of a place in the index.
func (b *bulk) at(slot int) Record { return b.record(int(b.index[slot] - 1)) }

// event returns the event of which the hash of the id is given, and the clock.
func (b *bulk) event(hash, clock uint64) (Record, bool) {
	slot, ok := b.search(hash, func(at int) bool {
		return b.kind(at) == KindEvent && b.clock(at) == clock && xxhash.Sum64(b.id(at)) == hash
	})
	if !ok {
		return Record{}, false
	}
	return b.at(slot), true
}

// put writes a record; slot and ok are what find says of its key.
func (b *bulk) put(hash uint64, r *Record, slot int, ok bool) {
	size := bulkHead + len(r.Value)
	if ok {
		at := int(b.index[slot] - 1)
		if b.size(at) == size { // other days, mostly
			b.write(b.data[at:at], r)
			return
		}
		b.kill(at)
	}
	if len(b.data)+size > cap(b.data) || 8*(b.taken+1) > 7*len(b.index) || b.isWasteful() {
		b.renew(size)
		ok = false
	}
	at := uint32(len(b.data))
	b.data = b.write(b.data, r)
	b.live++
	if ok {
		b.index[slot] = at + 1
	} else {
		b.enter(hash, at)
	}
}

func (b *bulk) enter(hash uint64, at uint32) {
	slot := b.home(hash)
	for b.index[slot] != 0 {
		if slot++; slot == len(b.index) {
			slot = 0
		}
	}
	b.index[slot] = at + 1
	b.taken++
}

// drop drops the record of a key, which is there. It moves nothing: see tidy.
func (b *bulk) drop(hash uint64, key *Key) {
	if slot, ok := b.find(hash, key); ok {
		b.kill(int(b.index[slot] - 1))
	}
}

func (b *bulk) kill(at int) {
	b.dead += b.size(at)
	b.data[at] = 0
	b.live--
}

// isWasteful reports whether more than a quarter is of records that are not there any more.
func (b *bulk) isWasteful() bool { return 4*b.dead > len(b.data) }

// tidy frees what dropped records took, if it is much.
func (b *bulk) tidy() {
	if b.isWasteful() {
		b.renew(0)
	}
}

// renew makes room for a record of a size, and for an eighth more.
func (b *bulk) renew(size int) {
	old, n := *b, b.live+1
	*b = bulk{live: b.live}
	if size == 0 && n == 1 {
		return
	}
	used := len(old.data) - old.dead + size
	b.data = slices.Grow(b.data, used+used/8) // which makes use of all that is allocated
	b.index = make([]uint32, (n+n/8)*4/3+2)
	for at := 0; at < len(old.data); at += old.size(at) {
		if old.kind(at) != 0 {
			b.enter(xxhash.Sum64(old.id(at)), uint32(len(b.data)))
			b.data = append(b.data, old.data[at:at+old.size(at)]...)
		}
	}
}

// each calls fn with every record until it returns false. fn may drop records.
func (b *bulk) each(fn func(Record) bool) (all bool) {
	for at := 0; at < len(b.data); at += b.size(at) {
		if b.kind(at) != 0 && !fn(b.record(at)) {
			return false
		}
	}
	return true
}

// appendKeys adds the keys of all records to dst.
func (b *bulk) appendKeys(dst []Key) []Key {
	for at := 0; at < len(b.data); at += b.size(at) {
		if kind := b.kind(at); kind != 0 {
			dst = append(dst, Key{kind, [16]byte(b.id(at))})
		}
	}
	return dst
}
