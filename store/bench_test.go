package store

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// In -short mode tables have a twentieth of the VMs.
var benchVMs = flag.Int("store.vms", 1_000_000, "VMs in the tables of benchmarks")

const benchTenants = 1000

// A bigTable is what benchmarks share.
type bigTable struct {
	*Table
	vms     int
	tenants []TenantID
	bytes   uint64 // of the heap, lists of tenants included
}

var sharedTable = sync.OnceValue(func() *bigTable {
	vms := *benchVMs
	if testing.Short() {
		vms /= 20
	}
	before := heapBytes()
	b := newBigTable(vms)
	b.VMs(BIOSID{}, &b.tenants[0], 1)
	b.bytes = heapBytes() - before
	return b
})

func newBigTable(vms int) *bigTable {
	b := &bigTable{vms: vms, tenants: make([]TenantID, benchTenants)}
	b.Table, _ = Open(Config{})
	err := b.Update(func(tx *Tx) error {
		for i := range b.tenants {
			b.tenants[i] = NewTenantID()
			tx.PutTenant(Tenant{ID: b.tenants[i], Name: fmt.Sprintf("tenant-%04d", i), Discovery: DefaultDiscovery()})
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	for n := range b.vms {
		b.commit(n)
	}
	return b
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// commit writes the nth VM, with a name of 12 bytes, as PutVM and a commit would:
// those take minutes for ten million.
func (b *bigTable) commit(n int) {
	id := numberedBIOS(n)
	at := Version{Clock: worldEpoch + uint64(n)<<6, Node: b.clock.node}
	row := vmRow{
		Since: Version{at.Clock - 1, at.Node}, Tenant: b.tenants[n%benchTenants], ID: VMID(id),
		Name: fmt.Sprintf("web-%08d", n), Created: milliTime(at.Millis()),
	}
	place := placementRow{
		Path: Path{Host: fmt.Sprint("esx-", n%4000), Cluster: fmt.Sprint("c", n%200), Zone: "dc1"},
		OS:   OSServer, Kind: AgentLinux, Version: "12.0.0.455",
	}
	var staged stage
	staged.put(Record{Key: Key{KindVM, id}, Version: at, Value: row.encode()})
	staged.put(Record{Key: Key{KindPlacement, id}, Version: Version{at.Clock + 1, at.Node}, Value: place.encode()})
	if err := b.packVMs(&staged); err != nil {
		panic(err)
	}
	b.writeVMs()
	b.packing.forget()
}

// BenchmarkMemoryPerVM reports what a VM takes: in slots, which questions read;
// in arenas, which hold its records; and in all, with the dictionary and the
// lists of tenants. The peak is that of the process while it made the table.
func BenchmarkMemoryPerVM(b *testing.B) {
	table := sharedTable()
	var slots, arena int
	for b.Loop() {
		slots, arena = 0, 0
		for i := range table.Table.vms.shards {
			shard := &table.Table.vms.shards[i]
			arena += cap(shard.arena)
			slots += shard.slotBytes()
		}
	}
	b.ReportMetric(float64(slots)/float64(table.vms), "slot-B/VM")
	b.ReportMetric(float64(arena)/float64(table.vms), "arena-B/VM")
	b.ReportMetric(float64(table.bytes)/float64(table.vms), "all-B/VM")
	b.ReportMetric(float64(usage().Maxrss)/1024, "peak-rss-MiB")
}

func (sh *vmShard) slotBytes() int {
	if arr := sh.slots.Load(); arr != nil {
		return len(arr.slots) * int(unsafe.Sizeof(vmSlot{}))
	}
	return 0
}

// BenchmarkGC reports what a cycle of the garbage collector costs beside the
// table.
func BenchmarkGC(b *testing.B) {
	table := sharedTable()
	runtime.GC()
	before := gcSeconds()
	for b.Loop() {
		runtime.GC()
	}
	b.ReportMetric((gcSeconds()-before)*1e3/float64(b.N), "gc-cpu-ms")
	runtime.KeepAlive(table)
}

// gcSeconds is the processor time that the collector took from the program;
// what it found idle is counted, too, since runtime.GC makes it work at once.
func gcSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64()
}

// BenchmarkLookup looks up random VMs, beside a load from a random place of as
// much memory as the slots take. Of dependent ones each has to wait for the one
// before, which is what a question feels.
func BenchmarkLookup(b *testing.B) {
	table := sharedTable()
	hits, misses := make([]BIOSID, 1<<20), make([]BIOSID, 1<<20)
	for i := range hits {
		hits[i], misses[i] = numberedBIOS(rand.IntN(table.vms)), numberedBIOS(table.vms+rand.IntN(table.vms))
	}
	for _, bm := range []struct {
		name string
		keys []BIOSID
	}{{"hit", hits}, {"miss", misses}} {
		b.Run(fmt.Sprintf("%s/vms=%d", bm.name, table.vms), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				table.Lookup(&bm.keys[i&(1<<20-1)])
			}
		})
		b.Run(fmt.Sprintf("%s/vms=%d/dependent", bm.name, table.vms), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				slot, _ := table.Lookup(&bm.keys[i&(1<<20-1)])
				i += slot.Version() & 1
			}
		})
	}
	memory := make([]uint64, 1<<10+40*table.vms/8)
	for i := range memory {
		memory[i] = uint64(i) // so that it is there
	}
	b.Run(fmt.Sprintf("random-load/vms=%d/dependent", table.vms), func(b *testing.B) {
		at := uint64(1)
		for b.Loop() {
			at = (at + memory[at%uint64(len(memory))]) * 0x9e3779b97f4a7c15
		}
		runtime.KeepAlive(at)
	})
}

// BenchmarkListTenant returns a page of a tenant's VMs, and a page of all.
func BenchmarkListTenant(b *testing.B) {
	table := sharedTable()
	for _, tenant := range []*TenantID{&table.tenants[7], nil} {
		of := "tenant"
		if tenant == nil {
			of = "all"
		}
		b.Run(fmt.Sprintf("of=%s/vms=%d/page=100", of, table.vms), func(b *testing.B) {
			b.ReportAllocs()
			after := BIOSID{}
			for b.Loop() {
				page := table.VMs(after, tenant, 100)
				if after = (BIOSID{}); len(page) == 100 {
					after = page[99].BIOS
				}
			}
		})
	}
}

// BenchmarkBlocks writes all shards as blocks, and loads them on every core.
func BenchmarkBlocks(b *testing.B) {
	table := sharedTable()
	blocks := make([][]byte, vmShards)
	b.Run(fmt.Sprintf("write/vms=%d", table.vms), func(b *testing.B) {
		cpu := cpuSeconds()
		for b.Loop() {
			var buf []byte
			for i := range blocks {
				buf = table.Table.vms.appendBlock(buf[:0], i)
			}
		}
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/table")
		b.ReportMetric((cpuSeconds()-cpu)/float64(b.N), "cpu-s/table")
	})
	size := 0
	for i := range blocks {
		blocks[i] = table.Table.vms.appendBlock(nil, i)
		size += len(blocks[i])
	}
	dict := table.symbols.append(nil)
	b.Run(fmt.Sprintf("load/vms=%d", table.vms), func(b *testing.B) {
		cpu := cpuSeconds()
		for b.Loop() {
			d, err := readDictionary(dict)
			if err != nil {
				b.Fatal(err)
			}
			next, buckets := new(vmTable), new([Buckets]bucket)
			eachShard(func(i int) {
				if err := next.loadBlock(i, blocks[i], d, buckets); err != nil {
					b.Error(err)
				}
			})
		}
		b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/table")
		b.ReportMetric((cpuSeconds()-cpu)/float64(b.N), "cpu-s/table")
		b.ReportMetric(float64(size+len(dict))/float64(table.vms), "disk-B/VM")
	})
}

// cpuSeconds is the processor time of this process, which says what work costs
// on a machine that has other work to do.
func cpuSeconds() float64 {
	u := usage()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func usage() (u syscall.Rusage) {
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u
}

// eachShard calls fn for every shard, on all cores.
func eachShard(fn func(shard int)) {
	var wg sync.WaitGroup
	cores := runtime.GOMAXPROCS(0)
	for core := range cores {
		wg.Go(func() {
			for i := core; i < vmShards; i += cores {
				fn(i)
			}
		})
	}
	wg.Wait()
}

// BenchmarkGroup makes the changes of 512 callers as one group, without a journal
// and without callers: it is what a leader has to do for each of them. As in
// DurableWrites of bench/journals, nine in ten move a VM, one in ten registers one.
func BenchmarkGroup(b *testing.B) {
	const size = 512
	table := newBigTable(min(*benchVMs, 100_000))
	waiting := make([]*change, size)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range waiting {
			vm, _ := table.VM(numberedBIOS(rand.IntN(table.vms)))
			vm.Path.Host = fmt.Sprint("esx-", rand.IntN(4000))
			if i%10 == 0 {
				vm.BIOS, vm.ID = BIOSID(NewVMID()), NewVMID()
			}
			waiting[i] = &change{fn: func(tx *Tx) error { _, err := tx.PutVM(vm); return err }}
		}
		b.StartTimer()
		for rest := waiting; len(rest) > 0; {
			rest = table.group(rest)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*size), "us/change")
}

// BenchmarkUpdate registers VMs in changes of a thousand, without a journal.
func BenchmarkUpdate(b *testing.B) {
	table := open(b, Config{})
	id := table.tenant(b, "acme")
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		table.must(b, func(tx *Tx) error {
			for i := range 1000 {
				if _, err := tx.PutVM(VM{BIOS: numberedBIOS(n*1000 + i), Tenant: id, Name: "vm", Version: "12.0"}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*1000), "us/VM")
}
