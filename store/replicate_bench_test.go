package store

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

// cpuMeter reports the processor time that a benchmark took: other work of the
// machine does not count. It does if the garbage collector works.
type cpuMeter float64

func startMeter() cpuMeter { return cpuMeter(cpuSeconds()) }

func (m cpuMeter) report(b *testing.B, n int, what string) {
	b.ReportMetric((cpuSeconds()-float64(m))*1e9/float64(n), "cpu-ns/"+what)
}

// BenchmarkDigest is what keeping the digest adds to a record that is committed,
// and what asking for it costs.
func BenchmarkDigest(b *testing.B) {
	table := sharedTable()
	b.Run("keep/kind=vm", func(b *testing.B) {
		body := make([]byte, 0, 256)
		b.ReportAllocs()
		cpu := startMeter()
		for n := 0; b.Loop(); n++ {
			id := numberedBIOS(n % 1000)
			body = append(body[:0], table.packedOf(&id)...)
			table.recount(&id, body, body)
		}
		cpu.report(b, 2*b.N, "record") // a VM has two
	})
	b.Run("keep/kind=tenant", func(b *testing.B) {
		var rows []Record
		for _, id := range table.tenants {
			rows = append(rows, table.rows[Key{KindTenant, id}])
		}
		b.ReportAllocs()
		cpu := startMeter()
		for n := 0; b.Loop(); n++ {
			table.setRow(&rows[n%len(rows)])
		}
		cpu.report(b, b.N, "record")
	})
	b.Run("ask", func(b *testing.B) {
		var d [Buckets]uint64
		b.ReportAllocs()
		cpu := startMeter()
		for b.Loop() {
			table.Digest(&d)
		}
		cpu.report(b, b.N, "digest")
	})
}

// BenchmarkScanBucket reads all buckets one after the other.
func BenchmarkScanBucket(b *testing.B) {
	table := sharedTable()
	b.Run(fmt.Sprintf("vms=%d", table.vms), func(b *testing.B) {
		b.ReportAllocs()
		records, cpu := 0, startMeter()
		for n := 0; b.Loop(); n++ {
			table.ScanBucket(n%Buckets, func(Record) bool { records++; return true })
		}
		cpu.report(b, records, "record")
	})
	b.Run("tenants=10000", func(b *testing.B) {
		x := open(b, Config{})
		x.must(b, func(tx *Tx) error {
			for i := range 10_000 {
				id := TenantID(numberedBIOS(i))
				tx.PutTenant(Tenant{ID: id, Name: fmt.Sprint(i)})
				tx.SetActive(id, true)
				tx.SetToken(Token{Tenant: id, Current: [32]byte(append(id[:], id[:]...))})
			}
			return nil
		})
		records, cpu := 0, startMeter()
		for b.Loop() {
			for i := range Buckets {
				x.ScanBucket(i, func(Record) bool { records++; return true })
			}
		}
		cpu.report(b, records, "record")
	})
}

// BenchmarkClaim makes the slots of new VMs, in any order and as they come when a
// table is taken over: bucket by bucket.
func BenchmarkClaim(b *testing.B) {
	ids := make([]BIOSID, 1_000_000)
	for i := range ids {
		ids[i] = numberedBIOS(i)
	}
	claim := func(b *testing.B) {
		cpu := startMeter()
		for b.Loop() {
			table := new(vmTable)
			for i := range ids {
				table.claim(&ids[i])
			}
		}
		cpu.report(b, b.N*len(ids), "vm")
	}
	b.Run("order=any", claim)
	slices.SortStableFunc(ids, func(x, y BIOSID) int {
		return cmp.Compare(bucketOf(hashBIOS(&x)), bucketOf(hashBIOS(&y)))
	})
	b.Run("order=buckets", claim)
}

// BenchmarkForget forgets what there is in a table without tombstones, and in one
// that has a few everywhere.
func BenchmarkForget(b *testing.B) {
	table := sharedTable()
	b.Run("nothing", func(b *testing.B) {
		for b.Loop() {
			table.Forget(time.Now().Add(24 * time.Hour).UnixMilli())
		}
	})
	b.Run(fmt.Sprintf("in-every-bucket/vms=%d", table.vms), func(b *testing.B) {
		cpu := startMeter()
		for b.Loop() {
			for i := range Buckets {
				table.forgetIn(i, 0)
			}
		}
		cpu.report(b, b.N*Buckets, "bucket")
	})
}

// BenchmarkLoads applies the loads that a peer sends, of 4,000 SVMs, to a table with a
// data directory: nothing of it reaches the disk, and no view is built.
func BenchmarkLoads(b *testing.B) {
	const svms, batch = 4000, 1000
	appends := 0
	x := open(b, Config{Journal: openDir(b, b.TempDir()), OnAppend: func(int, time.Duration, error) { appends++ }})
	x.must(b, func(tx *Tx) error {
		for i := range svms {
			id := SVMID(numberedBIOS(i))
			if _, err := tx.ConfigureSVM(id, SVMConfig{Name: fmt.Sprint(i), Address: "10.9.0.7"}, Ready); err != nil {
				return err
			}
			if _, err := tx.ReportSVM(id, SVMFacts{Version: "6.0"}, 1); err != nil {
				return err
			}
		}
		return nil
	})
	x.Subscribe(func(*News) {})
	view, before := x.View(), appends
	list := make([]Record, batch)
	b.ReportAllocs()
	cpu := startMeter()
	for n := 0; b.Loop(); n++ {
		for i := range list {
			at := Version{Clock: clockAt(time.Now()) + uint64(i), Node: 9}
			row := loadRow{Connected: n, Reported: milliTime(at.Millis())}
			list[i] = Record{Key: Key{KindSVMLoad, numberedBIOS((n*batch + i) % svms)}, Version: at, Value: row.encode()}
		}
		if _, err := x.Apply(Batch{Records: list, From: "peer", Lenient: true}); err != nil {
			b.Fatal(err)
		}
	}
	if x.View() != view || appends != before {
		b.Errorf("%d writes; the view is another: %v", appends-before, x.View() != view)
	}
	cpu.report(b, b.N*batch, "record")
}
