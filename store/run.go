package store

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Run calls [Table.Sweep] once a second and [Table.Snapshot] when it pays, until
// ctx is done, and returns its error. It also keeps on huge pages what questions read.
func (t *Table) Run(ctx context.Context) error {
	var snapshots sync.WaitGroup
	defer snapshots.Wait()
	snapshots.Go(func() { t.keepShort(ctx) })
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	shard := 0
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			t.Sweep(time.Now())
			shard = t.tend(shard)
		}
	}
}

// tend keeps some shards on huge pages, and the tokens after the last of them. It returns
// whose turn is next.
func (t *Table) tend(shard int) (next int) {
	if next = t.vms.tend(shard, tendedShards); next == 0 {
		askHugePages(t.tokens.Load().slots)
	}
	return next
}

// retrySnapshot is how long after a failure the next snapshot is tried.
const retrySnapshot = time.Minute

// keepShort writes snapshots when the log has grown long.
func (t *Table) keepShort(ctx context.Context) {
	d, ok := t.journal.(*Dir)
	if !ok {
		return
	}
	pause := time.Second
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = time.Second
		if !d.due() || t.Fault() != nil {
			continue
		}
		begin := time.Now()
		switch err := t.Snapshot(ctx); {
		case errors.Is(err, ErrClosed):
			return
		case err == nil:
			newest, _ := d.newest()
			t.log.Info("wrote a snapshot", "bytes", newest.bytes, "took", time.Since(begin).String())
		case ctx.Err() == nil:
			t.log.Error("a snapshot could not be written; the log grows until one can", "reason", err)
			pause = retrySnapshot
		}
	}
}

// DiskStats tell of a table's data directory; without one they are zero.
type DiskStats struct {
	LogBytes         int64     // of the log that the next start would replay
	SnapshotBytes    int64     // of the newest snapshot
	SnapshotTime     time.Time // when it was written; zero if there is none
	Snapshots        uint64    // written since the start
	SnapshotFailures uint64
	Refusing         bool  // whether the last change was refused; the next may not be
	Fault            error // as of [Table.Fault]
}

// Disk returns the present figures.
func (t *Table) Disk() DiskStats {
	d, ok := t.journal.(*Dir)
	if !ok {
		return DiskStats{}
	}
	newest, _ := d.newest()
	d.mu.Lock()
	defer d.mu.Unlock()
	return DiskStats{
		LogBytes: d.log.Bytes(newest.number), SnapshotBytes: newest.bytes, SnapshotTime: newest.made,
		Snapshots: d.written, SnapshotFailures: d.failures, Refusing: d.refused.Load(), Fault: d.log.Fault(),
	}
}

// Fault says why nothing can be written any more until the table is opened anew:
// the disk failed in a way after which its state is not known. It is nil while
// all is well. A disk that is full is no fault: changes are refused until there
// is room.
func (t *Table) Fault() error {
	if d, ok := t.journal.(*Dir); ok {
		return d.log.Fault()
	}
	return nil
}
