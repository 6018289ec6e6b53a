package journals

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/svmgate/svmgate/bench"
	"github.com/svmgate/svmgate/store"
)

// A contender does one kind of work for a while: it returns how much it did, and
// records how long each piece took, in microseconds.
type contender struct {
	name string
	work func(d time.Duration, took *hdrhistogram.Histogram) (done int, err error)
}

// A series is what was measured of a contender.
type series struct {
	rate float64 // a second, the median of the slices
	took *hdrhistogram.Histogram
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 2) }

// alternate lets the contenders work in turn, in slices short enough for a disk
// that gets faster or slower to do so for all of them. The first slices do not
// count: they make files grow and caches warm.
func alternate(tb testing.TB, contenders []contender) []series {
	tb.Helper()
	rounds, length := 8, 750*time.Millisecond
	if testing.Short() {
		rounds, length = 2, 50*time.Millisecond
	}
	out := make([]series, len(contenders))
	rates := make([][]float64, len(contenders))
	for i := range out {
		out[i].took = newHistogram()
	}
	for slice := -1; slice < rounds; slice++ {
		for n := range contenders {
			i := n
			if slice%2 == 0 { // there and back, so that nobody is always first
				i = len(contenders) - 1 - n
			}
			took, start := newHistogram(), time.Now()
			done, err := contenders[i].work(length, took)
			if err != nil {
				tb.Fatalf("%s: %v", contenders[i].name, err)
			}
			if slice >= 0 {
				rates[i] = append(rates[i], float64(done)/time.Since(start).Seconds())
				out[i].took.Merge(took)
			}
		}
	}
	for i, r := range rates {
		slices.Sort(r)
		out[i].rate = (r[len(r)/2] + r[(len(r)-1)/2]) / 2
	}
	return out
}

// report makes a sub-benchmark of each series. The ratio is to the last.
func report(b *testing.B, what, unit string, contenders []contender, all []series) {
	for i, c := range contenders {
		s := all[i]
		line := row{what: what, unit: unit, who: c.name, series: s, ratio: s.rate / all[len(all)-1].rate}
		table = append(table, line)
		b.Run("engine="+c.name+"/"+what, func(b *testing.B) {
			b.ReportMetric(0, "ns/op") // an op is a slice
			b.ReportMetric(s.rate, unit+"/s")
			b.ReportMetric(float64(s.took.ValueAtQuantile(50)), "p50-µs")
			b.ReportMetric(float64(s.took.ValueAtQuantile(99)), "p99-µs")
			b.ReportMetric(float64(s.took.Max()), "max-µs")
			b.ReportMetric(line.ratio, "ratio")
		})
	}
}

// BenchmarkDurableWrites has 1, 64 and 1,024 writers each make one change after
// another to a table, waiting for each to be on disk: nine in ten move one of
// 100,000 VMs to another host, one in ten registers a new one.
func BenchmarkDurableWrites(b *testing.B) {
	world := bench.World{Seed: 1, Tenants: 1000, SVMs: 500, VMs: 100_000}
	if testing.Short() {
		world.VMs = 2000
	}
	tables := make([]*store.Table, len(Engines))
	for i, e := range Engines {
		tables[i] = openTable(b, e, filepath.Join(b.TempDir(), e.Name))
		defer tables[i].Close()
		if err := world.Load(tables[i]); err != nil {
			b.Fatal(err)
		}
	}
	load := newLoad(world)
	for _, writers := range []int{1, 64, 1024} {
		var contenders []contender
		for i, e := range Engines {
			contenders = append(contenders, contender{e.Name, func(d time.Duration, took *hdrhistogram.Histogram) (int, error) {
				return load.write(tables[i], writers, d, took)
			}})
		}
		report(b, fmt.Sprintf("writers=%d", writers), "writes", contenders, alternate(b, contenders))
	}
}

// A load is what the writers write, made in advance: making it costs nearly as
// much as writing it.
type load struct {
	vms   []store.VM
	paths []store.Path
}

func newLoad(world bench.World) *load {
	l := &load{vms: make([]store.VM, world.VMs), paths: make([]store.Path, world.SVMs)}
	for i := range l.vms {
		l.vms[i] = world.VM(i)
	}
	for i := range l.paths {
		l.paths[i] = world.SVM(i).Path
	}
	return l
}

// next returns one of the VMs on any host, or a new one.
func (l *load) next() store.VM {
	vm := l.vms[rand.IntN(len(l.vms))]
	vm.Path = l.paths[rand.IntN(len(l.paths))]
	if rand.IntN(10) == 0 {
		binary.LittleEndian.PutUint64(vm.BIOS[:], rand.Uint64())
		binary.LittleEndian.PutUint64(vm.ID[:], rand.Uint64())
	}
	return vm
}

// write lets so many goroutines write for a while.
func (l *load) write(table *store.Table, writers int, d time.Duration, took *hdrhistogram.Histogram) (done int, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	end := time.Now().Add(d)
	for range writers {
		all.Go(func() {
			mine, n := make([]int64, 0, 256), 0
			var failed error
			for before := time.Now(); failed == nil && before.Before(end); n++ {
				vm := l.next()
				failed = table.Update(func(tx *store.Tx) error {
					_, err := tx.PutVM(vm)
					return err
				})
				now := time.Now()
				mine = append(mine, now.Sub(before).Microseconds())
				before = now
			}
			mu.Lock()
			defer mu.Unlock()
			done += n
			err = errors.Join(err, failed)
			for _, us := range mine {
				_ = took.RecordValue(us)
			}
		})
	}
	all.Wait()
	return done, err
}

// BenchmarkAppend has one caller append groups of records to the bare journals,
// as a group commit does: what a table can at best achieve.
func BenchmarkAppend(b *testing.B) {
	journals := make([]store.Journal, len(Engines))
	for i, e := range Engines {
		w := begin(b, e, filepath.Join(b.TempDir(), e.Name), 0)
		journals[i] = w.journal
		defer w.journal.Close()
	}
	records := make([]store.Record, 1<<16)
	for i := range records {
		records[i] = numbered(i)
	}
	for _, group := range []int{1, 64, 1024} {
		var contenders []contender
		for i, e := range Engines {
			contenders = append(contenders, contender{e.Name, func(d time.Duration, took *hdrhistogram.Histogram) (int, error) {
				return repeat(d, took, group, func() error {
					from := rand.IntN(len(records) - group)
					return journals[i].Append(records[from : from+group])
				})
			}})
		}
		report(b, fmt.Sprintf("group=%d", group), "records", contenders, alternate(b, contenders))
	}
}

// repeat calls fn for a while; each call counts as n.
func repeat(d time.Duration, took *hdrhistogram.Histogram, n int, fn func() error) (done int, err error) {
	start := time.Now()
	for before := start; before.Sub(start) < d && err == nil; done += n {
		err = fn()
		now := time.Now()
		_ = took.RecordValue(now.Sub(before).Microseconds())
		before = now
	}
	return done, err
}

// BenchmarkDisk measures what the disk itself can do: 4 KiB written and on disk,
// by each way to keep a log. Files grow, or are reserved in advance, or are full
// of zeros in advance; they are synced with or without what is known of them.
func BenchmarkDisk(b *testing.B) {
	const size = 512 << 20
	nothing := func(*os.File) error { return nil }
	reserve := func(f *os.File) error { return syscall.Fallocate(int(f.Fd()), 0, 0, size) }
	zero := func(f *os.File) error {
		var err error
		for zeros, n := make([]byte, 1<<20), 0; n < size && err == nil; n += len(zeros) {
			_, err = f.Write(zeros)
		}
		return err
	}
	whole := func(f *os.File) error { return f.Sync() }
	data := func(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
	var contenders []contender
	for _, way := range []struct {
		name    string
		prepare func(*os.File) error
		sync    func(*os.File) error
	}{
		{"grows-fsync", nothing, whole},
		{"grows-fdatasync", nothing, data},
		{"reserved-fsync", reserve, whole},
		{"reserved-fdatasync", reserve, data},
		{"zeroed-fdatasync", zero, data},
	} {
		f, err := os.Create(filepath.Join(b.TempDir(), way.name))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		if err := errors.Join(way.prepare(f), f.Sync()); err != nil {
			b.Fatal(err)
		}
		contenders = append(contenders, contender{way.name, blocks(f, size, way.sync)})
	}
	report(b, "4KiB", "syncs", contenders, alternate(b, contenders))
}

// blocks returns work that writes one block after another, each synced.
func blocks(f *os.File, size int64, sync func(*os.File) error) func(time.Duration, *hdrhistogram.Histogram) (int, error) {
	block := make([]byte, 4096)
	for i := range block {
		block[i] = byte(rand.Uint32())
	}
	var at int64
	return func(d time.Duration, took *hdrhistogram.Histogram) (int, error) {
		return repeat(d, took, 1, func() error {
			if at+int64(len(block)) > size {
				return fmt.Errorf("%d bytes were not enough", size)
			}
			if _, err := f.WriteAt(block, at); err != nil {
				return err
			}
			at += int64(len(block))
			return sync(f)
		})
	}
}
