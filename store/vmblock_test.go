package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// sampleTable has n VMs of every form, in the numbers of sampleDictionary; with
// shard >= 0 all are of that shard.
func sampleTable(n, shard int) *vmTester {
	t := &vmTester{d: sampleDictionary()}
	for i := 0; n > 0; i++ {
		id := numberedBIOS(i)
		if shard >= 0 && int(hashBIOS(&id)>>56) != shard {
			continue
		}
		t.commit(id, sampleEntry(n, id))
		n--
	}
	return t
}

// commit writes records and what they say to a question.
func (t *vmTester) commit(id BIOSID, e vmEntry) {
	body := t.d.pack(&e)
	facts, err := t.d.facts(body)
	if err != nil {
		panic(err)
	}
	slot := t.claim(&id)
	t.setPacked(slot, body)
	t.setFacts(slot, facts)
}

// appendBlock appends the block of a shard to dst.
func (t *vmTable) appendBlock(dst []byte, shard int) []byte {
	var g vmGather
	for g.gather(&t.shards[shard], gatherPiece) {
	}
	return append(dst, bytes.Join(g.parts(), nil)...)
}

// all returns the records and the facts of every VM.
func (t *vmTester) all() (map[BIOSID]vmEntry, map[BIOSID]vmFacts) {
	entries, facts := map[BIOSID]vmEntry{}, map[BIOSID]vmFacts{}
	for i := range t.shards {
		t.shards[i].each(func(slot *vmSlot, f vmFacts) { entries[slot.id()], facts[slot.id()] = t.entry(slot.id()), f })
	}
	return entries, facts
}

func (e vmEntry) equal(o vmEntry) bool {
	same := func(a, b Record) bool {
		return a.Key == b.Key && a.Version == b.Version && bytes.Equal(a.Value, b.Value)
	}
	return same(e.registration, o.registration) && same(e.placement, o.placement)
}

func TestBlocksLoadAsTheyWereWritten(t *testing.T) {
	const vms = 5000
	table := sampleTable(vms, -1)
	for n := range 500 { // garbage, which is not written
		id := numberedBIOS(n)
		table.commit(id, sampleEntry(n+1, id))
	}
	next := &vmTester{d: table.d}
	eachShard(func(i int) {
		block := table.appendBlock([]byte("before"), i)
		if err := next.loadBlock(i, block[len("before"):], next.d, new([Buckets]bucket)); err != nil {
			t.Error(err)
		}
	})
	entries, facts := table.all()
	gotEntries, gotFacts := next.all()
	if !maps.Equal(facts, gotFacts) || !maps.EqualFunc(entries, gotEntries, vmEntry.equal) || len(entries) != vms {
		t.Errorf("%d VMs are loaded as %d others", len(entries), len(gotEntries))
	}
	if a, b := table.live.Load(), next.live.Load(); a != b || b == 0 {
		t.Errorf("%d VMs were registered, %d are", a, b)
	}
	for i := range next.shards {
		sh := &next.shards[i]
		if n := cap(sh.arena); n > len(sh.arena)*9/8+64 || sh.garbage != 0 {
			t.Errorf("shard %d has an arena of %d bytes with room for %d, %d of garbage", i, len(sh.arena), n, sh.garbage)
		}
	}
	id := numberedBIOS(vms + 1)
	next.commit(id, sampleEntry(0, id)) // and grows on
	if _, f := next.find(&id); f&factsLive == 0 {
		t.Error("a VM that came after loading is not found")
	}
}

// A block is whole whatever changes while it is collected: who was there all the time
// is in it, as they were at some moment, and who came or went may be.
func TestGatherWhileTheShardChanges(t *testing.T) {
	const shard = 9
	rng := rand.New(rand.NewPCG(1, 2))
	grown := 0
	for run := range 100 {
		table := sampleTable(200, shard)
		was, _ := table.all()
		ids := slices.SortedFunc(maps.Keys(was), func(a, b BIOSID) int { return bytes.Compare(a[:], b[:]) })
		seen := map[BIOSID][]vmEntry{}
		note := func() {
			entries, _ := table.all()
			for id, e := range entries {
				seen[id] = append(seen[id], e)
			}
		}
		note()
		gone, next := map[BIOSID]bool{}, 1_000_000
		var g vmGather
		arr := table.shards[shard].slots.Load()
		for g.gather(&table.shards[shard], 1+rng.IntN(40)) {
			id := ids[rng.IntN(len(ids))]
			switch rng.IntN(4) {
			case 0: // another entry, longer or shorter
				table.commit(id, sampleEntry(rng.IntN(100), id))
			case 1:
				slot, _ := table.find(&id)
				if gone[id] = true; slot != nil && slot.entry.Load() != noEntry {
					table.setFacts(slot, 0)
					table.forget(slot)
				}
			default: // so many more that the shard grows
				for more := rng.IntN(1 + max(run-40, 0)/4); more > 0; next++ {
					if id := numberedBIOS(next); int(hashBIOS(&id)>>56) == shard {
						table.commit(id, sampleEntry(next, id))
						more--
					}
				}
			}
			note()
		}
		if table.shards[shard].slots.Load() != arr {
			grown++
		}
		var restored vmTester
		if err := restored.loadBlock(shard, bytes.Join(g.parts(), nil), table.d, new([Buckets]bucket)); err != nil {
			t.Fatal(err)
		}
		restored.d = table.d
		got, _ := restored.all()
		for id, e := range got {
			if !slices.ContainsFunc(seen[id], e.equal) {
				t.Fatalf("VM %v is in the block as it never was", id)
			}
		}
		for id := range was {
			if _, ok := got[id]; !ok && !gone[id] {
				t.Fatalf("VM %v was there all the time and is not in the block", id)
			}
		}
	}
	if grown < 10 || grown > 90 {
		t.Errorf("the shard grew in %d of 100 runs: the test means to see both", grown)
	}
}

// A snapshot leaves nothing behind for each VM, which would be collected while questions wait.
func TestGatherLeavesNoGarbage(t *testing.T) {
	const shard = 9
	table := sampleTable(200, shard)
	var g vmGather
	allocs := testing.AllocsPerRun(10, func() {
		g.reset()
		for g.gather(&table.shards[shard], gatherPiece) {
		}
	})
	if allocs != 0 || g.count != 200 {
		t.Errorf("%d VMs are gathered with %v allocations", g.count, allocs)
	}
}

// Whatever bit of a block flips, every VM but one is told as it was, and nothing
// is told wrong.
func TestADamagedBitHurtsOneVM(t *testing.T) {
	const vms, shard = 20, 9
	table := sampleTable(vms, shard)
	want, _ := table.all()
	block := table.appendBlock(nil, shard)
	for bit := range 8 * len(block) {
		block[bit/8] ^= 1 << (bit % 8)
		sound, hurt := map[BIOSID]vmEntry{}, 0
		err := eachInBlock(block, table.d, func(id BIOSID, ok bool, e vmEntry) error {
			if ok {
				sound[id] = e
			} else {
				hurt++
			}
			if !ok && !e.equal(vmEntry{}) {
				t.Fatalf("bit %d: a damaged VM has records", bit)
			}
			return nil
		})
		// Where an entry ends can be told from itself, and how many there are is said twice.
		said := bit/8 < 4 || bit/8 >= 4+20*vms && bit/8 < 4+24*vms || bit/8 >= len(block)-4
		if err != nil || hurt > 1 || said && hurt > 0 || len(sound)+hurt != vms {
			t.Fatalf("bit %d of %d: %d VMs sound, %d hurt, %v", bit, 8*len(block), len(sound), hurt, err)
		}
		for id, e := range sound {
			if !e.equal(want[id]) {
				t.Fatalf("bit %d: VM %v passes for sound, with %v", bit, id, e)
			}
		}
		block[bit/8] ^= 1 << (bit % 8)
	}
}

func TestEachInBlockEndsWithAnError(t *testing.T) {
	table := sampleTable(5, 9)
	block := table.appendBlock(nil, 9)
	calls := 0
	err := eachInBlock(block, table.d, func(BIOSID, bool, vmEntry) error {
		calls++
		return errCorrupt
	})
	if !errors.Is(err, errCorrupt) || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	for _, b := range [][]byte{nil, {1, 2, 3}, block[:40]} {
		if err := eachInBlock(b, table.d, nil); err == nil {
			t.Errorf("a block of %d bytes is taken", len(b))
		}
	}
}

// rawBlock makes a block of ids and entries, whatever they are.
func rawBlock(ids []BIOSID, entries [][]byte) []byte {
	n := binary.LittleEndian.AppendUint32(nil, uint32(len(ids)))
	b, sums, ends := slices.Clone(n), []byte{}, []byte{}
	end := 0
	for i, id := range ids {
		b = append(b, id[:]...)
		sums = binary.LittleEndian.AppendUint32(sums, entrySum(id[:], entries[i]))
		end += len(entries[i])
		ends = binary.LittleEndian.AppendUint32(ends, uint32(end))
	}
	return slices.Concat(b, sums, ends, bytes.Join(entries, nil), n)
}

func TestBlocksThatContradictThemselvesAreRefused(t *testing.T) {
	shard := int(hashBIOS(new(BIOSID)) >> 56)
	table := sampleTable(2, shard)
	var ids []BIOSID
	var entries [][]byte
	table.shards[shard].each(func(slot *vmSlot, _ vmFacts) {
		ids = append(ids, slot.id())
		body := table.packed(slot)
		entries = append(entries, append([]byte{byte(len(body))}, body...))
	})
	elsewhere := numberedBIOS(0)
	for int(hashBIOS(&elsewhere)>>56) == shard {
		elsewhere[0]++
	}
	whole := rawBlock(ids, entries)
	longer := append([]byte{entries[1][0] + 1}, append(slices.Clone(entries[1][1:]), 0)...)
	for name, block := range map[string][]byte{
		"no bytes":               nil,
		"a byte more":            append(slices.Clone(whole), 0),
		"a byte less":            whole[:len(whole)-1],
		"a VM of another shard":  rawBlock([]BIOSID{ids[0], elsewhere}, entries),
		"a VM twice":             rawBlock([]BIOSID{ids[0], ids[0]}, entries),
		"no VM":                  rawBlock([]BIOSID{ids[0], {}}, entries),
		"an entry of no bytes":   rawBlock(ids, [][]byte{entries[0], {0}}),
		"an entry with a rest":   rawBlock(ids, [][]byte{entries[0], longer}),
		"bytes between entries":  rawBlock(ids, [][]byte{append(slices.Clone(entries[0]), 0), entries[1]}),
		"an entry cut":           rawBlock(ids, [][]byte{entries[0], entries[1][:len(entries[1])-1]}),
		"bytes behind the last":  slices.Insert(slices.Clone(whole), len(whole)-4, 0),
		"the last too long":      rawBlock(ids, [][]byte{entries[0], append(slices.Clone(entries[1]), 0)}),
		"numbers of another one": nil,
	} {
		d := sampleDictionary()
		if name == "numbers of another one" {
			block, d = whole, newDictionary()
		}
		var next vmTable
		if err := next.loadBlock(shard, block, d, new([Buckets]bucket)); err == nil {
			t.Errorf("%s: taken", name)
		}
		if err := next.loadBlock(shard, whole, table.d, new([Buckets]bucket)); err != nil || next.shards[shard].claimed != 2 {
			t.Errorf("%s: the shard is not empty again: %v", name, err)
		}
	}
}

// FuzzBlock loads blocks from anywhere: what loads is written as a block that
// loads as the same.
func FuzzBlock(f *testing.F) {
	const shard = 9
	for _, n := range []int{0, 1, 5} {
		table := sampleTable(n, shard)
		f.Add(table.appendBlock(nil, shard))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		block = block[:min(len(block), 1<<12)]
		d := sampleDictionary()
		visited := 0
		eachInBlock(block, d, func(BIOSID, bool, vmEntry) error {
			visited++
			if visited > len(block)/blockEntry {
				t.Fatalf("%d VMs in %d bytes", visited, len(block))
			}
			return nil
		})
		table := &vmTester{d: d}
		if table.loadBlock(shard, block, d, new([Buckets]bucket)) != nil {
			if table.live.Load() != 0 || table.shards[shard].claimed != 0 {
				t.Fatal("a block that is refused leaves VMs")
			}
			return
		}
		next := &vmTester{d: d}
		if err := next.loadBlock(shard, table.appendBlock(nil, shard), d, new([Buckets]bucket)); err != nil {
			t.Fatal(err)
		}
		entries, facts := table.all()
		gotEntries, gotFacts := next.all()
		if !maps.Equal(facts, gotFacts) || !maps.EqualFunc(entries, gotEntries, vmEntry.equal) {
			t.Errorf("%v and %v are loaded as %v and %v", entries, facts, gotEntries, gotFacts)
		}
	})
}

// Entries refer to a dictionary by number. Of any two tables, one loads from the
// other's blocks with the dictionary read back.
func TestBlocksLoadWithTheDictionaryReadBack(t *testing.T) {
	table := open(t, Config{})
	r := rand.New(rand.NewPCG(1, 1))
	tenants := []TenantID{{}, table.tenant(t, "acme"), table.tenant(t, "globex")}
	table.must(t, func(tx *Tx) error {
		for n := range 1000 {
			vm := VM{
				BIOS: numberedBIOS(n), Tenant: tenants[r.IntN(3)], Name: fmt.Sprint("vm ", n), UserData: "u"[:r.IntN(2)],
				OS: GuestOS(r.IntN(3)), Kind: AgentKind(r.IntN(3)), Version: []string{"", "12.0.1", "odd"}[r.IntN(3)],
				Path: Path{Host: fmt.Sprint("h", r.IntN(40)), Zone: "z"},
			}
			if _, err := tx.PutVM(vm); err != nil {
				return err
			}
		}
		return nil
	})
	d, err := readDictionary(table.symbols.append(nil))
	if err != nil {
		t.Fatal(err)
	}
	next := &vmTester{d: d}
	for i := range vmShards {
		if err := next.loadBlock(i, table.vms.appendBlock(nil, i), d, new([Buckets]bucket)); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 1000 {
		id := numberedBIOS(n)
		_, facts := table.vms.find(&id)
		_, got := next.find(&id)
		if was, is := table.entryOf(id), next.entry(id); !was.equal(is) || got != facts {
			t.Fatalf("VM %d is %v with facts %x, was %v with %x", n, is, got, was, facts)
		}
	}
}
