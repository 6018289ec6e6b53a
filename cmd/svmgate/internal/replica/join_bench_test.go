package replica

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// BenchmarkJoin is an empty gateway that joins one with many VMs, over sockets of this
// machine, encrypted. With -memprofile it tells what each of the two allocates: what
// the one that is joined does is under servePull and tell.
func BenchmarkJoin(b *testing.B) {
	const vms, each = 200_000, 10_000
	keys := filepath.Join(b.TempDir(), "keys")
	check(b, os.WriteFile(keys, []byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), 0o600))
	donor := startReal(b, Config{Name: "donor", KeyFile: keys})
	for n := 0; n < vms; {
		check(b, donor.table.Update(func(tx *store.Tx) error {
			for range each {
				vm := store.VM{
					Name: fmt.Sprintf("web-%08d", n), OS: store.OSServer, Kind: store.AgentLinux, Version: "12.0.0.455",
					Path: store.Path{Host: fmt.Sprint("esx-", n%4000), Cluster: fmt.Sprint("c", n%200), Zone: "dc1"},
				}
				binary.BigEndian.PutUint64(vm.BIOS[:], uint64(n+1)*0x9e3779b97f4a7c15)
				if _, err := tx.PutVM(vm); err != nil {
					return err
				}
				n++
			}
			return nil
		}))
	}
	b.Run(fmt.Sprintf("vms=%d", vms), func(b *testing.B) {
		rows, bytes := donor.Stats().ServedRecords, donor.Stats().ServedBytes
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			runtime.GC()
			b.StartTimer()
			node := startReal(b, Config{Name: fmt.Sprint("node", i), KeyFile: keys, Seeds: []string{donor.Addr()}})
			for ready := false; !ready; ready, _ = node.Ready() {
				time.Sleep(time.Millisecond)
			}
			b.StopTimer()
			check(b, node.Stop(b.Context()))
			b.StartTimer()
		}
		rows, bytes = donor.Stats().ServedRecords-rows, donor.Stats().ServedBytes-bytes
		b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		b.ReportMetric(float64(rows), "rows")
		b.ReportMetric(float64(bytes)/float64(rows), "B/row")
	})
}
