package cluster_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"pgregory.net/rapid"
)

// A wall is a clock that a test sets.
type wall struct{ now time.Time }

func newMap(name string) (*cluster.Map, *wall) {
	w := &wall{time.UnixMilli(1_000_000)}
	return cluster.NewMap(name, cluster.NewClock(func() time.Time { return w.now })), w
}

func contents(t cluster.Table) map[cluster.Key]string {
	all := map[cluster.Key]string{}
	for b := range cluster.Buckets {
		t.Scan(b, func(r cluster.Record) bool {
			all[r.Key] = string(r.Value) + " " + time.UnixMilli(int64(r.Version.Clock>>16)).UTC().String()
			return true
		})
	}
	return all
}

func records(t cluster.Table) (all []cluster.Record) {
	for b := range cluster.Buckets {
		t.Scan(b, func(r cluster.Record) bool { all = append(all, r); return true })
	}
	return all
}

// some draws records of few keys and versions, so that they meet: the same version
// with different values, too, which should not be but must not part tables.
func some() *rapid.Generator[[]cluster.Record] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) cluster.Record {
		return cluster.Record{
			Key:     cluster.Key{Kind: 1, ID: [16]byte{rapid.Byte().Draw(t, "key") % 4}},
			Version: cluster.Version{Clock: 1 + rapid.Uint64Max(5).Draw(t, "clock"), Node: rapid.Uint64Max(2).Draw(t, "node")},
			Value:   rapid.SliceOfN(rapid.ByteRange('a', 'c'), 0, 1).Draw(t, "value"),
		}
	}), 0, 30)
}

// merged returns a map that heard the given lists one after the other.
func merged(t *rapid.T, lists ...[]cluster.Record) *cluster.Map {
	m, _ := newMap("merged")
	for _, list := range lists {
		if err := m.Merge("peer", list); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func equal(t *rapid.T, law string, a, b *cluster.Map) {
	var da, db cluster.Digest
	a.Digest(&da)
	b.Digest(&db)
	ca, cb := records(a), records(b)
	byKey := func(x, y cluster.Record) int { return bytes.Compare(x.Key.ID[:], y.Key.ID[:]) }
	slices.SortFunc(ca, byKey)
	slices.SortFunc(cb, byKey)
	same := slices.EqualFunc(ca, cb, func(x, y cluster.Record) bool {
		return x.Key == y.Key && x.Version == y.Version && bytes.Equal(x.Value, y.Value)
	})
	if !same || da != db || a.Len() != b.Len() {
		t.Fatalf("merging is not %s: %v and %v, %d and %d keys, digests equal: %t", law, ca, cb, a.Len(), b.Len(), da == db)
	}
}

func TestMergeLaws(t *testing.T) {
	t.Run("idempotent", rapid.MakeCheck(func(t *rapid.T) {
		a := some().Draw(t, "a")
		once := merged(t, a)
		equal(t, "idempotent", once, merged(t, a, a, records(once)))
	}))
	t.Run("commutative", rapid.MakeCheck(func(t *rapid.T) {
		a := some().Draw(t, "a")
		b := rapid.Permutation(a).Draw(t, "b")
		equal(t, "commutative", merged(t, a), merged(t, b))
	}))
	t.Run("associative", rapid.MakeCheck(func(t *rapid.T) {
		a, b, c := some().Draw(t, "a"), some().Draw(t, "b"), some().Draw(t, "c")
		left := merged(t, records(merged(t, a, b)), c)
		right := merged(t, a, records(merged(t, b, c)))
		equal(t, "associative", left, right)
	}))
}

// TestMapTellsNews says that whatever a map is told of, it passes on if and only if
// it learnt something: else news would go round for ever, or stop.
func TestMapTellsNews(t *testing.T) {
	a, _ := newMap("a")
	b, _ := newMap("b")
	told := 0
	b.OnChange(func(from string, records []cluster.Record) {
		if from != "a" {
			t.Errorf("from %q, want a", from)
		}
		told += len(records)
	})
	a.OnChange(func(from string, records []cluster.Record) {
		if from != "" {
			t.Errorf("from %q, want nobody", from)
		}
		b.Merge("a", records)
		b.Merge("a", records)
	})
	key := cluster.Key{Kind: 1}
	if err := a.Set(key, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if !a.Delete(key) || a.Delete(key) {
		t.Error("a key can be deleted once")
	}
	if a.Set(key, nil) == nil || a.Set(cluster.Key{}, []byte("x")) == nil {
		t.Error("a map took an empty value, or a key of kind 0")
	}
	if told != 2 {
		t.Errorf("told of %d changes, want 2", told)
	}
	if _, ok := b.Get(key); ok || b.Len() != 0 {
		t.Error("a deleted key is still there")
	}
}

// TestMapRefusesTheFuture says that a clock that runs a year ahead makes nothing
// immortal.
func TestMapRefusesTheFuture(t *testing.T) {
	good, _ := newMap("good")
	bad, clock := newMap("bad")
	right := clock.now
	for _, m := range []*cluster.Map{good, bad} {
		m.OnChange(func(_ string, records []cluster.Record) {
			for _, other := range []*cluster.Map{good, bad} {
				if other != m {
					other.Merge("peer", records)
				}
			}
		})
	}
	key := cluster.Key{Kind: 1}
	clock.now = right.Add(59 * time.Second)
	bad.Set(key, []byte("a little late"))
	if good.Refused() != 0 {
		t.Error("refused what is 59 s ahead")
	}
	clock.now = right.AddDate(1, 0, 0)
	bad.Set(key, []byte("next year"))
	good.Set(key, []byte("now"))
	if v, _ := good.Get(key); string(v) != "now" || good.Refused() != 1 {
		t.Errorf("%q, %d refused, want now and 1", v, good.Refused())
	}
	clock.now = right
	var a, b cluster.Digest
	bad.Digest(&a) // which notices
	bad.Merge("good", records(good))
	good.Merge("bad", records(bad))
	bad.Digest(&a)
	good.Digest(&b)
	if a != b {
		t.Errorf("the clock is right, and tables differ: %v and %v", contents(good), contents(bad))
	}
	good.Set(key, []byte("later"))
	if v, _ := bad.Get(key); string(v) != "later" {
		t.Errorf("%q, want later", v)
	}
}

func TestMapForgets(t *testing.T) {
	m, clock := newMap("m")
	kept, gone := cluster.Key{Kind: 1}, cluster.Key{Kind: 2}
	m.Set(kept, []byte("x"))
	before := records(m)
	m.Set(gone, []byte("x"))
	m.Delete(gone)
	tombstone := records(m)
	clock.now = clock.now.Add(time.Hour)
	m.Forget(clock.now.UnixMilli())
	m.Merge("peer", tombstone)
	var d, want cluster.Digest
	m.Digest(&d)
	other, _ := newMap("other")
	other.Merge("m", before)
	other.Digest(&want)
	if d != want || m.Len() != 1 {
		t.Errorf("after Forget the map has %v", contents(m))
	}
}
