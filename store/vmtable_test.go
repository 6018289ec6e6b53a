package store

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// modelVM is what the model of the VM table has for each VM.
type modelVM struct {
	facts        vmFacts
	registration string
	placement    string
}

// A vmTester is a VM table with a dictionary of its own.
type vmTester struct {
	vmTable
	d *dictionary
}

func newVMTester() *vmTester { return &vmTester{d: newDictionary()} }

// set writes a VM to the table as commit does; facts without factsLive remove it.
func (t *vmTester) set(id BIOSID, m modelVM, at uint64) {
	e := vmEntry{
		registration: Record{Version: Version{Clock: at, Node: 1}, Value: []byte(m.registration)},
		placement:    Record{Version: Version{Clock: at, Node: 2}, Value: []byte(m.placement)},
	}
	slot := t.claim(&id)
	t.setPacked(slot, t.d.pack(&e))
	t.setFacts(slot, m.facts)
}

func (t *vmTester) entry(id BIOSID) vmEntry {
	slot, _ := t.find(&id)
	e, err := t.d.unpack(id, t.packed(slot))
	if err != nil {
		panic(err)
	}
	return e
}

func (t *vmTester) check(tb testing.TB, id BIOSID, want modelVM) {
	tb.Helper()
	slot, facts := t.find(&id)
	if slot == nil || facts != want.facts|factsClaimed || slot.id() != id {
		tb.Fatalf("find(%v) = %v, %x; want %x", id, slot, facts, want.facts)
	}
	e := t.entry(id)
	if string(e.registration.Value) != want.registration || string(e.placement.Value) != want.placement {
		tb.Fatalf("%v has records %q and %q, want %+v", id, e.registration.Value, e.placement.Value, want)
	}
	if e.registration.Key != (Key{KindVM, id}) || e.placement.Version.Node != 2 {
		tb.Fatalf("%v has records of %v and version %v", id, e.registration.Key, e.placement.Version)
	}
}

// 300,000 inserts, changes and deletions agree with a map.
func TestVMTableAgreesWithAMap(t *testing.T) {
	ops := 300_000
	if testing.Short() {
		ops = 60_000
	}
	table := newVMTester()
	model := map[BIOSID]modelVM{}
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for op := range ops {
		id := numberedBIOS(r.IntN(ops / 4))
		m := modelVM{factsClaimed, "", ""}
		if r.IntN(4) > 0 {
			m.facts = packFacts(r.Uint32()&MaxTenants, r.Uint32()&MaxPaths, r.Uint32()&MaxVersions, OSDesktop, AgentWindows)
			m.registration, m.placement = strings.Repeat("r", r.IntN(60)), strings.Repeat("p", r.IntN(60))
		}
		table.set(id, m, uint64(op+1))
		model[id] = m
		if op%100 == 0 {
			table.check(t, id, m)
		}
	}
	live, bytes := 0, 0
	for id, m := range model {
		table.check(t, id, m)
		bytes += 24 + len(m.registration) + len(m.placement)
		if m.facts&factsLive != 0 {
			live++
		}
	}
	if got := int(table.live.Load()); got != live {
		t.Errorf("the table counts %d VMs, want %d", got, live)
	}
	if slot, _ := table.find(&BIOSID{1}); slot != nil {
		t.Error("an id that was never there is found")
	}
	arena := 0
	for i := range table.shards {
		arena += len(table.shards[i].arena)
		if n := int64(cap(table.shards[i].arena)); n > table.largest.Load() {
			t.Errorf("an arena of %d bytes is larger than the largest", n)
		}
	}
	if most := bytes*9/8 + vmShards*1024; arena > most {
		t.Errorf("arenas have %d bytes for %d of records: garbage is not collected", arena, bytes)
	}
}

// What a question needs takes at most 64 bytes a VM at every size, just after
// growing, too: a part of the slots, and the versions in the arena.
func TestAVMTakesAtMost64BytesAtEverySize(t *testing.T) {
	const versions = 12 // 8 of a clock, the others are small numbers
	vms := 200_000
	if testing.Short() {
		vms = 40_000
	}
	var table vmTable
	slots := 0
	for n := 1; n <= vms; n++ {
		id := numberedBIOS(n)
		sh := table.shard(hashBIOS(&id))
		slots -= sh.slotBytes()
		table.claim(&id)
		slots += sh.slotBytes()
		if got := slots/n + versions; n > 4000 && got > 64 {
			t.Fatalf("%d VMs take %d bytes each", n, got)
		}
	}
	if got := slots / vms; got < 40 {
		t.Errorf("slots take %d bytes a VM: their load is higher than measured to be good", got)
	}
}

// VMs whose hashes collide at the very end of a shard, more of them than homes
// and tail have room for, are all found, and cost neither time nor memory beyond
// what they are.
func TestCollisionsAtTheEndOfAShard(t *testing.T) {
	var table vmTable
	var ids []BIOSID
	for n := 0; len(ids) < 600; n++ {
		id := numberedBIOS(n)
		if hash := hashBIOS(&id); hash>>56 != 7 || hash>>44&0xfff < 0xf00 { // a sixteenth of one shard
			continue
		}
		ids = append(ids, id)
		table.setFacts(table.claim(&id), packFacts(uint32(len(ids)), 0, 0, 0, 0))
	}
	for i := range ids {
		if _, facts := table.find(&ids[i]); facts.tenant() != uint32(i+1) {
			t.Fatalf("VM %d has facts %x", i, facts)
		}
	}
	if got := table.shards[7].slotBytes() / len(ids); got > 200 {
		t.Errorf("VMs that collide take %d bytes each", got)
	}
	for n := range 1000 { // and who is not there is not found
		id := BIOSID{1, byte(n), byte(n >> 8)}
		if slot, _ := table.find(&id); slot != nil {
			t.Fatalf("%v is found", id)
		}
	}
	got := table.page(BIOSID{}, 1000)
	slices.SortFunc(ids, func(a, b BIOSID) int { return placeOf(a).compare(placeOf(b)) })
	if !slices.Equal(got, ids) {
		t.Error("they are listed in another order")
	}
}

// A shard that made room does not grow while that lasts.
func TestReservedRoomLasts(t *testing.T) {
	const n = 1000
	var sh vmShard
	var table vmTable
	table.shards[7].reserve(n)
	arr := table.shards[7].slots.Load()
	for i, found := 0, 0; found < n; i++ {
		if id := numberedBIOS(i); hashBIOS(&id)>>56 == 7 {
			table.claim(&id)
			found++
		}
	}
	if table.shards[7].slots.Load() != arr {
		t.Error("the shard grew")
	}
	if sh.reserve(0); sh.slotBytes() > 1<<10 {
		t.Errorf("no VMs take %d bytes", sh.slotBytes())
	}
}

// Whoever takes over a table bucket by bucket finds a free slot about as soon as if
// the VMs came in any order, and needs no more slots in the end.
func TestTakingOverBucketByBucket(t *testing.T) {
	const n = 4000
	var list []uint64 // hashes, of one shard
	ids := map[uint64]BIOSID{}
	for i := 0; len(list) < n; i++ {
		if id := numberedBIOS(i); hashBIOS(&id)>>56 == 7 {
			list = append(list, hashBIOS(&id))
			ids[hashBIOS(&id)] = id
		}
	}
	slices.SortStableFunc(list, func(a, b uint64) int { return cmp.Compare(bucketOf(a), bucketOf(b)) })
	var table vmTable
	probed := 0
	for _, hash := range list {
		id := ids[hash]
		slot := table.claim(&id)
		arr := table.shards[7].slots.Load()
		at := arr.home(hash)
		for ; &arr.slots[at] != slot; at++ {
			probed++
		}
	}
	if probed > 100*n {
		t.Errorf("%d slots looked at for each VM, want at most 100", probed/n)
	}
	if slots := len(table.shards[7].slots.Load().slots); slots > n*2 {
		t.Errorf("%d slots for %d VMs", slots, n)
	}
}

// A VM that is deleted and comes back, over and over, has one slot and leaves no
// garbage behind.
func TestComingBackTakesNoMoreRoom(t *testing.T) {
	table := newVMTester()
	id := numberedBIOS(1)
	sh := table.shard(hashBIOS(&id))
	live := modelVM{packFacts(3, 2, 1, OSServer, AgentLinux), "registration", "placement"}
	for n := range 10_000 {
		table.set(id, live, uint64(2*n+1))
		table.check(t, id, live)
		table.set(id, modelVM{facts: factsClaimed}, uint64(2*n+2))
	}
	if sh.claimed != 1 || cap(sh.arena) > 1<<10 || table.live.Load() != 0 {
		t.Errorf("one VM has %d slots and %d bytes; %d are counted", sh.claimed, cap(sh.arena), table.live.Load())
	}
}

func TestFactsKeepTheirLimits(t *testing.T) {
	s := Slot{facts: packFacts(MaxTenants, MaxPaths, MaxVersions, 3, 3)}
	if s.Tenant() != MaxTenants || s.Path() != MaxPaths || s.Version() != MaxVersions || s.OS() != 3 || s.Kind() != 3 {
		t.Errorf("the largest facts read as %d %d %d %d %d", s.Tenant(), s.Path(), s.Version(), s.OS(), s.Kind())
	}
	for i, f := range []vmFacts{
		packFacts(MaxTenants, 0, 0, 0, 0), packFacts(0, MaxPaths, 0, 0, 0), packFacts(0, 0, MaxVersions, 0, 0),
		packFacts(0, 0, 0, 3, 0), packFacts(0, 0, 0, 0, 3),
	} {
		s := Slot{facts: f}
		for j, n := range []int{s.Tenant(), s.Path(), s.Version(), int(s.OS()), int(s.Kind())} {
			if (n != 0) != (i == j) {
				t.Errorf("field %d of facts changes field %d to %d", i, j, n)
			}
		}
	}
}

// While a shard grows, again and again, a reader never misses what was there
// before.
func TestGrowingHidesNothing(t *testing.T) {
	var ids []BIOSID // of one shard
	for n := 0; len(ids) < 1000; n++ {
		if id := numberedBIOS(n); hashBIOS(&id)>>56 == 7 {
			ids = append(ids, id)
		}
	}
	var shared atomic.Pointer[vmTable]
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !done.Load() {
			if table := shared.Load(); table != nil {
				if _, facts := table.find(&ids[0]); facts&factsLive == 0 {
					t.Error("a VM that was there before is not found")
					return
				}
			}
		}
	})
	for range 40 {
		table := new(vmTable)
		for i := range ids {
			table.setFacts(table.claim(&ids[i]), packFacts(1, 0, 0, 0, 0))
			if i == 0 {
				shared.Store(table)
			}
		}
	}
	done.Store(true)
	wg.Wait()
}

// A VM that moves to and fro is in one place or the other, never half in both.
func TestFactsAreNeverTorn(t *testing.T) {
	here := packFacts(MaxTenants, 0, MaxVersions, 0, 3)
	there := packFacts(0, MaxPaths, 0, 3, 0)
	id := numberedBIOS(0)
	var table vmTable
	slot := table.claim(&id)
	table.setFacts(slot, here)
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !done.Load() {
			if _, facts := table.find(&id); facts != here && facts != there {
				t.Errorf("the VM is seen with facts %x, which are neither %x nor %x", facts, here, there)
				return
			}
		}
	})
	for range 200_000 {
		table.setFacts(slot, there)
		table.setFacts(slot, here)
	}
	done.Store(true)
	wg.Wait()
	if n := table.live.Load(); n != 1 {
		t.Errorf("the table counts %d VMs, want 1", n)
	}
}

// A VM's records are written to the arena once: an import leaves no garbage.
func TestNewVMsLeaveNoGarbage(t *testing.T) {
	table := open(t, Config{})
	table.must(t, func(tx *Tx) error {
		for n := range 1000 {
			if _, err := tx.PutVM(VM{BIOS: numberedBIOS(n), Name: "vm", Version: "12.0"}); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range table.vms.shards {
		if n := table.vms.shards[i].garbage; n != 0 {
			t.Fatalf("shard %d has %d bytes of garbage after an import", i, n)
		}
	}
}

// Compaction of a shard's arena keeps every record, tombstones included, and
// does not touch values that were handed out before.
func TestCompactionKeepsEverything(t *testing.T) {
	table := newVMTester()
	model := map[BIOSID]modelVM{}
	for n := 0; len(model) < 200; n++ {
		id := numberedBIOS(n)
		if hashBIOS(&id)>>56 != 7 { // one shard only
			continue
		}
		model[id] = modelVM{packFacts(1, 2, 3, 0, 0), fmt.Sprint("registration ", n), fmt.Sprint("placement ", n)}
		if n%3 == 0 {
			model[id] = modelVM{facts: factsClaimed} // a tombstone
		}
		table.set(id, model[id], 1)
	}
	shard := &table.shards[7]
	some := slices.Collect(maps.Keys(model))[0]
	before := table.entry(some)
	want := string(before.registration.Value)
	compactions := 0
	for i := range 1000 {
		size := len(shard.arena)
		model[some] = modelVM{packFacts(1, 2, 3, 0, 0), strings.Repeat("x", 1000+i%2), ""}
		table.set(some, model[some], uint64(i+2))
		if len(shard.arena) < size {
			compactions++
		}
	}
	if compactions == 0 {
		t.Fatalf("1000 rewrites of 1 kB left an arena of %d bytes, never compacted", len(shard.arena))
	}
	full := len(shard.arena)
	for i := range 1000 { // of one length, over one another
		model[some] = modelVM{packFacts(1, 2, 3, 0, 0), strings.Repeat(string(rune('a'+i%26)), 1000+999%2), ""}
		table.set(some, model[some], uint64(i+2000))
	}
	if len(shard.arena) > full+16 {
		t.Errorf("1000 rewrites of one length made the arena grow from %d to %d bytes", full, len(shard.arena))
	}
	for id, m := range model {
		table.check(t, id, m)
	}
	if string(before.registration.Value) != want {
		t.Errorf("a value that was read before is now %q, was %q", before.registration.Value, want)
	}
}
