package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
)

// onLoopback starts nodes that have met, and says who is told of changes.
func onLoopback(b testing.TB, count int, told func(node int, records []cluster.Record)) []member {
	var all []member
	for i := range count {
		cfg := cluster.Config{Name: fmt.Sprint("n", i), Keys: [][]byte{make([]byte, 32)}}
		if i > 0 {
			cfg.Seeds = []string{all[0].Addr()}
		}
		m := start(b, cfg)
		m.table.OnChange(func(from string, records []cluster.Record) {
			m.Spread(from, records)
			told(i, records)
		})
		all = append(all, m)
	}
	await(b, "all see all", 30*time.Second, met(all))
	return all
}

// BenchmarkPropagation measures how long a change takes to be in the tables of all
// nodes, over UDP on loopback and encrypted. All nodes are in this process, and so
// share its processors.
func BenchmarkPropagation(b *testing.B) {
	for _, nodes := range []int{3, 16} {
		for _, background := range []int{0, 500} { // changes a second, besides
			b.Run(fmt.Sprintf("nodes=%d/background=%d", nodes, background), func(b *testing.B) {
				arrived := make(chan int, 1<<16)
				all := onLoopback(b, nodes, func(_ int, records []cluster.Record) {
					for _, r := range records {
						if r.Key.Kind == lasting {
							arrived <- int(r.Key.ID[15]) | int(r.Key.ID[14])<<8 | int(r.Key.ID[13])<<16
						}
					}
				})
				if background > 0 {
					defer write(all, background)()
				}
				var took []time.Duration
				missed := 0 // until repaired
				for id := 0; b.Loop(); id++ {
					time.Sleep(rand.N(40 * time.Millisecond)) // so that changes do not wait for one another
					start := time.Now()
					check(b, all[rand.IntN(nodes)].table.Set(key(lasting, id), make([]byte, 100)))
					for missing := nodes; missing > 0; {
						select {
						case got := <-arrived:
							if got == id {
								missing--
							}
						case <-time.After(2 * time.Second):
							missed += missing
							missing = 0
						}
					}
					took = append(took, time.Since(start))
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
				b.ReportMetric(float64(missed), "missed")
				b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
			})
		}
	}
}

// write changes random keys of another kind, so many a second, until the function it
// returns is called.
func write(all []member, perSecond int) (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for id := 0; ; id++ {
			select {
			case <-end:
				return
			case <-tick.C:
				_ = all[rand.IntN(len(all))].table.Set(key(other, id%10_000), make([]byte, 100))
			}
		}
	}()
	return func() { close(end); <-done }
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// BenchmarkSpread measures what telling of a change costs whoever makes it: a change
// at a time, and 10,000 at once, which are left to repair.
func BenchmarkSpread(b *testing.B) {
	for _, records := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			all := onLoopback(b, 2, func(int, []cluster.Record) {})
			changes := make([]cluster.Record, records)
			for i := range changes {
				changes[i] = cluster.Record{Key: key(lasting, i), Version: cluster.Version{Clock: 1}, Value: make([]byte, 100)}
			}
			b.ReportAllocs()
			for id := 0; b.Loop(); id++ {
				changes[0].Key = key(lasting, id)
				all[0].Spread("", changes)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
			b.ReportMetric(float64(all[0].Stats().DroppedNews)/float64(b.N*records), "dropped/record")
		})
	}
}
