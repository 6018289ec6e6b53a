package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func (x tester) digest() (d [Buckets]uint64) {
	x.Digest(&d)
	return d
}

// counted is the digest worked out from all records, and how many are tombstones.
func (x tester) counted() (d [Buckets]uint64, tombstones int) {
	for _, r := range x.all() {
		if r.Deleted() {
			tombstones++
		}
		if r.Key.Kind == KindSVMLoad {
			continue
		}
		value := xxhash.Sum64(r.Value)
		if r.Key.Kind == KindVM || r.Key.Kind == KindPlacement {
			value = 0
		}
		id := xxhash.Sum64(r.Key.ID[:])
		d[id>>52] += recordSum(id, r.Key.Kind, r.Version, value)
	}
	return d, tombstones
}

func (x tester) mustCount(t failer, when string) {
	t.Helper()
	want, tombstones := x.counted()
	if got := x.digest(); got != want {
		t.Fatalf("%s: the digest is not that of the records", when)
	}
	if got := x.Stats().Tombstones; got != tombstones {
		t.Fatalf("%s: %d tombstones are counted, there are %d", when, got, tombstones)
	}
}

// Whatever happens to a table, its digest is that of its records.
func TestDigestIsThatOfTheRecords(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(worldRecord, 1, 60).Draw(t, "records")
		x := openTable(t, "a")
		for len(records) > 0 {
			n := rapid.IntRange(1, len(records)).Draw(t, "batch")
			x.apply(t, records[:n]...)
			records = records[n:]
			x.mustCount(t, "after a batch")
			if rapid.Bool().Draw(t, "forget") {
				x.Forget(anyFloor.Draw(t, "floor"))
				x.mustCount(t, "after forgetting")
			}
		}
	})
}

// Tables that heard the same records have the same digest, whatever the order, and
// so they have when they forget what was deleted before the same floor.
func TestDigestDoesNotDependOnTheOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOfN(worldRecord, 1, 60).Draw(t, "records")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		a, b := openTable(t, "a"), openTable(t, "b")
		a.apply(t, records...)
		b.applyShuffled(t, r, records)
		if a.digest() != b.digest() {
			t.Fatal("the same records in another order have another digest")
		}
		floor := anyFloor.Draw(t, "floor")
		if x, y := a.Forget(floor), b.Forget(floor); x != y || a.digest() != b.digest() {
			t.Fatalf("two equal tables forget %d and %d tombstones; equal then: %v", x, y, a.digest() == b.digest())
		}
		if a.Forget(floor) != 0 {
			t.Fatal("what is forgotten is forgotten again")
		}
	})
}

// anyFloor is before or behind the moments of a world, which are of one millisecond.
var anyFloor = rapid.Custom(func(t *rapid.T) int64 {
	return int64(worldEpoch>>counterBits) + int64(rapid.IntRange(0, 1).Draw(t, "ms"))
})

// Tables that differ have digests that differ, in the buckets where they do.
func TestDigestTellsTablesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := worldRecord.Filter(func(r Record) bool { return lasts(r) }).Draw(t, "record")
		a, b := openTable(t, "a"), openTable(t, "b")
		a.apply(t, r)
		other := r
		other.Version.Clock++
		b.apply(t, other)
		x, y, none := a.digest(), b.digest(), [Buckets]uint64{}
		own := bucketOf(xxhash.Sum64(r.Key.ID[:]))
		for i := range x {
			if differ := x[i] != y[i]; differ != (i == own) || i != own && x[i] != none[i] {
				t.Fatalf("bucket %d (the record is in %d): %x and %x", i, own, x[i], y[i])
			}
		}
	})
}

// Merging makes an activation of two: its version does not tell what is in it.
func TestDigestTellsActivationsOfOneVersionApart(t *testing.T) {
	on, off := activationRow{Ever: true}, activationRow{Off: Version{Clock: worldEpoch, Node: 1}, Ever: true}
	r := Record{Key: Key{KindActivation, [16]byte{1}}, Version: Version{Clock: worldEpoch + 1, Node: 1}}
	a, b := open(t, Config{}), open(t, Config{})
	r.Value = on.encode()
	a.apply(t, r)
	r.Value = off.encode()
	b.apply(t, r)
	if a.digest() == b.digest() {
		t.Error("an active and an inactive tenant have the same digest")
	}
}

func TestDigestAfterARestart(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: openDir(t, dir)})
	x.must(t, furnish)
	doomed := x.tenant(t, "doomed")
	for i := range 300 {
		x.vm(t, numberedBIOS(i), doomed, "vm")
	}
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.deleteVM(t, numberedBIOS(7)) // is in the log
	x.apply(t, Record{Key: Key{Kind: 200, ID: [16]byte{1}}, Value: []byte("of a newer release")})
	want := x.digest()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, Config{Journal: openDir(t, dir)})
	x.mustCount(t, "after a restart")
	if x.digest() != want {
		t.Error("a restart changed the digest")
	}
}

// A damaged shard that is passed over leaves nothing in the digest.
func TestDigestOfADamagedBlock(t *testing.T) {
	x := open(t, Config{})
	id := x.tenant(t, "acme")
	for i := range 2000 {
		x.vm(t, numberedBIOS(i), id, "vm")
	}
	block := x.vms.appendBlock(nil, 3)
	k, _ := cutBlock(block)
	copy(k.ids[16*(k.count-1):], make([]byte, 16)) // the last VM has no id
	buckets := new([Buckets]bucket)
	if err := new(vmTable).loadBlock(3, block, x.symbols, buckets); err == nil {
		t.Fatal("a damaged block is loaded")
	}
	for i := range buckets {
		if buckets[i].sum != 0 || buckets[i].dead != 0 {
			t.Fatalf("bucket %d has %+v", i, buckets[i])
		}
	}
}

func TestScanBucketHasEverythingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := openTable(t, "a")
		x.apply(t, rapid.SliceOfN(worldRecord, 1, 60).Draw(t, "records")...)
		n := rapid.IntRange(0, 3000).Draw(t, "VMs")
		err := x.Update(func(tx *Tx) error {
			for i := range n {
				if _, err := tx.PutVM(VM{BIOS: numberedBIOS(i)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []Record
		for i := range Buckets {
			x.ScanBucket(i, func(r Record) bool {
				if bucketOf(xxhash.Sum64(r.Key.ID[:])) != i {
					t.Fatalf("%v is found in bucket %d", r.Key, i)
				}
				r.Value = slices.Clone(r.Value)
				got = append(got, r)
				return true
			})
		}
		slices.SortFunc(got, func(a, b Record) int { return a.Key.compare(b.Key) })
		want := slices.DeleteFunc(x.all(), passes)
		equal := slices.EqualFunc(got, want, func(a, b Record) bool {
			return a.Key == b.Key && a.Version == b.Version && string(a.Value) == string(b.Value)
		})
		if !equal {
			t.Fatalf("a scan of all buckets has %d records, the table %d, or they differ", len(got), len(want))
		}
	})
}

// Keeping the digest, and asking for it, allocates nothing.
func TestDigestDoesNotAllocate(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	x.vm(t, BIOSID{1}, TenantID{}, "vm")
	id := BIOSID{1}
	body := slices.Clone(x.packedOf(&id))
	row := x.record(Key{KindTenant, x.Tenants()[0].ID})
	var d [Buckets]uint64
	n := testing.AllocsPerRun(100, func() {
		x.recount(&id, body, body)
		x.setRow(&row)
		x.Digest(&d)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What SVMs say of their load reaches neither the disk nor the view, whoever sends it.
func TestLoadsOfPeersPass(t *testing.T) {
	appends := 0
	x := open(t, Config{Journal: &memoryJournal{}, OnAppend: func(int, time.Duration, error) { appends++ }})
	x.svm(t, SVMID{1}, Ready, false)
	x.report(t, SVMID{1}, SVMFacts{}, 1)
	view, digest := x.View(), x.digest()
	appends = 0
	row := loadRow{Connected: 7, Reported: Time{time.Now()}}
	x.apply(t, Record{Key: Key{KindSVMLoad, SVMID{1}}, Version: Version{Clock: clockAt(time.Now()) + 1<<counterBits, Node: 7}, Value: row.encode()})
	if svm, _ := x.SVM(SVMID{1}); svm.ConnectedAgents != 7 {
		t.Errorf("the SVM has %d agents, want 7", svm.ConnectedAgents)
	}
	if x.View() != view || appends != 0 || x.digest() != digest {
		t.Errorf("%d writes; another view: %v; another digest: %v", appends, x.View() != view, x.digest() != digest)
	}
}

// Gateways of different releases compare these: they never change.
func TestDigestIsTheSameInEveryRelease(t *testing.T) {
	x := open(t, Config{})
	at := Version{Clock: worldEpoch, Node: 7}
	placement := placementRow{Version: "12.0"}
	x.apply(t,
		Record{Key: Key{KindPlacement, [16]byte{1}}, Version: at, Value: placement.encode()},
		Record{Key: Key{KindVM, [16]byte{2}}, Version: at},
		Record{Key: Key{200, [16]byte{3}}, Version: at, Value: []byte("x")})
	got := map[int]uint64{}
	for i, sum := range x.digest() {
		if sum != 0 {
			got[i] = sum
		}
	}
	want := map[int]uint64{1729: 2274774391776125099, 2161: 7807734942211406715, 2652: 6985374945046008446}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("buckets (-want +got):\n%s", diff)
	}
}

// Of records that differ in little the sums differ in half of their bits.
func TestRecordSumsSpread(t *testing.T) {
	const n = 1 << 16
	seen, ones := map[uint64]bool{}, [64]int{}
	for i := range uint64(n) {
		v := Version{Clock: worldEpoch + i/4<<(i%4*8), Node: i % 3}
		sum := recordSum(i%5<<32, Kind(1+i%7), v, i%2)
		seen[sum] = true
		for bit := range ones {
			ones[bit] += int(sum >> bit & 1)
		}
	}
	for bit, count := range ones {
		if count < n*48/100 || count > n*52/100 {
			t.Errorf("bit %d is set in %d of %d", bit, count, n)
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d are different", len(seen), n)
	}
}

// Who serves a peer scans every bucket: what that left would have to be collected.
func TestScanBucketDoesNotAllocate(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	for n, vms := 0, 0; vms < 64; n++ {
		if id := numberedBIOS(n); bucketOf(hashBIOS(&id)) == 7 {
			x.vm(t, id, TenantID{}, fmt.Sprint("vm-", n))
			vms++
		}
	}
	records := 0
	fn := func(Record) bool { records++; return true }
	// Memory that was used before is thrown away now and then: at random under the race detector.
	if n := testing.AllocsPerRun(100, func() { x.ScanBucket(7, fn) }); n > 5 || records < 101*64 {
		t.Errorf("%v allocations for %d records", n, records/101)
	}
}
