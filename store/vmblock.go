package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A block is a shard of the VM table as a snapshot has it; numbers are 32 bits,
// little-endian:
//
//	count
//	ids        count of 16 bytes, in the order of the slots
//	checksums  count of CRC-32C of id and entry
//	ends       count of offsets, each where an entry ends, from the first entry on
//	entries    back to back
//	count, again
//
// Whoever keeps a block adds a checksum of the whole, so loading need not look at
// those of entries: they are there to tell which VMs a damaged block has hurt.

const (
	blockHead  = 4
	blockEntry = 16 + 4 + 4 // id, checksum, end
	blockTail  = 4
)

var errBlock = errors.New("store: block of VMs is damaged")

// entrySum takes the id where it lies: one of its own would be garbage for every VM.
func entrySum(id, entry []byte) uint32 {
	return crc32.Update(crc32.Checksum(id, castagnoli), castagnoli, entry)
}

// A vmGather collects the parts of a block. What writers change meanwhile is in it as it
// was or as it is.
type vmGather struct {
	slots *vmSlots // being gone through
	next  int      // of them
	anew  int      // times that it was begun anew
	count int

	ids, sums, ends, entries []byte
}

const (
	gatherPiece = 256 // slots are gone through at a time: some 30 µs of work
	maxAnew     = 2   // then the rest is gathered at once, lest a shard that grows be gathered for ever
)

func (g *vmGather) reset() {
	*g = vmGather{ids: g.ids[:0], sums: g.sums[:0], ends: g.ends[:0], entries: g.entries[:0]}
}

// gather goes through some more slots, and reports whether others are left. The caller
// holds the table's read lock, which it need not hold between. A shard that was rebuilt
// meanwhile is begun anew: its VMs stand elsewhere.
func (g *vmGather) gather(sh *vmShard, slots int) (more bool) {
	arr := sh.slots.Load()
	if arr == nil {
		return false
	}
	if g.slots != arr {
		anew := g.anew + 1
		g.reset()
		g.slots, g.anew = arr, anew
	}
	if g.anew > maxAnew {
		slots = len(arr.slots)
	}
	end := min(g.next+slots, len(arr.slots))
	for ; g.next < end; g.next++ {
		if slot := &arr.slots[g.next]; slot.facts.Load() != 0 && slot.entry.Load() != noEntry {
			offset := slot.entry.Load()
			g.add(slot.id(), sh.arena[offset:int(offset)+entrySize(sh.arena[offset:])])
		}
	}
	return end < len(arr.slots)
}

func (g *vmGather) add(id BIOSID, entry []byte) {
	g.count++
	g.entries = append(g.entries, entry...)
	g.ids = append(g.ids, id[:]...)
	g.sums = binary.LittleEndian.AppendUint32(g.sums, entrySum(g.ids[len(g.ids)-len(id):], entry))
	g.ends = binary.LittleEndian.AppendUint32(g.ends, uint32(len(g.entries)))
}

// parts returns the block, to be written part by part.
func (g *vmGather) parts() [][]byte {
	count := binary.LittleEndian.AppendUint32(nil, uint32(g.count))
	return [][]byte{count, g.ids, g.sums, g.ends, g.entries, count}
}

// vmBlock is a block taken apart.
type vmBlock struct {
	count                    int
	ids, sums, ends, entries []byte
}

// cutBlock finds the parts of a block. One damaged count does not matter.
func cutBlock(b []byte) (vmBlock, bool) {
	if len(b) < blockHead+blockTail {
		return vmBlock{}, false
	}
	first, last := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[len(b)-blockTail:])
	inner := b[blockHead : len(b)-blockTail]
	for _, n := range []uint32{first, last} {
		if uint64(n)*blockEntry > uint64(len(inner)) {
			continue
		}
		c := int(n)
		k := vmBlock{
			count: c, ids: inner[:16*c], sums: inner[16*c : 20*c], ends: inner[20*c : 24*c], entries: inner[24*c:],
		}
		if first == last || k.end(c-1) == len(k.entries) {
			return k, true
		}
	}
	return vmBlock{}, false
}

func (k *vmBlock) id(i int) BIOSID { return BIOSID(k.ids[16*i:]) }

func (k *vmBlock) sum(i int) uint32 { return binary.LittleEndian.Uint32(k.sums[4*i:]) }

// end returns where the entry with index i ends, which may be anywhere if the
// block is damaged; that before the first is 0.
func (k *vmBlock) end(i int) int {
	if i < 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint32(k.ends[4*i:]))
}

// loadBlock fills an empty shard with a block, whatever the bytes are: on an
// error the shard is empty again. It counts the records in those of the buckets
// that are the shard's. Other goroutines may load other shards; nobody
// may write to the table or add to d meanwhile.
func (t *vmTable) loadBlock(shard int, block []byte, d *dictionary, buckets *[Buckets]bucket) error {
	k, ok := cutBlock(block)
	if !ok || uint64(len(k.entries)) > noEntry || k.end(k.count-1) != len(k.entries) {
		return fmt.Errorf("%w: the sizes do not agree", errBlock)
	}
	sh := &t.shards[shard]
	sh.reserve(k.count)
	own := buckets[shard*(Buckets/vmShards):][:Buckets/vmShards]
	live, at := 0, 0
	for i := range k.count {
		id := k.id(i)
		body, rest, ok := cutEntry(k.entries[at:])
		var p parsedVM
		facts, err := d.parseFacts(&p, body)
		end := len(k.entries) - len(rest)
		if !ok || err != nil || end != k.end(i) || !sh.load(shard, &id, uint32(at), facts, &p, own) {
			sh.slots.Store(nil)
			sh.claimed = 0
			clear(own)
			return fmt.Errorf("%w: at VM %v", errBlock, id)
		}
		if facts&factsLive != 0 {
			live++
		}
		at = end
	}
	sh.arena = append(make([]byte, 0, len(k.entries)+len(k.entries)/16), k.entries...)
	t.noteArena(sh)
	t.live.Add(int64(live))
	return nil
}

// load fills the slot of a VM that must be of the shard, and new, and counts its
// records in the buckets of the shard.
func (sh *vmShard) load(shard int, id *BIOSID, entry uint32, facts vmFacts, p *parsedVM, buckets []bucket) bool {
	hash := hashBIOS(id)
	if id.IsZero() || int(hash>>56) != shard {
		return false
	}
	slot := sh.seek(hash, id)
	if slot.facts.Load() != 0 {
		return false
	}
	slot.put(id, entry, facts)
	sh.claimed++
	b := &buckets[bucketOf(hash)%len(buckets)]
	for _, m := range p.marks(hash) {
		b.add(m)
	}
	return true
}

// eachInBlock calls fn with every VM of a block that can be told from the
// others; not sound are those whose entry was damaged, and then e is zero. It is
// also zero if there is no dictionary: d is nil. It returns the first error of fn,
// or one of its own if the block can not be taken apart at all.
func eachInBlock(block []byte, d *dictionary, fn func(id BIOSID, sound bool, e vmEntry) error) error {
	k, ok := cutBlock(block)
	if !ok {
		return fmt.Errorf("%w: its VMs can not be told apart", errBlock)
	}
	at := 0
	for i := range k.count {
		id := k.id(i)
		body, rest, ok := cutEntry(k.entries[min(at, len(k.entries)):])
		end := len(k.entries) - len(rest)
		var e vmEntry
		if ok = ok && entrySum(k.ids[16*i:16*i+16], k.entries[at:end]) == k.sum(i); ok && d != nil {
			var err error
			e, err = d.unpack(id, body)
			ok = err == nil
		}
		if err := fn(id, ok, e); err != nil {
			return err
		}
		// A sound entry says itself where it ends, so that neither damage to it
		// nor to an end hurts the next.
		if at = end; !ok {
			at = k.end(i)
		}
	}
	return nil
}
