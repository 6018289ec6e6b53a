package replica

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/store"
)

// A table is a [store.Table] as a [cluster.Table].
type table struct {
	*store.Table
	log     *slog.Logger
	refused *atomic.Uint64 // records for which there is no room
}

// fleeting is what is told again soon.
func fleeting(kind uint8) bool {
	return store.Kind(kind) == store.KindSVMLoad || store.Kind(kind) == store.KindSighting
}

// Merge implements [cluster.Table]. What is no record, or from the future, the
// table leaves out and counts.
func (t table) Merge(peer string, records []cluster.Record) error {
	batch := make([]store.Record, len(records))
	for i, r := range records {
		batch[i] = stored(r)
		if kind := batch[i].Key.Kind; kind != store.KindVM && kind != store.KindPlacement {
			batch[i].Value = bytes.Clone(r.Value) // the table keeps it, and would keep the whole message with it
		}
	}
	return t.merge(peer, batch)
}

// merge applies records. One that the table has no room for is found by halves, so
// that the others do not wait for it.
func (t table) merge(peer string, records []store.Record) error {
	_, err := t.Apply(store.Batch{Records: records, From: peer, Lenient: true})
	if !errors.Is(err, store.ErrFull) {
		return err
	}
	if len(records) == 1 {
		if t.refused.Add(1) == 1 {
			t.log.Error("a record of another gateway is refused; the metric svmgate_cluster_records_refused_total counts more of them",
				"from", peer, "record", records[0].Key, "reason", err.Error())
		}
		return nil
	}
	half := len(records) / 2
	return errors.Join(t.merge(peer, records[:half]), t.merge(peer, records[half:]))
}

// Holds implements what [cluster.Node.Confirm] asks for: Merge leaves records out
// that it refuses.
func (t table) Holds(records []cluster.Record) bool {
	return !slices.ContainsFunc(records, func(r cluster.Record) bool { return !t.Table.Holds(stored(r)) })
}

// Digest implements [cluster.Table].
func (t table) Digest(d *cluster.Digest) { t.Table.Digest((*[store.Buckets]uint64)(d)) }

// Scan implements [cluster.Table].
func (t table) Scan(bucket int, fn func(cluster.Record) bool) {
	t.ScanBucket(bucket, func(r store.Record) bool { return fn(told(r)) })
}

// Forget implements [cluster.Table].
func (t table) Forget(floor int64) {
	if n := t.Table.Forget(floor); n > 0 {
		t.log.Info("what was deleted long ago is forgotten", "records", n, "before", time.UnixMilli(floor).UTC())
	}
}

// told is a record as peers are told of it.
func told(r store.Record) cluster.Record {
	return cluster.Record{Key: cluster.Key{Kind: uint8(r.Key.Kind), ID: r.Key.ID}, Version: cluster.Version(r.Version), Value: r.Value}
}

// stored is a record as the table takes it.
func stored(r cluster.Record) store.Record {
	return store.Record{Key: store.Key{Kind: store.Kind(r.Key.Kind), ID: r.Key.ID}, Version: store.Version(r.Version), Value: r.Value}
}
