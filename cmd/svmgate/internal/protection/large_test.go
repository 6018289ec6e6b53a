package protection

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

var large = flag.Int("protection.vms", 20_000, "how many `VMs` TestLargeReport and TestMidnight have")

// reportHeap is how much memory a report may take while it is written, in bytes,
// however many VMs it is about.
const reportHeap = 16 << 20

// A report takes little memory, whatever its length. With -protection.vms 1000000 it has
// a million VMs and three periods of each in 90 days.
func TestLargeReport(t *testing.T) {
	b := newBook(t, newTable(t, *large))
	now := time.Now()
	var sessions []Session
	for n := range *large {
		for _, ago := range [][2]int{{90, 61}, {55, 40}, {30, 0}} {
			sessions = append(sessions, Session{aVM(n), now.AddDate(0, 0, -ago[0]), now.AddDate(0, 0, -ago[1])})
		}
		if len(sessions) > 30_000 || n == *large-1 {
			_, _, err := b.Take(sessions)
			check(t, err)
			sessions = sessions[:0]
		}
	}
	for form, name := range map[Form]string{CSV: "CSV", JSON: "JSON"} {
		q := Query{From: now.AddDate(0, 0, -90)}
		begin := time.Now()
		check(t, b.Write(io.Discard, form, q))
		took := time.Since(begin)
		w := &measuring{every: 32 << 20}
		runtime.GC()
		runtime.ReadMemStats(&w.before)
		check(t, b.Write(w, form, q))
		t.Logf("%s: %d rows, %d MiB in %v: %.0f rows/s; at most %.1f MiB of heap more", name, w.rows, w.bytes>>20, took.Round(time.Millisecond),
			float64(w.rows)/took.Seconds(), float64(w.most)/(1<<20))
		if w.rows < 3**large {
			t.Errorf("%s has %d rows, want %d", name, w.rows, 3**large)
		}
		if w.most > reportHeap {
			t.Errorf("%s took %d bytes of heap, want at most %d", name, w.most, reportHeap)
		}
	}
}

// measuring looks at the heap after every so many bytes. What is garbage does not count.
type measuring struct {
	before      runtime.MemStats
	every       int
	rows, bytes int
	looked      int
	most        int64
}

func (w *measuring) Write(p []byte) (int, error) {
	for _, c := range p {
		if c == '\n' {
			w.rows++
		}
	}
	if w.bytes += len(p); w.bytes >= w.looked {
		w.looked = w.bytes + w.every
		var now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&now)
		w.most = max(w.most, int64(now.HeapAlloc)-int64(w.before.HeapAlloc))
	}
	return len(p), nil
}

// Shortly after midnight the first word of every agent is news: of a million 3,333 each
// second. A gateway on a disk keeps up with more than that; -protection.vms 1000000 tries
// it with as many.
func TestMidnight(t *testing.T) {
	dir, err := store.OpenDir(t.TempDir())
	check(t, err)
	table := newTable(t, *large, keptBy(dir))
	b := newBook(t, table)
	stop := run(b)
	begin, now := time.Now(), time.Now()
	for n := range *large {
		for waiting(b) > MaxWaiting/2 { // they come faster than they would
			time.Sleep(time.Millisecond)
		}
		b.Said(aVM(n), true, now)
	}
	stop()
	took := time.Since(begin)
	s := b.Stats()
	t.Logf("%d VMs in %v: %.0f/s on disk", *large, took.Round(time.Millisecond), float64(*large)/took.Seconds())
	if s.Written != uint64(*large) || s.Dropped != 0 || s.Failures != 0 {
		t.Errorf("counted were %+v", s)
	}
}

// What an agent says is nearly never new.
func BenchmarkSaidNothingNew(b *testing.B) {
	vms := 1_000_000
	if testing.Short() {
		vms = 10_000
	}
	book := newBook(b, newTable(b, vms))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	now := time.Now()
	for n := range vms {
		book.Said(aVM(n), true, now)
		if n%batch == 0 {
			book.queue.take(nil)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Run(fmt.Sprintf("vms=%d", vms), func(b *testing.B) {
		b.ReportAllocs()
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(vms), "B/VM")
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				book.Said(aVM(rand.IntN(vms)), true, now)
			}
		})
	})
}

// BenchmarkReport has the rows of a report a second.
func BenchmarkReport(b *testing.B) {
	vms := 100_000
	if testing.Short() {
		vms = 1000
	}
	book := newBook(b, newTable(b, vms))
	var sessions []Session
	for n := range vms {
		sessions = append(sessions, Session{aVM(n), time.Now().AddDate(0, 0, -30), time.Now()})
	}
	_, _, err := book.Take(sessions)
	check(b, err)
	for form, name := range map[Form]string{CSV: "csv", JSON: "json"} {
		b.Run(fmt.Sprintf("form=%s/vms=%d", name, vms), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				check(b, book.Write(io.Discard, form, Query{}))
			}
			b.ReportMetric(float64(vms*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func waiting(b *Book) int {
	n, _ := b.queue.stats()
	return n
}
