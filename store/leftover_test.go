package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// A snapshot that can not be read at present may be a good one: it is not passed
// over, for then the next snapshot would remove it.
func TestSnapshotThatIsNotReadIsNotPassedOver(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: quick(t, dir, 0)})
	for _, name := range []string{"one", "two"} {
		x.tenant(t, name)
		if err := x.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, dir)
	newest := d.snapshotPath(d.snapshots[0].number)
	if err := errors.Join(os.Rename(newest, newest+".away"), os.Symlink(newest, newest)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Journal: d}); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("Open = %v, want the error of reading", err)
	}
}

// What can not be removed makes no snapshot fail, and is removed by the next.
func TestSnapshotThatLeavesFiles(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	x := open(t, Config{Journal: quick(t, dir, 0), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	snapshot := func() string {
		t.Helper()
		x.tenant(t, NewTenantID().String())
		if err := x.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		newest, _ := x.journal.(*Dir).newest()
		return x.journal.(*Dir).snapshotPath(newest.number)
	}
	oldest := snapshot()
	snapshot()
	if err := errors.Join(os.Remove(oldest), os.MkdirAll(filepath.Join(oldest, "in the way"), 0o700)); err != nil {
		t.Fatal(err)
	}
	snapshot()
	if d := x.Disk(); d.SnapshotFailures != 0 || !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), oldest) {
		t.Errorf("%d failures, log %q; want none, and a warning that names %s", d.SnapshotFailures, &log, oldest)
	}
	if err := os.Remove(filepath.Join(oldest, "in the way")); err != nil {
		t.Fatal(err)
	}
	snapshot()
	if _, err := os.Stat(oldest); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", oldest, err)
	}
}

// Nobody keeps the log of a closed table short.
func TestRunOfAClosedTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		x := open(t, Config{Journal: quick(t, t.TempDir(), 0), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		text := strings.Repeat("x", maxText)
		x.must(t, func(tx *Tx) (err error) { // so much that a snapshot is due
			for n := range snapshotAfter/maxText + 10 {
				err = errors.Join(err, only(tx.PutVM(VM{BIOS: numberedBIOS(n), UserData: text})))
			}
			return err
		})
		if err := x.Close(); err != nil || !x.journal.(*Dir).due() {
			t.Fatalf("%v, or no snapshot is due", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		x.keepShort(ctx)
		if ctx.Err() != nil || log.Len() > 0 {
			t.Errorf("it goes on: %v; log %q", ctx.Err(), &log)
		}
	})
}

// The block of a shard that takes no more is a frame, with what may come on top.
func TestFullShardFitsIntoAFrame(t *testing.T) {
	var table vmTable
	id := BIOSID{1}
	table.setPacked(table.claim(&id), []byte("entry"))
	sh := table.shard(hashBIOS(&id))
	for _, entry := range []int{5, 60, 60_000} {
		count := 0 // of VMs that are let in
		for step := 1 << 30; step > 0; step /= 2 {
			sh.claimed, sh.garbage = count+step, len(sh.arena)-(count+step)*entry
			if table.room(id) == nil {
				count += step
			}
		}
		if block := blockHead + count*(blockEntry+entry) + blockTail; block > wal.MaxFrame*3/4 {
			t.Errorf("VMs of %d bytes: %d are let in, which makes a block of %d bytes; a frame has %d", entry, count, block, wal.MaxFrame)
		}
	}
}

// A first line that is wrong is one damage.
func TestWrongFirstLineIsReportedOnce(t *testing.T) {
	c := newCrowd(t)
	c.replace(t, c.snapshot, snapshotLine, func(b []byte) { b[3]++ })
	if got := c.damages(t); len(got) != 1 {
		t.Errorf("reported %q, want one damage", got)
	}
}
