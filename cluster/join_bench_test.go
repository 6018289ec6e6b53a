package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
)

// BenchmarkJoin is an empty node that joins one with a large table, over sockets of
// this machine, encrypted, until the tables are equal.
func BenchmarkJoin(b *testing.B) {
	sizes := []int{100_000, 1_000_000}
	if testing.Short() {
		sizes = []int{10_000}
	}
	for _, records := range sizes {
		b.Run(fmt.Sprintf("records=%d", records), func(b *testing.B) {
			donor := start(b, cluster.Config{Name: "donor", Keys: [][]byte{make([]byte, 32)}})
			const batch = 10_000
			for id := 0; id < records; id += batch {
				if err := donor.table.Merge("", numbered(id, id+batch)); err != nil {
					b.Fatal(err)
				}
			}
			for i := 0; b.Loop(); i++ {
				node := start(b, cluster.Config{
					Name: fmt.Sprint("node", i), Keys: [][]byte{make([]byte, 32)}, Seeds: []string{donor.Addr()},
				})
				await(b, "equal", time.Minute, func() bool { return node.table.Len() == records })
				await(b, "ready", time.Second, func() bool { ready, _ := node.Ready(); return ready })
				b.StopTimer()
				if err := node.Stop(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(records*b.N)/b.Elapsed().Seconds(), "records/s")
			s := donor.Stats()
			b.ReportMetric(float64(s.ServedBytes)/float64(s.ServedRecords), "B/record")
		})
	}
}

// BenchmarkImport writes a million records to one of three nodes, at 90,000 a second,
// and counts how long after that the others have them.
func BenchmarkImport(b *testing.B) {
	const batch, rate = 1000, 90_000
	records := 1_000_000
	if testing.Short() {
		records = 10_000
	}
	for b.Loop() {
		keys := [][]byte{make([]byte, 32)}
		all := []member{start(b, cluster.Config{Name: "a", Keys: keys})}
		for _, name := range []string{"b", "c"} {
			all = append(all, start(b, cluster.Config{Name: name, Keys: keys, Seeds: []string{all[0].Addr()}}))
		}
		await(b, "together", 10*time.Second, met(all))
		began := time.Now()
		for id := 0; id < records; id += batch {
			time.Sleep(time.Until(began.Add(time.Duration(id) * time.Second / rate)))
			if err := all[0].table.Merge("", numbered(id, id+batch)); err != nil {
				b.Fatal(err)
			}
		}
		ended := time.Now()
		await(b, "equal", time.Minute, func() bool { return all[1].table.Len() == records && all[2].table.Len() == records })
		b.ReportMetric(time.Since(ended).Seconds(), "s-after-the-end")
		b.ReportMetric(ended.Sub(began).Seconds(), "s-import")
		pulled := all[1].Stats().PulledRecords + all[2].Stats().PulledRecords
		b.ReportMetric(float64(pulled)/2/float64(records), "pulled/record")
	}
}

// numbered returns records of some 100 bytes.
func numbered(from, to int) []cluster.Record {
	all := make([]cluster.Record, 0, to-from)
	v := cluster.Version{Clock: uint64(time.Now().UnixMilli()) << 16, Node: 1}
	for id := from; id < to; id++ {
		all = append(all, cluster.Record{Key: key(lasting, id), Version: v, Value: fmt.Appendf(nil, "%065d", id)})
	}
	return all
}
