package store

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// vmTable holds VMs, in shards so that growing one moves little. A shard has
// slots, which a question reads, and an arena with the records themselves, which
// only administrators, merging and replication read (see vmpack.go). Neither
// holds a pointer, so ten million VMs cost the garbage collector nothing.
//
// Slots are open addressing with linear probing, half a cache line each: a
// lookup is one miss. They stand in the order of the hash but for collisions, and
// a probe never wraps around: therefore growing goes through both arrays from
// front to back, and a page of a listing starts where the last one ended.
//
// Readers take no lock. A writer (there is one at a time) fills a slot's key
// before its facts, and the facts are one word: a reader sees all of a VM or none
// of it. A slot's key never changes while its array is published; removing a VM
// clears the live bit; growing builds a new array.
type vmTable struct {
	shards [vmShards]vmShard
	live   atomic.Int64
	lists  vmLists

	// largest is the room of the largest shard; from maxArena on room looks closely.
	largest atomic.Int64
}

const vmShards = 256

type vmShard struct {
	slots atomic.Pointer[vmSlots]

	// For the writer, and for readers that hold the table's read lock.
	arena   []byte
	garbage int // bytes of the arena that no slot refers to
	claimed int // slots with a key

	forgotten int // of the claimed: slots of VMs of which there is no record any more
}

// vmSlots is homes positions, each the home of an equal range of hashes, and a
// tail for what collides near the end.
type vmSlots struct {
	homes uint64
	slots []vmSlot
}

type vmSlot struct {
	key0, key1 atomic.Uint64
	facts      atomic.Uint64 // vmFacts
	entry      atomic.Uint32 // offset in the arena
	assigned   atomic.Uint32 // index of the last assigned SVM + 1, and slotAmiss
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

	// factsForgotten is the slot of a VM of which there is no record any more. It is
	// claimed, because others may stand behind it, until the shard is rebuilt.
	factsForgotten = factsClaimed | 1
)

func packFacts(tenant, path, version uint32, os GuestOS, kind AgentKind) vmFacts {
	return factsClaimed | factsLive | vmFacts(tenant)<<40 | vmFacts(path)<<18 | vmFacts(version)<<4 |
		vmFacts(os)<<2 | vmFacts(kind)
}

func (f vmFacts) tenant() uint32 { return uint32(f>>40) & MaxTenants }

// hashBIOS spreads ids: the high byte says the shard, the next three where in it.
// It is XXH64 with seed 0, written out for 16 bytes.
func hashBIOS(id *BIOSID) uint64 {
	const p1, p2, p3, p4, p5 = 0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0x85ebca77c2b2ae63, 0x27d4eb2f165667c5
	k0, k1 := keyWords(id)
	var h uint64 = p5 + 16
	h = bits.RotateLeft64(h^bits.RotateLeft64(k0*p2, 31)*p1, 27)*p1 + p4
	h = bits.RotateLeft64(h^bits.RotateLeft64(k1*p2, 31)*p1, 27)*p1 + p4
	h = (h ^ h>>33) * p2
	h = (h ^ h>>29) * p3
	return h ^ h>>32
}

func (t *vmTable) shard(hash uint64) *vmShard { return &t.shards[hash>>56] }

// home returns the first position at which a VM may be.
func (a *vmSlots) home(hash uint64) int { return int(hash >> 32 & (1<<24 - 1) * a.homes >> 24) }

func keyWords(id *BIOSID) (uint64, uint64) {
	return binary.LittleEndian.Uint64(id[:8]), binary.LittleEndian.Uint64(id[8:])
}

// find returns the slot of id, or nil. It is the hot path: see vmTable.
func (t *vmTable) find(id *BIOSID) (*vmSlot, vmFacts) { return t.search(id, hashBIOS(id)) }

func (t *vmTable) search(id *BIOSID, hash uint64) (*vmSlot, vmFacts) {
	arr := t.shard(hash).slots.Load()
	if arr == nil {
		return nil, 0
	}
	k0, k1 := keyWords(id)
	slots := arr.slots
	for i := arr.home(hash); i < len(slots); i++ {
		slot := &slots[i]
		facts := vmFacts(slot.facts.Load())
		if facts == 0 {
			return nil, 0
		}
		if slot.key0.Load() == k0 && slot.key1.Load() == k1 {
			return slot, facts
		}
	}
	return nil, 0
}

// claim returns the slot of id, making one if there is none.
func (t *vmTable) claim(id *BIOSID) *vmSlot {
	slot, _ := t.obtain(id)
	return slot
}

// obtain is claim for who wants to know whether the slot was made.
func (t *vmTable) obtain(id *BIOSID) (slot *vmSlot, isNew bool) {
	hash := hashBIOS(id)
	sh := t.shard(hash)
	if slot, facts := t.find(id); slot != nil {
		if facts == factsForgotten {
			slot.facts.Store(uint64(factsClaimed))
			sh.forgotten--
		}
		return slot, false
	}
	sh.reserve(1)
	slot = sh.seek(hash, id)
	sh.claimed++
	slot.put(id, noEntry, factsClaimed)
	return slot, true
}

const noEntry = 1<<32 - 1

// put fills a slot that nobody has claimed: key first, facts last.
func (s *vmSlot) put(id *BIOSID, entry uint32, facts vmFacts) {
	k0, k1 := keyWords(id)
	s.key0.Store(k0)
	s.key1.Store(k1)
	s.entry.Store(entry)
	s.facts.Store(uint64(facts))
}

// A shard grows by a fifth when four fifths of its homes are claimed: 40 to 48
// bytes a VM. With 10 M VMs a hit takes the same time at loads from 0.6 to 0.85;
// a miss takes 308, 344, 371 and 419 ns at 0.6, 0.75, 0.8 and 0.85 (interleaved,
// 2-core AMD EPYC), and misses are rare.
const (
	maxLoadNum, maxLoadDen = 4, 5
	growNum, growDen       = 6, 5

	minHomes = 8
	maxTail  = 128 // unless collisions need more
)

// seek returns the slot of id, or a free one for it, in a new array if need be.
func (sh *vmShard) seek(hash uint64, id *BIOSID) *vmSlot {
	for {
		arr := sh.slots.Load()
		slot, probed := arr.seek(hash, id)
		switch {
		case slot == nil:
			sh.rebuild(arr.homes, 2*arr.tail())
		case arr.crowded(probed) && arr.homes*growNum/growDen < maxRoomy*homesFor(sh.claimed):
			sh.rebuild(arr.homes*growNum/growDen+1, arr.tail())
		default:
			return slot
		}
	}
}

// seek returns the slot of id, or the first free one for it, and how far that is
// from its home; nil if the tail ends before.
func (a *vmSlots) seek(hash uint64, id *BIOSID) (slot *vmSlot, probed int) {
	k0, k1 := keyWords(id)
	home := a.home(hash)
	for i := home; i < len(a.slots); i++ {
		slot := &a.slots[i]
		if slot.facts.Load() == 0 || slot.key0.Load() == k0 && slot.key1.Load() == k1 {
			return slot, i - home
		}
	}
	return nil, 0
}

// crowded reports whether VMs crowd in a part of the array. They do when a table is
// taken over from a peer, bucket by bucket: all of the first bucket are at home in
// a sixteenth of the shard. The room of the others, which it gets then instead of
// later, spares each VM to be compared with all that came before it. There is a
// bound, for ids that are made to collide.
func (a *vmSlots) crowded(probed int) bool { return probed > int(a.homes)/16+64 }

const maxRoomy = 4 // times the homes that VMs need

func (a *vmSlots) tail() int { return len(a.slots) - int(a.homes) }

// reserve makes room for n more VMs, so that their coming does not make the
// shard grow again and again. Slots of forgotten VMs become free then, and where
// they are many the shard need not grow.
func (sh *vmShard) reserve(n int) {
	homes, tail := uint64(0), 0
	if arr := sh.slots.Load(); arr != nil {
		homes, tail = arr.homes, arr.tail()
	}
	if homesFor(sh.claimed+n) <= homes {
		return
	}
	if need := homesFor(sh.claimed - sh.forgotten + n); need*growNum/growDen > homes {
		homes = max(need, homes*growNum/growDen, minHomes)
	}
	sh.rebuild(homes, max(tail, min(int(homes)/16+2, maxTail)))
}

// homesFor is how many homes n VMs need.
func homesFor(n int) uint64 { return uint64(n)*maxLoadDen/maxLoadNum + 1 }

// rebuild publishes an array of the given size, or with a longer tail, with the
// same slots but for those of forgotten VMs.
func (sh *vmShard) rebuild(homes uint64, tail int) {
	next := &vmSlots{homes: homes, slots: make([]vmSlot, int(homes)+tail)}
	askHugePages(next.slots)
	if old := sh.slots.Load(); old != nil {
		for i := range old.slots {
			from := &old.slots[i]
			facts := from.facts.Load()
			if facts == 0 || vmFacts(facts) == factsForgotten {
				continue
			}
			id := from.id()
			to, _ := next.seek(hashBIOS(&id), &id)
			if to == nil {
				sh.rebuild(homes, 2*tail)
				return
			}
			to.put(&id, from.entry.Load(), vmFacts(facts))
			to.assigned.Store(from.assigned.Load())
		}
	}
	sh.slots.Store(next)
	sh.claimed, sh.forgotten = sh.claimed-sh.forgotten, 0
}

// tendedShards is how many shards are tended at a time, once a second: all of them in 16
// seconds, and not so many that questions wait for it.
const tendedShards = 16

// tend asks for huge pages again, for some shards, and returns whose turn is next. Slots lie between others in the
// heap, and when those are freed and given back to the system, the system takes apart the
// huge page that they share: after a start most slots would be on small ones. Where nothing
// is to be done it costs a microsecond for each shard; else a third of a millisecond for
// each page.
func (t *vmTable) tend(from, n int) (next int) {
	for i := from; i < from+n; i++ {
		if arr := t.shards[i%vmShards].slots.Load(); arr != nil {
			askHugePages(arr.slots)
		}
	}
	return (from + n) % vmShards
}

func (s *vmSlot) id() (id BIOSID) {
	binary.LittleEndian.PutUint64(id[:8], s.key0.Load())
	binary.LittleEndian.PutUint64(id[8:], s.key1.Load())
	return id
}

// setFacts publishes what a question sees of the VM.
func (t *vmTable) setFacts(slot *vmSlot, facts vmFacts) {
	facts |= factsClaimed
	was := vmFacts(slot.facts.Swap(uint64(facts)))
	if was&factsLive != 0 {
		t.live.Add(-1)
	}
	if facts&factsLive != 0 {
		t.live.Add(+1)
	}
	t.relist(slot, was, facts)
}

// packed returns the entry of a slot without its length, or nil. It points into
// the arena: it is valid as long as nobody writes.
func (t *vmTable) packed(slot *vmSlot) []byte {
	offset := slot.entry.Load()
	if offset == noEntry {
		return nil
	}
	id := slot.id()
	body, _, _ := cutEntry(t.shard(hashBIOS(&id)).arena[offset:])
	return body
}

// setPacked replaces the entry of a slot.
func (t *vmTable) setPacked(slot *vmSlot, body []byte) {
	id := slot.id()
	sh := t.shard(hashBIOS(&id))
	if old := slot.entry.Load(); old != noEntry {
		if was, _, _ := cutEntry(sh.arena[old:]); len(was) == len(body) { // another host, mostly
			copy(was, body)
			return
		}
		sh.garbage += entrySize(sh.arena[old:])
		slot.entry.Store(noEntry)
	}
	if need := len(body) + binary.MaxVarintLen32; cap(sh.arena)-len(sh.arena) < need {
		sh.renew(need)
		t.noteArena(sh)
	}
	slot.entry.Store(uint32(len(sh.arena)))
	sh.arena = binary.AppendUvarint(sh.arena, uint64(len(body)))
	sh.arena = append(sh.arena, body...)
}

// forget drops the entry of a slot whose VM is not registered.
func (t *vmTable) forget(slot *vmSlot) {
	id := slot.id()
	sh := t.shard(hashBIOS(&id))
	sh.garbage += entrySize(sh.arena[slot.entry.Load():])
	sh.forgotten++
	slot.entry.Store(noEntry)
	slot.facts.Store(uint64(factsForgotten))
}

// maxArena bounds the bytes of a shard, as a block has them. A block is one frame,
// which is what a change may come on top of, and offsets have 32 bits, which is
// what garbage may come on top of. Names and placements of a billion VMs stay below.
const maxArena = wal.MaxFrame / 2

// room fails if the shard of a VM may take no more.
func (t *vmTable) room(id BIOSID) error {
	if sh := t.shard(hashBIOS(&id)); len(sh.arena)-sh.garbage+sh.claimed*blockEntry > maxArena {
		return fmt.Errorf("%w: %d bytes of VMs in a part of the table", ErrFull, maxArena)
	}
	return nil
}

func (t *vmTable) noteArena(sh *vmShard) {
	for n := int64(cap(sh.arena) + sh.claimed*blockEntry); ; {
		was := t.largest.Load()
		if n <= was || t.largest.CompareAndSwap(was, n) {
			return
		}
	}
}

// renew makes room for n bytes in a new arena without garbage, and for an eighth
// more: so there is never more garbage than that.
func (sh *vmShard) renew(n int) {
	live := len(sh.arena) - sh.garbage
	next := make([]byte, 0, live+n+live/8+256)
	if sh.garbage == 0 {
		sh.arena = append(next, sh.arena...)
		return
	}
	sh.each(func(slot *vmSlot, _ vmFacts) {
		if offset := slot.entry.Load(); offset != noEntry {
			slot.entry.Store(uint32(len(next)))
			next = append(next, sh.arena[offset:int(offset)+entrySize(sh.arena[offset:])]...)
		}
	})
	sh.arena, sh.garbage = next, 0
}

func (sh *vmShard) each(fn func(*vmSlot, vmFacts)) {
	arr := sh.slots.Load()
	if arr == nil {
		return
	}
	for i := range arr.slots {
		slot := &arr.slots[i]
		if facts := vmFacts(slot.facts.Load()); facts != 0 {
			fn(slot, facts)
		}
	}
}
