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
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

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
// milliseconds. Idle processors help it, and what they do is counted, too.
func collection() float64 {
	seconds := func() float64 {
		s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
		metrics.Read(s)
		return s[0].Value.Float64()
	}
	const cycles = 5
	runtime.GC()
	before := seconds()
	for range cycles {
		runtime.GC()
	}
	return (seconds() - before) * 1e3 / cycles
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

// benchSnapshot asks at a fixed rate, whether or not the answer before is there,
// with and without a snapshot being written, in turn.
func benchSnapshot(b *testing.B, table *store.Table, w World) {
	s, err := discovery.New(discovery.Config{Table: table})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ask(b, s, w, 1000)
	s.Wait()
	alone, beside := newHistogram(), newHistogram()
	var took []time.Duration
	for b.Loop() {
		for range 3 {
			stop := make(chan struct{})
			time.AfterFunc(2*time.Second, func() { close(stop) })
			askSteadily(s, w, alone, stop)
			took = append(took, besideSnapshot(b, table, func(stop chan struct{}) { askSteadily(s, w, beside, stop) }))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "snapshot-ms")
	for _, p := range []float64{50, 99, 99.9} {
		b.ReportMetric(float64(alone.ValueAtQuantile(p))/1e3, fmt.Sprintf("p%v-alone-µs", p))
		b.ReportMetric(float64(beside.ValueAtQuantile(p))/1e3, fmt.Sprintf("p%v-beside-µs", p))
	}
	b.ReportMetric(float64(beside.ValueAtQuantile(99))/float64(alone.ValueAtQuantile(99)), "p99-ratio")
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(10*time.Second), 3) }

// besideSnapshot writes a snapshot while fn runs, and returns how long it took.
func besideSnapshot(b *testing.B, table *store.Table, fn func(stop chan struct{})) time.Duration {
	b.Helper()
	err := table.Update(func(tx *store.Tx) error { // otherwise there is nothing to write
		_, err := tx.PutTenant(store.Tenant{ID: store.NewTenantID(), Name: fmt.Sprint("new ", rand.Uint64())})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() { fn(stop) })
	begin := time.Now()
	err = table.Snapshot(b.Context())
	took := time.Since(begin)
	close(stop)
	asking.Wait()
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// askSteadily asks 20,000 times a second. The time that a question takes counts
// from when it should have been asked.
func askSteadily(s *discovery.Selector, w World, took *hdrhistogram.Histogram, stop chan struct{}) {
	const every = 50 * time.Microsecond
	q := discovery.Query{Version: store.ProductVersion{Major: 12}, OS: store.OSServer}
	a := new(discovery.Answer)
	begin := time.Now()
	for due := every; ; due += every {
		select {
		case <-stop:
			return
		default:
		}
		q.BIOS = w.BIOS(rand.IntN(w.VMs))
		for time.Since(begin) < due {
		}
		s.Select(&q, a)
		_ = took.RecordValue(int64(time.Since(begin) - due))
	}
}
