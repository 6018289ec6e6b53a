package watch

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// bios makes a BIOS ID that is not the zero one.
func bios(n int) (id store.BIOSID) {
	id[0] = 0x42
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func number(id store.BIOSID) int { return int(binary.BigEndian.Uint64(id[8:])) }

// What is taken is what was noted, in the order of each writer; what there was no room
// for is not, and was said to be dropped.
func TestFeedLosesNothingThatItTook(t *testing.T) {
	const writers, each = 8, 20_000
	f := newFeed(1 << 10)
	var took [writers][]int // by whom, what Note said it took
	var left atomic.Int32
	left.Store(writers)
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			defer left.Add(-1)
			for i := range each {
				if f.Note(bios(w*each+i), Connected) {
					took[w] = append(took[w], w*each+i)
				}
			}
		})
	}
	var got [writers][]int
	room := make([]Notice, 0, 100)
	for done := false; !done; {
		done = left.Load() == 0
		list := f.Take(room)
		for len(list) > 0 {
			for _, n := range list {
				w := number(n.VM) / each
				got[w] = append(got[w], number(n.VM))
			}
			list = f.Take(room)
		}
		runtime.Gosched()
	}
	all.Wait()
	total := 0
	for w := range writers {
		total += len(took[w])
		if len(got[w]) != len(took[w]) {
			t.Fatalf("writer %d: %d notices taken out, %d were put in", w, len(got[w]), len(took[w]))
		}
		for i := range got[w] {
			if got[w][i] != took[w][i] {
				t.Fatalf("writer %d: notice %d is %d, want %d", w, i, got[w][i], took[w][i])
			}
		}
	}
	if taken, dropped := f.taken[Connected].Load(), f.dropped.Load(); taken != uint64(total) || taken+dropped != writers*each {
		t.Errorf("counted %d taken and %d dropped, want %d and %d", taken, dropped, total, writers*each-total)
	}
}

// A full feed says so, whatever comes; there is room again for as many as were taken out.
func TestFeedIsBounded(t *testing.T) {
	f := newFeed(8)
	for round := range 3 {
		for i := range 8 {
			if !f.Note(bios(i), NoSVM) {
				t.Fatalf("round %d: no room for notice %d of 8", round, i)
			}
		}
		for range 1000 {
			if f.Note(bios(9), NoSVM) {
				t.Fatal("a full feed took a notice")
			}
		}
		if n := len(f.Take(make([]Notice, 0, 5))) + len(f.Take(make([]Notice, 0, 100))); n != 8 {
			t.Fatalf("round %d: %d notices, want 8", round, n)
		}
	}
	if got := f.dropped.Load(); got != 3000 {
		t.Errorf("%d dropped, want 3000", got)
	}
}

func TestNoteDoesNotAllocate(t *testing.T) {
	f := newFeed(64)
	if n := testing.AllocsPerRun(1000, func() { f.Note(bios(1), Inactive) }); n != 0 {
		t.Errorf("Note allocates %v times, want 0", n)
	}
	if !(*Feed)(nil).Note(bios(1), Inactive) {
		t.Error("a feed that nobody reads is full")
	}
}

func BenchmarkNote(b *testing.B) {
	f := NewFeed()
	var over atomic.Bool
	var reader sync.WaitGroup
	reader.Go(func() {
		for room := make([]Notice, 0, 1024); !over.Load(); {
			if len(f.Take(room)) == 0 {
				runtime.Gosched()
			}
		}
	})
	defer reader.Wait()
	defer over.Store(true)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			f.Note(bios(i), Inactive)
		}
	})
}
