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

// A table holds what it has, and what it would not prefer; not what it has refused.
func TestHolds(t *testing.T) {
	physical := newStopped()
	a := open(t, Config{Node: "a", Clock: physical.time})
	b := open(t, Config{Node: "b", Clock: physical.time})
	id := a.tenant(t, "acme")
	a.activate(t, id, true)
	key := Key{KindActivation, id}
	old := a.record(key)
	b.hear(t, a)
	physical.advance(2 * MaxSkew)
	a.activate(t, id, false)
	future := a.record(key)
	physical.advance(-2 * MaxSkew)
	b.apply(t, future)
	deletion := Record{Key: key, Version: old.Version} // which there is not of an activation
	for name, tt := range map[string]struct {
		of   tester
		r    Record
		want bool
	}{
		"its own":        {a, future, true},
		"older":          {a, old, true},
		"refused":        {b, future, false},
		"heard":          {b, old, true},
		"unknown":        {b, Record{Key: Key{KindObservation, id}, Version: old.Version, Value: []byte{1}}, false},
		"no record":      {a, deletion, false},
		"not stamped":    {a, Record{Key: key, Value: old.Value}, false},
		"unknown, blank": {b, Record{Key: Key{KindObservation, id}, Version: old.Version}, false},
	} {
		if got := tt.of.Holds(tt.r); got != tt.want {
			t.Errorf("%s: Holds = %v, want %v", name, got, tt.want)
		}
	}
}
