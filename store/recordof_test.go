package store

import "testing"

// Record returns what Scan tells of a key: either record of a VM, too, and
// tombstones.
func TestRecord(t *testing.T) {
	table := open(t, Config{})
	table.must(t, furnish)
	n := 0
	for i := range Buckets {
		table.ScanBucket(i, func(want Record) bool {
			n++
			if got, ok := table.Record(want.Key); !ok || got.Key != want.Key || got.Version != want.Version || string(got.Value) != string(want.Value) {
				t.Errorf("Record(%v) = %v, %v; want %v", want.Key, got, ok, want)
			}
			return true
		})
	}
	if n == 0 {
		t.Fatal("the table is empty")
	}
	for _, kind := range []Kind{KindTenant, KindVM, KindPlacement} {
		if got, ok := table.Record(Key{Kind: kind, ID: [16]byte{0xFF}}); ok {
			t.Errorf("a record of nothing: %v", got)
		}
	}
}
