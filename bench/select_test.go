package bench

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

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
//   - ahead: one goroutine, independent questions, each VM prefetched eight questions
//     before its own. This is what a question costs who has several, as in a batch.
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
				return !fresh(tenant) && tenant%len(usable) == class && tenant/len(usable)%2 == int(load)
			})
			s := v.selector(b, q, ids)
			benchSelect(b, fmt.Sprintf("usable=%d/load=%v/%s", n, load, size), s, q, ids)
			s.Close() // its pulse would be felt by the next
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

// BenchmarkSelectHosts is the same for a large provider: an SVM on each of 10,000 hosts, and
// agents of eight kinds on each. It counts questions for which there was no candidate set.
func BenchmarkSelectHosts(b *testing.B) {
	v := mustBuild(b, providerWorld)
	ids := v.questions(everyTenant)
	s, err := discovery.New(discovery.Config{Table: v.table})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	a := new(discovery.Answer)
	ask := func(id *store.BIOSID) {
		q := discovery.Query{
			BIOS: *id, Version: store.ProductVersion{Major: 6 + 6*uint16(id[0]&1)},
			OS: store.OSServer + store.GuestOS(id[0]>>1&1), Kind: store.AgentLinux + store.AgentKind(id[0]>>2&1),
		}
		s.Select(&q, a)
		if a.Result != discovery.Assigned || !a.SVMs()[0].Local {
			b.Fatal(a.Result)
		}
	}
	for i := range ids {
		ask(&ids[i])
	}
	name := fmt.Sprintf("local=1/vms=%d/tenants=%d/svms=%d/kinds=8", v.world.VMs, v.world.Tenants, v.world.SVMs)
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		before := s.Stats().Scans
		for i := 0; b.Loop(); i += 1 + int(a.Revision>>53) {
			ask(&ids[i%len(ids)])
		}
		b.ReportMetric(float64(s.Stats().Scans-before)/float64(b.N), "scans/op")
	})
}

// BenchmarkSelectAgents decides for agents that have not asked before, and for agents
// that say what they have.
func BenchmarkSelectAgents(b *testing.B) {
	v := mustBuild(b, selectWorld)
	q := discovery.Query{Version: store.ProductVersion{Major: 12}, OS: store.OSServer}
	for class, n := range usable {
		ids := v.questions(func(tenant int) bool { return fresh(tenant) && tenant%len(usable) == class })
		s := v.selector(b, q, ids)
		said := make([]store.SVMID, len(ids))
		a := new(discovery.Answer)
		for _, q.BIOS = range v.questions(func(tenant int) bool { return !fresh(tenant) && tenant%len(usable) == class }) {
			s.Select(&q, a) // SVMs have agents: where there are none, everybody looks LookDeep
		}
		for i := range ids {
			q.BIOS = ids[i]
			s.Decide(&q, a)
			said[i] = a.SVMs()[0].SVM.ID
		}
		for _, says := range []bool{false, true} {
			b.Run(fmt.Sprintf("usable=%d/says=%v/vms=%d", n, says, v.world.VMs), func(b *testing.B) {
				b.ReportAllocs()
				q := q
				for i := 0; b.Loop(); i += 1 + int(a.Revision>>53) {
					if i >= len(ids) {
						i = 0
					}
					if q.BIOS = ids[i]; says {
						q.Current = said[i]
					}
					s.Decide(&q, a)
					if a.Result != discovery.Assigned {
						b.Fatal(a.Result)
					}
				}
			})
		}
	}
}

// BenchmarkSelectFlapping is how long agents wait while one of 4,000 SVMs goes down and
// comes up again every second, and while it does not: one question after the other, for
// two seconds each time.
func BenchmarkSelectFlapping(b *testing.B) {
	v := mustBuild(b, hostWorld)
	q := discovery.Query{Version: store.ProductVersion{Major: 12}, OS: store.OSServer}
	ids := v.questions(everyTenant)
	s := v.selector(b, q, ids)
	for _, flapping := range []bool{false, true} {
		b.Run(fmt.Sprintf("flapping=%v/vms=%d/tenants=%d/svms=%d", flapping, v.world.VMs, v.world.Tenants, v.world.SVMs), func(b *testing.B) {
			took, before := hdrhistogram.New(1, int64(time.Minute), 3), s.Stats()
			for b.Loop() {
				end := v.flap(b, flapping)
				v.waits(took, s, q, ids, 2*time.Second)
				end()
			}
			b.ReportMetric(0, "ns/op")
			for _, at := range []float64{50, 99, 99.9} {
				b.ReportMetric(float64(took.ValueAtQuantile(at)), fmt.Sprintf("p%v-ns", at))
			}
			if after := s.Stats(); after.Builds != before.Builds || after.Scans != before.Scans {
				b.Errorf("%d sets were built, and %d questions scanned", after.Builds-before.Builds, after.Scans-before.Scans)
			}
		})
	}
}

// flap has the one SVM that needs reports go down and come up every second, if it shall,
// until end is called.
func (v built) flap(b *testing.B, shall bool) (end func()) {
	if !shall {
		return func() {}
	}
	id, facts := v.world.SVM(0).ID, v.world.SVM(0).SVMFacts
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for ticks := time.NewTicker(time.Second / 2); ; {
			v.table.Sweep(time.Now().Add(time.Hour))
			select {
			case <-ticks.C:
			case <-stop:
			}
			if err := v.table.Update(func(tx *store.Tx) error { _, err := tx.ReportSVM(id, facts, 0); return err }); err != nil {
				b.Error(err)
			}
			select {
			case <-ticks.C:
			case <-stop:
				ticks.Stop()
				return
			}
		}
	}()
	return func() { close(stop); <-done }
}

// waits notes how long questions take.
func (v built) waits(took *hdrhistogram.Histogram, s *discovery.Selector, q discovery.Query, ids []store.BIOSID, d time.Duration) {
	a := new(discovery.Answer)
	for begin := time.Now(); time.Since(begin) < d; {
		for range 100 {
			q.BIOS = ids[rand.IntN(len(ids))]
			asked := time.Now()
			s.Select(&q, a)
			_ = took.RecordValue(int64(time.Since(asked)))
		}
	}
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
		for i := rand.IntN(len(ids)); b.Loop(); i += 1 + int(a.Revision>>53) { // revisions have 53 bits: one further, but only the answer tells
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
	b.Run(name+"/mode=ahead", func(b *testing.B) {
		b.ReportAllocs()
		q := q
		a := new(discovery.Answer)
		for i := rand.IntN(len(ids)); b.Loop(); i++ {
			if i >= len(ids) {
				i = 0
			}
			s.Prefetch(&ids[min(i+lookAhead, len(ids)-1)])
			q.BIOS = ids[i]
			s.Select(&q, a)
			if a.Result != discovery.Assigned {
				b.Fatal(a.Result)
			}
		}
	})
}

// lookAhead is how many questions before its own a VM is prefetched: so many that memory
// has answered by then, and so few that the answer is still at hand.
const lookAhead = 8

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

// Select allocates nothing, whatever the number of usable SVMs, and whether the agent
// keeps its SVM, finds others at their hard cap, or is told to come later.
func TestSelectDoesNotAllocate(t *testing.T) {
	met := map[discovery.Result]bool{}
	for _, limit := range []int{0, 2} {
		v, err := newSelectWorldOf(1000, limit)
		if err != nil {
			t.Fatal(err)
		}
		defer v.table.Close()
		for _, admission := range []discovery.Admission{{}, {Rate: 0.001, Burst: 1}} {
			s, err := discovery.New(discovery.Config{Table: v.table, Admission: admission})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			for class, n := range usable {
				allocs, results := v.allocations(s, class)
				if allocs != 0 || results[discovery.Assigned] == 0 {
					t.Errorf("%d usable SVMs, cap %d, %+v: %v allocations, want 0; results %v", n, limit, admission, allocs, results)
				}
				for r, n := range results {
					met[discovery.Result(r)] = met[discovery.Result(r)] || n > 0
				}
			}
		}
	}
	if !met[discovery.OverCapacity] || !met[discovery.Later] {
		t.Errorf("met %v", met)
	}
}

// greatest picks the SVM with the greatest hash.
type greatest struct{}

func (greatest) Pick(_ uint64, class []discovery.Choice) int {
	first := 0
	for i := range class {
		if class[i].Hash > class[first].Hash {
			first = i
		}
	}
	return first
}

// A policy costs no allocation either.
func TestPolicyDoesNotAllocate(t *testing.T) {
	v, err := newSelectWorld(1000)
	if err != nil {
		t.Fatal(err)
	}
	defer v.table.Close()
	s, err := discovery.New(discovery.Config{Table: v.table, Policy: greatest{}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var a discovery.Answer
	for class, n := range usable {
		ask := func() { s.Decide(&discovery.Query{BIOS: v.world.BIOS(class)}, &a) }
		ask()
		s.Wait()
		if allocs := testing.AllocsPerRun(100, ask); allocs != 0 {
			t.Errorf("%d usable SVMs: %v allocations, want 0", n, allocs)
		}
	}
}

// allocations asks for agents of a class, some of which say that they have an SVM, or
// that they could not reach one. It returns the allocations of a question.
func (v built) allocations(s *discovery.Selector, class int) (allocs float64, results [discovery.Later + 1]int) {
	var q discovery.Query
	var a discovery.Answer
	i, failed := 0, make([]store.SVMID, 1)
	ask := func() {
		q = discovery.Query{BIOS: v.world.BIOS((i*len(usable) + class) % v.world.VMs)}
		switch i++; i % 3 {
		case 1:
			q.Current = failed[0]
		case 2:
			q.Failed = failed
		}
		s.Select(&q, &a)
		if results[a.Result]++; a.Result == discovery.Assigned {
			failed[0] = a.SVMs()[0].SVM.ID
		}
	}
	for range 50 {
		ask()
	}
	s.Wait()
	return testing.AllocsPerRun(500, ask), results
}
