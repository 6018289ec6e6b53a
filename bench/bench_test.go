package bench

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

var benchVMs = flag.Int("bench.vms", 1_000_000, "VMs of the tables that benchmarks ask; 20,000 with -short")

func vms() int {
	if testing.Short() {
		return min(*benchVMs, 20_000)
	}
	return *benchVMs
}

// A built table and its world are shared by all benchmarks of the process: the
// making of a million VMs is not what they measure.
type built struct {
	world World
	table *store.Table
}

// selectWorld has 10,000 tenants and 4,680 SVMs. Four tags divide the SVMs into
// classes of 8, 64, 512 and 4,096, and the tenants, whose settings ask for one
// of the tags, in turn; see usable. Of each tag, half of the tenants use the
// other load rule. The agents of some tenants never ask to be remembered: see fresh.
var selectWorld = sync.OnceValues(func() (built, error) { return newSelectWorld(vms()) })

func newSelectWorld(vms int) (built, error) { return newSelectWorldOf(vms, 0) }

// newSelectWorldOf returns one whose SVMs have a hard cap.
func newSelectWorldOf(vms, limit int) (built, error) {
	w := World{Seed: 1, Tenants: 10_000, VMs: vms}
	for _, n := range usable {
		w.SVMs += n
	}
	w.EachTenant = func(i int, t *store.Tenant) {
		t.Discovery.Tag = tagOf(i % len(usable))
		if i/len(usable)%2 == 1 {
			t.Discovery.Load = store.Fewest
		}
	}
	w.EachSVM = func(i int, s *store.SVM) {
		class := 0
		for from := usable[0]; i >= from; from += usable[class] {
			class++
		}
		s.Tags, s.HardCap = []string{tagOf(class)}, limit
		s.Path = store.Path{} // local to nobody: all of the class are as good
	}
	return build(w)
}

// fresh reports whether a tenant's agents have no SVM yet.
func fresh(tenant int) bool { return tenant/len(usable)%10 == 0 }

// hostWorld has 10,000 tenants with default settings, and 4,000 SVMs, each local
// to the VMs of its host. One of them is up only while it reports.
var hostWorld = sync.OnceValues(func() (built, error) {
	w := World{Seed: 2, Tenants: 10_000, SVMs: 4000, VMs: vms()}
	w.EachSVM = func(i int, s *store.SVM) { s.Pinned = i > 0 }
	return build(w)
})

// providerWorld has an SVM on each of 10,000 hosts.
var providerWorld = sync.OnceValues(func() (built, error) {
	return build(World{Seed: 3, Tenants: 10_000, SVMs: 10_000, VMs: vms()})
})

func build(w World) (built, error) {
	table, err := store.Open(store.Config{})
	if err != nil {
		return built{}, err
	}
	return built{w, table}, w.Load(table)
}

var usable = [...]int{8, 64, 512, 4096}

func tagOf(class int) string { return fmt.Sprint("of-", usable[class]) }

func mustBuild(b *testing.B, world func() (built, error)) built {
	b.Helper()
	v, err := world()
	if err != nil {
		b.Fatal(err)
	}
	debug.FreeOSMemory() // what filling it has left
	warm(v.table, v.world.VMs)
	return v
}

// warm lets a large table do what it does in a gateway's first seconds: see to its memory,
// part by part.
func warm(table *store.Table, vms int) {
	if vms < 100_000 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 18*time.Second)
	defer cancel()
	_ = table.Run(ctx)
}

// questions are the ids of VMs that pass keep, in random order. They are walked
// in that order, so that fetching the next question costs nothing and finding
// its VM costs what a random place in memory costs.
func (v built) questions(keep func(tenant int) bool) (ids []store.BIOSID) {
	for i := range v.world.VMs {
		if keep(i % v.world.Tenants) {
			ids = append(ids, v.world.BIOS(i))
		}
	}
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids
}

func everyTenant(int) bool { return true }

// selector returns a selector over the table whose candidate sets stand for all
// that ids ask.
func (v built) selector(b *testing.B, q discovery.Query, ids []store.BIOSID) *discovery.Selector {
	b.Helper()
	s, err := discovery.New(discovery.Config{Table: v.table})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	var a discovery.Answer
	for range 100 {
		before := s.Stats().Scans
		for i := range min(len(ids), 50_000) {
			q.BIOS = ids[i]
			s.Decide(&q, &a)
		}
		s.Wait()
		if s.Stats().Scans == before {
			return s
		}
	}
	b.Fatal("the candidate sets do not stand after 100 rounds")
	return nil
}

// BenchmarkMemoryLoad is one load from a random place of memory whose address
// depends on the load before: the least that finding anything in a large table
// can cost on this machine.
func BenchmarkMemoryLoad(b *testing.B) {
	size := 256 << 20
	if testing.Short() {
		size = 16 << 20
	}
	type line [8]uint64 // a cache line
	ring := make([]line, size/64)
	order := rand.Perm(len(ring))
	for i, at := range order {
		ring[at][0] = uint64(order[(i+1)%len(order)])
	}
	b.Run(fmt.Sprintf("mib=%d", size>>20), func(b *testing.B) {
		at := uint64(0)
		for b.Loop() {
			at = ring[at][0]
		}
		if at >= uint64(len(ring)) {
			b.Fatal(at)
		}
	})
}

// BenchmarkParse reads random BIOS IDs in the forms that agents write. The query
// string is read by the daemon, where BenchmarkParse has it.
func BenchmarkParse(b *testing.B) {
	for _, form := range []struct {
		name  string
		write func(string) string
	}{
		{"hyphens", func(s string) string { return s }},
		{"plain", func(s string) string { return strings.ReplaceAll(s, "-", "") }},
		{"braces", func(s string) string { return "{" + strings.ToUpper(s) + "}" }},
	} {
		texts := make([][]byte, 1<<14)
		for i := range texts {
			texts[i] = []byte(form.write(World{Seed: rand.Uint64()}.BIOS(i).String()))
		}
		b.Run("what=biosId/form="+form.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := store.ParseBIOSID(texts[i%len(texts)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLookup finds random VMs, and looks for those that are not there. The
// next question depends on what the last one found, so that the processor can
// not work on both at once.
func BenchmarkLookup(b *testing.B) {
	v := mustBuild(b, hostWorld)
	ids := v.questions(everyTenant)
	strangers := make([]store.BIOSID, len(ids))
	for i := range strangers {
		strangers[i] = World{Seed: 99}.BIOS(i)
	}
	for _, bm := range []struct {
		found bool
		ids   []store.BIOSID
	}{{true, ids}, {false, strangers}} {
		b.Run(fmt.Sprintf("found=%v/vms=%d", bm.found, len(ids)), func(b *testing.B) {
			b.ReportAllocs()
			hits, asked := 0, 0
			for i := 0; b.Loop(); asked++ {
				if i >= len(bm.ids) {
					i = 0
				}
				i++
				if slot, ok := v.table.Lookup(&bm.ids[i-1]); ok {
					hits++
					i += (slot.Assigned() + 1) >> 20 // nothing, but only the slot tells
				}
			}
			if hits != asked && hits != 0 || bm.found != (hits > 0) {
				b.Fatalf("%d of %d found", hits, asked)
			}
		})
	}
}

// BenchmarkEncode writes answers to random agents as JSON.
func BenchmarkEncode(b *testing.B) {
	v := mustBuild(b, hostWorld)
	ids := v.questions(everyTenant)
	for _, limit := range []int{1, 3, 16} {
		q := discovery.Query{Limit: limit}
		s := v.selector(b, q, ids)
		answers := make([]discovery.Answer, 1<<12)
		for i := range answers {
			q.BIOS = ids[i%len(ids)]
			s.Decide(&q, &answers[i])
		}
		b.Run(fmt.Sprintf("svms=%d", limit), func(b *testing.B) {
			b.ReportAllocs()
			var buf []byte
			for b.Loop() {
				buf = answers[rand.IntN(len(answers))].AppendJSON(buf[:0])
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}
