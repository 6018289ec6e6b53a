package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// A testDisk is the operating system's, but for what a test wants of it: to fail,
// and not to take time for being durable where no test kills the machine.
type testDisk struct {
	fail atomic.Pointer[func(op, name string) error]
}

func (d *testDisk) failWith(fn func(op, name string) error) { d.fail.Store(&fn) }

func (d *testDisk) call(op, name string) error {
	if fail := d.fail.Load(); fail != nil {
		if err := (*fail)(op, filepath.Base(name)); err != nil {
			return &fs.PathError{Op: op, Path: name, Err: err}
		}
	}
	return nil
}

func (d *testDisk) OpenFile(name string, flag int, perm fs.FileMode) (wal.File, error) {
	if err := d.call("open", name); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return testFile{f, d}, nil
}

func (*testDisk) Names(dir string) ([]string, error) { return readNames(dir) }
func (*testDisk) Remove(name string) error           { return os.Remove(name) }

type testFile struct {
	*os.File
	disk *testDisk
}

func (f testFile) WriteAt(p []byte, offset int64) (int, error) {
	if err := f.disk.call("write", f.Name()); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], offset)
		return n, err
	}
	return f.File.WriteAt(p, offset)
}

func (f testFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f testFile) Sync() error     { return f.disk.call("sync", f.Name()) }
func (f testFile) SyncData() error { return f.disk.call("sync", f.Name()) }

// quick opens a directory without waiting for the disk, with segments of the given
// length.
func quick(t testing.TB, dir string, segment int64) *Dir {
	t.Helper()
	d, err := openDirWith(dir, wal.Options{SegmentBytes: segment, Files: &testDisk{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// openOn opens the table of dir on a disk that can fail.
func openOn(t *testing.T, dir string) (tester, *testDisk) {
	t.Helper()
	disk := &testDisk{}
	d, err := openDirWith(dir, wal.Options{Files: disk})
	if err != nil {
		t.Fatal(err)
	}
	return open(t, Config{Journal: d}), disk
}

// While the disk is full changes are refused and questions answered; the first
// change for which there is room is taken.
func TestFullDiskIsAStateAndNoFault(t *testing.T) {
	dir := t.TempDir()
	x, disk := openOn(t, dir)
	x.must(t, furnish)
	want := x.lasting()
	disk.failWith(func(op, _ string) error {
		if op == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	for range 2 {
		if err := x.putTenant(9, "new"); !errors.Is(err, ErrReadOnly) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("writing to a full disk: %v, want ErrReadOnly and why", err)
		}
	}
	if err := x.Snapshot(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a snapshot on a full disk: %v, want ENOSPC", err)
	}
	disk0 := x.Disk()
	if !disk0.Refusing || disk0.Fault != nil || x.Fault() != nil || disk0.SnapshotFailures != 1 || disk0.Snapshots != 0 {
		t.Errorf("while the disk is full: %+v; want Refusing, one failed snapshot and no fault", disk0)
	}
	if diff := diff(want, x.lasting()); diff != "" {
		t.Errorf("a refused change is visible (-before +after)\n%s", diff)
	}
	disk.failWith(func(string, string) error { return nil })
	if err := x.putTenant(9, "new"); err != nil || x.Disk().Refusing {
		t.Errorf("with room again: %v, %+v; want the change taken", err, x.Disk())
	}
	if err := x.Snapshot(t.Context()); err != nil || x.Disk().Snapshots != 1 {
		t.Errorf("a snapshot with room again: %v, %+v", err, x.Disk())
	}
	want = x.lasting()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := diff(want, open(t, Config{Journal: openDir(t, dir)}).lasting()); diff != "" {
		t.Errorf("a restart changed the table (-before +after)\n%s", diff)
	}
}

// After a failed fsync nothing is acknowledged; what was, is there after a
// restart.
func TestNothingIsAcknowledgedAfterAFailedFsync(t *testing.T) {
	dir := t.TempDir()
	x, disk := openOn(t, dir)
	x.must(t, furnish)
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.tenant(t, "acknowledged")
	want := x.lasting()
	failures := 0
	disk.failWith(func(op, _ string) error {
		if op == "sync" && failures == 0 {
			failures++
			return syscall.EIO
		}
		return nil
	})
	if err := x.putTenant(9, "lost"); !errors.Is(err, ErrReadOnly) || !errors.Is(err, ErrInDoubt) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("writing when fsync fails: %v, want ErrReadOnly, ErrInDoubt and EIO", err)
	}
	// The disk works again, but nobody knows what it has.
	before := contents(t, dir)
	for i := range byte(3) {
		if err := x.putTenant(10+i, fmt.Sprint("later ", i)); !errors.Is(err, ErrReadOnly) {
			t.Fatalf("writing after a failed fsync: %v, want ErrReadOnly", err)
		}
	}
	if err := x.Snapshot(t.Context()); !errors.Is(err, wal.ErrBroken) {
		t.Errorf("a snapshot after a failed fsync: %v, want ErrBroken", err)
	}
	if after := contents(t, dir); len(after) != len(before) {
		t.Errorf("a refused snapshot changed the directory from %d files to %d", len(before), len(after))
	}
	if err := x.Fault(); err == nil || !strings.Contains(err.Error(), "restart") || x.Disk().Fault == nil {
		t.Errorf("Fault = %v, want the failure and what to do", err)
	}
	if diff := diff(want, x.lasting()); diff != "" {
		t.Errorf("a refused change is visible (-before +after)\n%s", diff)
	}
	var backup bytes.Buffer
	if err := x.Backup(t.Context(), &backup); err != nil {
		t.Errorf("a backup when nothing can be written any more: %v", err)
	}
	if err := x.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
	after := open(t, Config{Journal: openDir(t, dir)})
	after.Update(func(tx *Tx) error { _, err := tx.DeleteTenant(TenantID{9}); return err }) // which may be there
	if err := after.putTenant(20, "after"); err != nil || after.Fault() != nil {
		t.Errorf("after a restart: %v, %v", err, after.Fault())
	}
	for _, tenant := range want.Tenants {
		if _, ok := after.Tenant(tenant.ID); !ok {
			t.Errorf("%s was acknowledged and is lost", tenant.Name)
		}
	}
}

// A snapshot that can not be written leaves those that are there and the log as
// they were, and no file of its own.
func TestSnapshotThatFailsLeavesTheOthers(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: quick(t, dir, 0)})
	for i := range 2 {
		x.tenant(t, fmt.Sprint("tenant ", i))
		if err := x.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	x.tenant(t, "last")
	before := x.Disk()
	// Something is in the way of the file, for root, too.
	next := filepath.Join(dir, snapshotName(x.journal.(*Dir).newestNumber()+1)+partial)
	if err := os.Mkdir(next, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := x.Snapshot(t.Context()); err == nil || !strings.Contains(err.Error(), next) {
		t.Fatalf("Snapshot = %v, want an error that names %s", err, next)
	}
	if got := x.Disk(); got.SnapshotFailures != 1 || got.Snapshots != before.Snapshots || got.SnapshotBytes != before.SnapshotBytes {
		t.Errorf("after a failed snapshot: %+v; before: %+v", got, before)
	}
	x.tenant(t, "after it")
	names, _ := readNames(dir)
	for _, name := range []string{
		"snapshot-0000000000000002", "snapshot-0000000000000003", "log-0000000000000002", "log-0000000000000003", "log-0000000000000004",
	} {
		if !strings.Contains(strings.Join(names, " ")+" ", name+" ") {
			t.Errorf("%s is gone: there are %v", name, names)
		}
	}
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	if err := x.Snapshot(t.Context()); err != nil {
		t.Errorf("the next snapshot: %v", err)
	}
	want := x.lasting()
	crashed := copyDir(t, dir)
	if diff := diff(want, open(t, Config{Journal: openDir(t, crashed)}).lasting()); diff != "" {
		t.Errorf("a crash changed the table (-before +after)\n%s", diff)
	}
}

func (d *Dir) newestNumber() uint64 {
	newest, _ := d.newest()
	return newest.number
}
