package bench

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// BenchmarkSelect decides for random VMs, with candidate sets of different sizes
// and by both load rules. Of the modes,
//
//   - one: one goroutine; each question depends on the last answer, so that the
//     processor can not work on two at once. This is what one request waits.
//   - all: as many goroutines as there are processors, independent questions.
//     This is what a gateway can do.
//
// Every VM has asked once before the clock starts, as those of a gateway have that
// has been up for some minutes: what is measured is an agent that is told the same
// again. The harness costs some nanoseconds: the ids are read one after the other,
// and copied into the query.
func BenchmarkSelect(b *testing.B) {
	v := mustBuild(b, selectWorld)
	size := fmt.Sprintf("vms=%d/tenants=%d/svms=%d", v.world.VMs, v.world.Tenants, v.world.SVMs)
	q := discovery.Query{Version: store.ProductVersion{Major: 12}, OS: store.OSServer}
	for _, load := range []store.Load{store.Balanced, store.Fewest} {
		for class, n := range usable {
			ids := v.questions(func(tenant int) bool {
				return tenant%len(usable) == class && tenant/len(usable)%2 == int(load)
			})
			s := v.selector(b, q, ids)
			benchSelect(b, fmt.Sprintf("usable=%d/load=%v/%s", n, load, size), s, q, ids)
		}
	}
}

// BenchmarkSelectLocal is the case of a deployment by the book: the standard
// algorithm, an SVM on every host, and 4,000 in all for alternatives.
func BenchmarkSelectLocal(b *testing.B) {
	v := mustBuild(b, hostWorld)
	q := discovery.Query{Version: store.ProductVersion{Major: 12}, OS: store.OSServer}
	ids := v.questions(everyTenant)
	name := fmt.Sprintf("local=1/vms=%d/tenants=%d/svms=%d", v.world.VMs, v.world.Tenants, v.world.SVMs)
	benchSelect(b, name, v.selector(b, q, ids), q, ids)
}

func benchSelect(b *testing.B, name string, s *discovery.Selector, q discovery.Query, ids []store.BIOSID) {
	b.Helper()
	first := new(discovery.Answer)
	for i := range ids {
		q.BIOS = ids[i]
		s.Select(&q, first)
	}
	b.Run(name+"/mode=one", func(b *testing.B) {
		b.ReportAllocs()
		q := q
		a := new(discovery.Answer)
		for i := 0; b.Loop(); i += 1 + int(a.Revision>>53) { // revisions have 53 bits: one further, but only the answer tells
			if i >= len(ids) {
				i = 0
			}
			q.BIOS = ids[i]
			s.Select(&q, a)
			if a.Result != discovery.Assigned {
				b.Fatal(a.Result)
			}
		}
	})
	b.Run(name+"/mode=all", func(b *testing.B) {
		b.ReportAllocs()
		var failed atomic.Int32
		b.RunParallel(func(pb *testing.PB) {
			q, a := q, new(discovery.Answer)
			for i := rand.IntN(len(ids)); pb.Next(); i++ {
				if i >= len(ids) {
					i = 0
				}
				q.BIOS = ids[i]
				s.Select(&q, a)
				if a.Result != discovery.Assigned {
					failed.Store(int32(a.Result) + 1)
					return
				}
			}
		})
		if r := failed.Load(); r != 0 {
			b.Fatal(discovery.Result(r - 1))
		}
	})
}

// The questions of BenchmarkSelect have as many usable SVMs as its names say.
func TestSelectWorld(t *testing.T) {
	v, err := newSelectWorld(1000)
	if err != nil {
		t.Fatal(err)
	}
	defer v.table.Close()
	s, err := discovery.New(discovery.Config{Table: v.table})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for class, n := range usable {
		kept := 0
		for _, c := range s.Explain(&discovery.Query{BIOS: v.world.BIOS(class)}).Candidates {
			if c.Removed == "" {
				kept++
			}
		}
		if kept != n {
			t.Errorf("an agent of class %d has %d usable SVMs, want %d", class, kept, n)
		}
	}
}

// Select allocates nothing, whatever the number of usable SVMs.
func TestSelectDoesNotAllocate(t *testing.T) {
	v, err := newSelectWorld(1000)
	if err != nil {
		t.Fatal(err)
	}
	defer v.table.Close()
	s, err := discovery.New(discovery.Config{Table: v.table})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var q discovery.Query
	var a discovery.Answer
	for class, n := range usable {
		ask := func() {
			q.BIOS = v.world.BIOS(class)
			s.Select(&q, &a)
		}
		ask()
		s.Wait()
		if allocs := testing.AllocsPerRun(100, ask); allocs != 0 || a.Result != discovery.Assigned {
			t.Errorf("%d usable SVMs: %v, %v allocations, want assigned and 0", n, a.Result, allocs)
		}
	}
}
