package store

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

// In -short mode tables have a twentieth of the VMs.
var benchVMs = flag.Int("store.vms", 1_000_000, "VMs in the tables of benchmarks")

func benchTable(b *testing.B) (tester, int) {
	b.Helper()
	vms := *benchVMs
	if testing.Short() {
		vms /= 20
	}
	table := open(b, Config{})
	const tenants, batch = 1000, 10_000
	ids := make([]TenantID, tenants)
	for i := range ids {
		ids[i] = table.tenant(b, fmt.Sprintf("tenant-%04d", i))
	}
	for n := 0; n < vms; n += batch {
		table.must(b, func(tx *Tx) error {
			for i := n; i < min(n+batch, vms); i++ {
				vm := VM{
					BIOS: numberedBIOS(i), Tenant: ids[i%tenants], OS: OSServer, Kind: AgentLinux, Version: "12.0.0.455",
					Name: fmt.Sprintf("customer-%04d-production-web-%010d.local", i%tenants, i),
					Path: Path{Host: fmt.Sprintf("esx-%04d", i%4000), Cluster: fmt.Sprint("c", i%200), Zone: "dc1"},
				}
				if _, err := tx.PutVM(vm); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return table, vms
}

// BenchmarkMemoryPerVM reports what a VM with a name of about 40 bytes takes: in
// slots, which questions read, and in arenas, which hold its records.
func BenchmarkMemoryPerVM(b *testing.B) {
	for b.Loop() {
		table, vms := benchTable(b)
		slots, arena := 0, 0
		for i := range table.vms.shards {
			shard := &table.vms.shards[i]
			arena += cap(shard.arena)
			if p := shard.slots.Load(); p != nil {
				slots += len(p.slots) * int(unsafe.Sizeof(vmSlot{}))
			}
		}
		b.ReportMetric(float64(slots)/float64(vms), "slot-B/VM")
		b.ReportMetric(float64(arena)/float64(vms), "arena-B/VM")
	}
}

// BenchmarkLookup looks up random VMs, one in ten of them unknown.
func BenchmarkLookup(b *testing.B) {
	table, vms := benchTable(b)
	keys := make([]BIOSID, 1<<20)
	for i := range keys {
		keys[i] = numberedBIOS(rand.IntN(vms + vms/9))
	}
	b.Run(fmt.Sprintf("vms=%d", vms), func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			found := 0
			for i := rand.IntN(len(keys)); pb.Next(); i++ {
				if _, ok := table.Lookup(&keys[i%len(keys)]); ok {
					found++
				}
			}
			_ = found
		})
	})
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
