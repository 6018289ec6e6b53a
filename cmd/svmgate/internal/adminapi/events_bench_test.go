package adminapi

import (
	"testing"

	"github.com/svmgate/svmgate/store"
)

// BenchmarkEvents reads a page of a million events: the first, one from the middle, and
// one of which a filter lets nothing pass.
func BenchmarkEvents(b *testing.B) {
	table, err := store.Open(store.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()
	chunk := make([]store.Event, 10_000)
	for i := range chunk {
		chunk[i] = store.Event{Type: "agent.no_svm", VM: store.BIOSID{byte(i), byte(i >> 8)}, Message: "the agent of VM web-01 has no SVM: its tenant is inactive"}
	}
	for range 100 {
		emit(b, table, chunk...)
	}
	a := &API{table: table}
	var middle store.Version
	n := 0
	table.Events(store.Version{}, func(e *store.Event) bool { n++; middle = e.Version; return n < 500_000 })
	for _, bb := range []struct {
		name   string
		after  store.Version
		wanted eventFilter
		most   int
	}{
		{"page=first", store.Version{}, eventFilter{}, 100},
		{"page=middle", middle, eventFilter{}, 100},
		{"page=largest", middle, eventFilter{}, maxLimit},
		{"page=none-passes", middle, eventFilter{types: []string{"svm.down"}}, 100},
	} {
		b.Run("events=1000000/"+bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if page, _ := a.eventPage(bb.after, &bb.wanted, bb.most); page.Next == "" {
					b.Fatal("no next page")
				}
			}
		})
	}
}
