package replica

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/store"
)

func newTable(t testing.TB, cfg store.Config) table {
	t.Helper()
	s, err := store.Open(cfg)
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return table{s, slog.New(slog.DiscardHandler), new(atomic.Uint64)}
}

func createTenant(t *testing.T, to table, id byte, name string) {
	t.Helper()
	check(t, to.Update(func(tx *store.Tx) error {
		if _, err := tx.PutTenant(store.Tenant{ID: store.TenantID{id}, Name: name, Discovery: store.DefaultDiscovery()}); err != nil {
			return err
		}
		_, err := tx.SetActive(store.TenantID{id}, true)
		return err
	}))
}

func everything(from cluster.Table) (list []cluster.Record) {
	for b := range cluster.Buckets {
		from.Scan(b, func(r cluster.Record) bool {
			r.Value = append([]byte{}, r.Value...)
			list = append(list, r)
			return true
		})
	}
	return list
}

func digest(of cluster.Table) (d cluster.Digest) {
	of.Digest(&d)
	return d
}

// What one table scans, another merges: then their digests are equal, whatever
// nonsense came along.
func TestMerge(t *testing.T) {
	a, b := newTable(t, store.Config{Node: "a"}), newTable(t, store.Config{Node: "b"})
	createTenant(t, a, 1, "acme")
	createTenant(t, a, 2, "globex")
	records := everything(a)
	if len(records) != 4 {
		t.Fatalf("%d records, want settings and activations of 2 tenants", len(records))
	}
	var told []store.News
	b.Subscribe(func(n *store.News) { told = append(told, *n) })
	nonsense := []cluster.Record{
		{Key: cluster.Key{Kind: 1, ID: [16]byte{9}}, Version: cluster.Version{Clock: 1, Node: 1}, Value: []byte("no tenant")},
		{Key: cluster.Key{Kind: 1, ID: [16]byte{1}}}, // as if it were to be stamped
		{Key: cluster.Key{Kind: 9, ID: [16]byte{9}}, Version: cluster.Version{Clock: 1 << 63, Node: 1}, Value: []byte{1}},
	}
	check(t, b.Merge("a", append(nonsense, records...)))
	if digest(a) != digest(b) {
		t.Errorf("digests differ; %d records, want %d", len(everything(b)), len(records))
	}
	if got, ok := b.TenantByName("acme"); !ok || got.Status != store.Active {
		t.Errorf("acme: %+v, %v", got, ok)
	}
	if len(told) != 1 || told[0].From != "a" || len(told[0].Records) != 4 {
		t.Errorf("news %+v, want 4 records from a", told)
	}
	check(t, b.Merge("a", records))
	if len(told) != 1 {
		t.Error("what was known already is news")
	}
	check(t, b.Merge("a", nil))
}

// What comes in a message and stays does not keep the message in memory.
func TestMergeCopiesWhatStays(t *testing.T) {
	a, b := newTable(t, store.Config{Node: "a"}), newTable(t, store.Config{Node: "b"})
	createTenant(t, a, 1, "acme")
	records := everything(a)
	check(t, b.Merge("a", records))
	for _, r := range records {
		clear(r.Value)
	}
	if !b.Holds(everything(a)) {
		t.Error("the table changes with the message")
	}
}

// full is a journal that is not, to a table that says it is.
type full struct{ store.Journal }

func (full) Replay(func(store.Record) error) error { return nil }
func (full) Close() error                          { return nil }
func (full) Append(records []store.Record) error {
	for _, r := range records {
		if r.Key.ID == (store.TenantID{2}) {
			return store.ErrFull
		}
	}
	return nil
}

// One record for which there is no room does not hold up the others.
func TestNoRoomForOne(t *testing.T) {
	a, b := newTable(t, store.Config{Node: "a"}), newTable(t, store.Config{Node: "b", Journal: full{}})
	for i := range byte(5) {
		createTenant(t, a, i+1, "tenant-"+string('0'+rune(i)))
	}
	check(t, b.Merge("a", everything(a)))
	if n := b.Stats().Tenants; n != 4 || b.refused.Load() != 2 {
		t.Errorf("%d tenants, %d records refused; want 4 and 2", n, b.refused.Load())
	}
	for _, r := range everything(a) {
		if got, want := b.Holds([]cluster.Record{r}), r.Key.ID != (store.TenantID{2}); got != want {
			t.Errorf("Holds(%v) = %v, want %v", r.Key, got, want)
		}
	}
	if b.Holds(everything(a)) {
		t.Error("all records are held, without those that were refused")
	}
}

// broken is a journal that nobody can write to.
type broken struct{ full }

func (broken) Append([]store.Record) error { return store.ErrReadOnly }

// Nothing counts as taken that is not on disk.
func TestMergeFailsWithTheDisk(t *testing.T) {
	a, b := newTable(t, store.Config{Node: "a"}), newTable(t, store.Config{Node: "b", Journal: broken{}})
	createTenant(t, a, 1, "acme")
	if err := b.Merge("a", everything(a)); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("error %v, want %v", err, store.ErrReadOnly)
	}
	if b.refused.Load() != 0 {
		t.Error("records that will come again count as refused")
	}
}

func TestForget(t *testing.T) {
	a := newTable(t, store.Config{Node: "a"})
	createTenant(t, a, 1, "acme")
	check(t, a.Update(func(tx *store.Tx) error {
		_, err := tx.DeleteTenant(store.TenantID{1})
		return err
	}))
	before := len(everything(a))
	a.Forget(time.Now().Add(time.Hour).UnixMilli())
	if after := len(everything(a)); after >= before {
		t.Errorf("%d records, were %d: no tombstone is forgotten", after, before)
	}
}

func TestLiteral(t *testing.T) {
	for addr, want := range map[string]string{
		":7273": "0.0.0.0:7273", "localhost:1": "127.0.0.1:1", "127.0.0.2:0": "127.0.0.2:0", "[::1]:5": "[::1]:5",
	} {
		if got := literal(addr); got != want {
			t.Errorf("literal(%q) = %q, want %q", addr, got, want)
		}
	}
}
