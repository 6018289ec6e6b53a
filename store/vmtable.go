package store

import (
	"encoding/binary"
	"slices"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

// vmTable holds VMs, in shards so that growing one moves little. A shard has
// slots, which a question reads, and an arena with the records themselves, which
// only administrators, merging and replication read. Neither holds a pointer, so
// ten million VMs cost the garbage collector nothing.
//
// Slots are open addressing with linear probing, half a cache line each: a
// lookup is one miss. Readers take no lock. A writer (there is one at a time)
// fills a slot's key before its facts, and the facts are one word: a reader sees
// all of a VM or none of it. A slot's key never changes while its array is
// published; removing a VM clears the live bit; growing builds a new array.
type vmTable struct {
	shards [vmShards]vmShard
	live   atomic.Int64
}

const vmShards = 256

type vmShard struct {
	slots atomic.Pointer[[]vmSlot]

	// For the writer, and for readers that hold the table's read lock.
	arena   []byte
	garbage int // bytes of the arena that no slot refers to
	claimed int // slots with a key
}

type vmSlot struct {
	key0, key1 atomic.Uint64
	facts      atomic.Uint64 // vmFacts
	entry      atomic.Uint32 // offset in the arena
	assigned   atomic.Uint32 // index of the last assigned SVM + 1; lost when the shard grows
}

// vmFacts packs what a question needs of a VM:
//
//	bit 63      the slot is claimed
//	bit 62      the VM is registered
//	bits 40-61  index of the tenant
//	bits 18-39  index of the path
//	bits 4-17   index of the agent version
//	bits 2-3    guest OS
//	bits 0-1    agent kind
type vmFacts uint64

const (
	factsClaimed vmFacts = 1 << 63
	factsLive    vmFacts = 1 << 62
)

func packFacts(tenant, path, version uint32, os GuestOS, kind AgentKind) vmFacts {
	return factsClaimed | factsLive | vmFacts(tenant)<<40 | vmFacts(path)<<18 | vmFacts(version)<<4 |
		vmFacts(os)<<2 | vmFacts(kind)
}

func (f vmFacts) tenant() uint32 { return uint32(f>>40) & MaxTenants }

// hashBIOS spreads ids over shards (high byte) and slots (low bits).
func hashBIOS(id *BIOSID) uint64 { return xxhash.Sum64(id[:]) }

func (t *vmTable) shard(hash uint64) *vmShard { return &t.shards[hash>>56] }

func keyWords(id *BIOSID) (uint64, uint64) {
	return binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
}

// find returns the slot of id, or nil. It is the hot path: see vmTable.
func (t *vmTable) find(id *BIOSID) (*vmSlot, vmFacts) {
	hash := hashBIOS(id)
	arr := t.shard(hash).slots.Load()
	if arr == nil {
		return nil, 0
	}
	slots := *arr
	k0, k1 := keyWords(id)
	mask := uint64(len(slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		slot := &slots[i]
		facts := vmFacts(slot.facts.Load())
		if facts == 0 {
			return nil, 0
		}
		if slot.key0.Load() == k0 && slot.key1.Load() == k1 {
			return slot, facts
		}
	}
}

// claim returns the slot of id, making one if there is none.
func (t *vmTable) claim(id *BIOSID) *vmSlot {
	if slot, _ := t.find(id); slot != nil {
		return slot
	}
	hash := hashBIOS(id)
	sh := t.shard(hash)
	arr := sh.slots.Load()
	if arr == nil || (sh.claimed+1)*4 > len(*arr)*3 {
		arr = sh.grow()
	}
	sh.claimed++
	k0, k1 := keyWords(id)
	slot := freeSlot(*arr, hash)
	slot.key0.Store(k0)
	slot.key1.Store(k1)
	slot.entry.Store(noEntry)
	slot.facts.Store(uint64(factsClaimed))
	return slot
}

const noEntry = 1<<32 - 1

func freeSlot(slots []vmSlot, hash uint64) *vmSlot {
	mask := uint64(len(slots) - 1)
	i := hash & mask
	for slots[i].facts.Load() != 0 {
		i = (i + 1) & mask
	}
	return &slots[i]
}

// grow publishes an array of twice the size with the same slots.
func (sh *vmShard) grow() *[]vmSlot {
	var old []vmSlot
	if p := sh.slots.Load(); p != nil {
		old = *p
	}
	next := make([]vmSlot, max(16, 2*len(old)))
	for i := range old {
		facts := old[i].facts.Load()
		if facts == 0 {
			continue
		}
		id := old[i].id()
		slot := freeSlot(next, hashBIOS(&id))
		slot.key0.Store(old[i].key0.Load())
		slot.key1.Store(old[i].key1.Load())
		slot.entry.Store(old[i].entry.Load())
		slot.assigned.Store(old[i].assigned.Load())
		slot.facts.Store(facts)
	}
	sh.slots.Store(&next)
	return &next
}

func (s *vmSlot) id() (id BIOSID) {
	binary.LittleEndian.PutUint64(id[:8], s.key0.Load())
	binary.LittleEndian.PutUint64(id[8:], s.key1.Load())
	return id
}

// setFacts publishes what a question sees of the VM.
func (t *vmTable) setFacts(slot *vmSlot, facts vmFacts) {
	was := vmFacts(slot.facts.Swap(uint64(facts | factsClaimed)))
	if was&factsLive != 0 {
		t.live.Add(-1)
	}
	if facts&factsLive != 0 {
		t.live.Add(+1)
	}
}

// A vmEntry is what the arena holds of a VM: its registration and its placement,
// either of which may be absent (a zero Version).
type vmEntry struct{ registration, placement Record }

func (e *vmEntry) record(kind Kind) *Record {
	if kind == KindVM {
		return &e.registration
	}
	return &e.placement
}

// entry returns the records of a slot. Their values point into the arena, which
// is only ever appended to or replaced, so they stay valid.
func (t *vmTable) entry(slot *vmSlot) (e vmEntry) {
	offset := slot.entry.Load()
	if offset == noEntry {
		return vmEntry{}
	}
	id := slot.id()
	b := t.shard(hashBIOS(&id)).arena[offset:]
	e.registration, b = readEntryPart(b, Key{Kind: KindVM, ID: id})
	e.placement, _ = readEntryPart(b, Key{Kind: KindPlacement, ID: id})
	return e
}

// setEntry replaces the records of a slot.
func (t *vmTable) setEntry(slot *vmSlot, e *vmEntry) {
	id := slot.id()
	sh := t.shard(hashBIOS(&id))
	if old := slot.entry.Load(); old != noEntry {
		sh.garbage += entrySize(sh.arena[old:])
	}
	if sh.garbage > 1<<16 && sh.garbage > len(sh.arena)/2 {
		slot.entry.Store(noEntry)
		sh.compact()
	}
	slot.entry.Store(uint32(len(sh.arena)))
	sh.arena = appendEntryPart(sh.arena, &e.registration)
	sh.arena = appendEntryPart(sh.arena, &e.placement)
}

func (sh *vmShard) compact() {
	next := make([]byte, 0, len(sh.arena)-sh.garbage)
	for i := range *sh.slots.Load() {
		slot := &(*sh.slots.Load())[i]
		offset := slot.entry.Load()
		if slot.facts.Load() == 0 || offset == noEntry {
			continue
		}
		slot.entry.Store(uint32(len(next)))
		next = append(next, sh.arena[offset:int(offset)+entrySize(sh.arena[offset:])]...)
	}
	sh.arena, sh.garbage = next, 0
}

const entryHeader = 8 + 8 + 4 // version and length of the value

func appendEntryPart(dst []byte, r *Record) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, r.Version.Clock)
	dst = binary.LittleEndian.AppendUint64(dst, r.Version.Node)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Value)))
	return append(dst, r.Value...)
}

func readEntryPart(b []byte, key Key) (Record, []byte) {
	v := Version{Clock: binary.LittleEndian.Uint64(b), Node: binary.LittleEndian.Uint64(b[8:])}
	n := entryHeader + int(binary.LittleEndian.Uint32(b[16:]))
	return Record{Key: key, Version: v, Value: b[entryHeader:n:n]}, b[n:]
}

func entrySize(b []byte) int {
	first := entryHeader + int(binary.LittleEndian.Uint32(b[16:]))
	return first + entryHeader + int(binary.LittleEndian.Uint32(b[first+16:]))
}

// page returns up to limit ids of registered VMs that want admits and that come
// after the given one, in the table's own order: shard by shard, by id within a
// shard. The zero id starts.
func (t *vmTable) page(after BIOSID, limit int, want func(vmFacts) bool) []BIOSID {
	var out []BIOSID
	first := 0
	if !after.IsZero() {
		first = int(hashBIOS(&after) >> 56)
	}
	for i := first; i < vmShards && len(out) < limit; i++ {
		var ids []BIOSID
		t.shards[i].each(func(slot *vmSlot, facts vmFacts) {
			id := slot.id()
			if facts&factsLive != 0 && want(facts) && (i > first || after.IsZero() || compareID(id, after) > 0) {
				ids = append(ids, id)
			}
		})
		slices.SortFunc(ids, func(a, b BIOSID) int { return compareID(a, b) })
		out = append(out, ids[:min(len(ids), limit-len(out))]...)
	}
	return out
}

func (sh *vmShard) each(fn func(*vmSlot, vmFacts)) {
	p := sh.slots.Load()
	if p == nil {
		return
	}
	for i := range *p {
		slot := &(*p)[i]
		if facts := vmFacts(slot.facts.Load()); facts != 0 {
			fn(slot, facts)
		}
	}
}
