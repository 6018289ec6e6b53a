package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// BenchmarkStore is what a table of the given number of VMs with names costs in a
// data directory: to write a snapshot of it, to start from that, to hold, and to
// ask while another is written.
func BenchmarkStore(b *testing.B) {
	for _, n := range slices.Compact([]int{min(vms(), 1_000_000), vms()}) {
		dir := filepath.Join(b.TempDir(), strconv.Itoa(n))
		w := World{Seed: 1, Tenants: min(n, 10_000), SVMs: min(n, 4000), VMs: n}
		table := openTable(b, dir)
		begin := time.Now()
		if err := w.Load(table); err != nil {
			b.Fatal(err)
		}
		loaded := time.Since(begin)
		if err := table.Snapshot(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("load/vms=%d", n), func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(n)/loaded.Seconds(), "VMs/s")
			b.ReportMetric(float64(table.Disk().SnapshotBytes)/float64(n), "disk-B/VM")
		})
		if n == vms() {
			b.Run(fmt.Sprintf("snapshot/vms=%d", n), func(b *testing.B) { benchSnapshot(b, table, w) })
		}
		if err := table.Close(); err != nil {
			b.Fatal(err)
		}
		table = nil
		runtime.GC()
		b.Run(fmt.Sprintf("start/vms=%d", n), func(b *testing.B) { benchStart(b, dir, n) })
		if err := os.RemoveAll(dir); err != nil { // the largest takes a gigabyte
			b.Fatal(err)
		}
	}
}

func openTable(tb testing.TB, dir string) *store.Table {
	tb.Helper()
	d, err := store.OpenDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	table, err := store.Open(store.Config{Journal: d})
	if err != nil {
		tb.Fatal(errors.Join(err, d.Close()))
	}
	return table
}

// A started process says what its start took and what it holds.
type started struct {
	OpenMillis float64 // until the table can be asked
	Resident   float64 // MiB, once it has been asked
	Collection float64 // ms of processor time of a cycle of the garbage collector
}

// benchStart starts processes that open the directory, one after the other. What
// they read is in the page cache.
func benchStart(b *testing.B, dir string, vms int) {
	var all []started
	for b.Loop() {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestStartedProcess$")
		cmd.Env = append(os.Environ(), "BENCH_START="+dir, "BENCH_START_VMS="+strconv.Itoa(vms), "GOGC=50") // as the daemon has it
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		var s started
		if err := json.Unmarshal(out[:strings.IndexByte(string(out), '\n')], &s); err != nil {
			b.Fatalf("%v in %q", err, out)
		}
		all = append(all, s)
	}
	median := func(of func(started) float64) float64 {
		slices.SortFunc(all, func(x, y started) int { return int(1e6 * (of(x) - of(y))) })
		return of(all[len(all)/2])
	}
	b.ReportMetric(median(func(s started) float64 { return s.OpenMillis }), "open-ms")
	b.ReportMetric(median(func(s started) float64 { return s.Resident }), "resident-MiB")
	b.ReportMetric(median(func(s started) float64 { return s.Collection }), "gc-cpu-ms")
}

// TestStartedProcess is the process of benchStart.
func TestStartedProcess(t *testing.T) {
	dir := os.Getenv("BENCH_START")
	if dir == "" {
		t.Skip("it is a part of BenchmarkStore")
	}
	n, _ := strconv.Atoi(os.Getenv("BENCH_START_VMS"))
	begin := time.Now()
	table := openTable(t, dir)
	open := time.Since(begin)
	defer table.Close()
	s, err := discovery.New(discovery.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ask(t, s, World{Seed: 1, VMs: n}, 100_000)
	warm(table, n)
	result := started{
		OpenMillis: float64(open.Microseconds()) / 1000,
		Collection: collection(), Resident: residentMiB(t),
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		t.Fatal(err)
	}
}

// ask asks about random VMs, each of which must be assigned an SVM.
func ask(tb testing.TB, s *discovery.Selector, w World, questions int) {
	tb.Helper()
	q := discovery.Query{Version: store.ProductVersion{Major: 12}, OS: store.OSServer}
	a := new(discovery.Answer)
	for range questions {
		q.BIOS = w.BIOS(rand.IntN(w.VMs))
		if s.Select(&q, a); a.Result != discovery.Assigned {
			tb.Fatalf("VM %v is answered %v", q.BIOS, a.Result)
		}
	}
}

// collection returns the processor time of a cycle of the garbage collector in
// milliseconds, the median of some. Idle processors help it, and what they do is counted, too.
func collection() float64 {
	seconds := func() float64 {
		s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
		metrics.Read(s)
		return s[0].Value.Float64()
	}
	runtime.GC()
	cycles := make([]float64, 11)
	for i := range cycles {
		before := seconds()
		runtime.GC()
		cycles[i] = (seconds() - before) * 1e3
	}
	slices.Sort(cycles)
	return cycles[len(cycles)/2]
}

func residentMiB(tb testing.TB) float64 {
	tb.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skipf("what a process holds is known on Linux only: %v", err)
	}
	_, line, _ := strings.Cut(string(status), "VmRSS:")
	var kib float64
	if _, err := fmt.Sscan(line, &kib); err != nil {
		tb.Fatal(err)
	}
	return kib / 1024
}

// benchSnapshot lets another process ask, with and without a snapshot being written,
// in turn; the result is the median p99 of either, since in some rounds the machine is
// busy with something else.
func benchSnapshot(b *testing.B, table *store.Table, w World) {
	s, err := discovery.New(discovery.Config{Table: table})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ask(b, s, w, 1000)
	s.Wait()
	asker := startAsker(b, s, w)
	pause, rounds := 2*time.Second, 10
	if testing.Short() {
		pause, rounds = 100*time.Millisecond, 1
	}
	var alone, beside, all []time.Duration // the p99 of each round
	for b.Loop() {
		for range rounds {
			alone = append(alone, percentile(asker.while(func() { time.Sleep(pause) }), 99))
			beside = append(beside, percentile(asker.while(func() { all = append(all, snapshot(b, table)) }), 99))
		}
	}
	b.Logf("p99 of each round, alone %v, beside a snapshot %v", alone, beside)
	a, c := percentile(alone, 50), percentile(beside, 50)
	b.ReportMetric(float64(percentile(all, 50).Milliseconds()), "snapshot-ms")
	b.ReportMetric(float64(a.Nanoseconds())/1e3, "p99-alone-µs")
	b.ReportMetric(float64(c.Nanoseconds())/1e3, "p99-beside-µs")
	b.ReportMetric(float64(c)/float64(a), "p99-ratio")
}

// percentile returns what p percent of the times are below; 0 if there are none.
func percentile(list []time.Duration, p int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(list))[len(list)*p/100]
}

// snapshot writes a snapshot, and returns how long it took.
func snapshot(b *testing.B, table *store.Table) time.Duration {
	b.Helper()
	err := table.Update(func(tx *store.Tx) error { // otherwise there is nothing to write
		_, err := tx.PutTenant(store.Tenant{ID: store.NewTenantID(), Name: fmt.Sprint("new ", rand.Uint64())})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	if err := table.Snapshot(b.Context()); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}
