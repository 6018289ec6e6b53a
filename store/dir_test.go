package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func openDir(t testing.TB, dir string) *Dir {
	t.Helper()
	d, err := OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// lasting is what of a table's picture outlives a restart.
func (x tester) lasting() picture {
	p := x.picture()
	p.Records = slices.DeleteFunc(p.Records, func(r string) bool { return strings.HasPrefix(r, KindSVMLoad.String()) })
	for i := range p.SVMs {
		p.SVMs[i].ConnectedAgents, p.SVMs[i].LastReport = 0, Time{}
	}
	return p
}

func TestEverythingSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	before := open(t, Config{Journal: openDir(t, dir)})
	before.must(t, furnish)
	doomed := before.tenant(t, "doomed")
	before.svm(t, SVMID{9}, Ready, true)
	before.vm(t, BIOSID{8}, doomed, "vm")
	before.apply(t, Record{Key: Key{Kind: 200, ID: [16]byte{1}}, Value: []byte("of a newer release")})
	before.must(t, func(tx *Tx) error {
		_, svm := tx.DeleteSVM(SVMID{9})
		_, tenant := tx.DeleteTenant(doomed)
		return errors.Join(svm, tenant)
	})
	want := before.lasting()
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	if err := before.Update(furnish); !errors.Is(err, ErrClosed) {
		t.Errorf("writing to a closed table: %v, want ErrClosed", err)
	}
	for range 2 {
		after := open(t, Config{Journal: openDir(t, dir)})
		if diff := diff(want, after.lasting()); diff != "" {
			t.Fatalf("a restart changed the table (-before +after)\n%s", diff)
		}
		after.must(t, furnish) // which changes nothing that lasts
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is written after a restart is newer than all before, even if the clock
// was set back meanwhile.
func TestWritesAfterARestartAreNewer(t *testing.T) {
	dir, clock := t.TempDir(), newStopped()
	before := open(t, Config{Journal: openDir(t, dir), Clock: clock.time})
	id := before.tenant(t, "acme")
	before.activate(t, id, true)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	clock.advance(-1e13)
	after := open(t, Config{Journal: openDir(t, dir), Clock: clock.time})
	after.activate(t, id, false)
	if tenant, _ := after.Tenant(id); tenant.Status != Inactive {
		t.Errorf("the tenant is %v after an acknowledged deactivation", tenant.Status)
	}
}

func TestDirectoryHasOneUser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "if need be")
	j := openDir(t, dir)
	if _, err := OpenDir(dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second opening: %v, want a refusal", err)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "journal": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %q: %v, %v; want %v", name, info.Mode(), err, want)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	openDir(t, dir)
}

func TestDirectoryThatCanNotBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(filepath.Join(file, "data")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("OpenDir = %v, want an error that names %s", err, file)
	}
}

// A table is what it was after any number of snapshots, starts and conversions.
func TestSnapshotsKeepEverything(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: openDir(t, dir)})
	x.must(t, furnish)
	for round := range 5 {
		x.tenant(t, fmt.Sprint("tenant ", round))
		if err := x.Snapshot(t.Context()); err != nil {
			t.Fatal(err)
		}
		x.vm(t, BIOSID{9, byte(round)}, x.Tenants()[0].ID, "vm")
		want := x.lasting()
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = open(t, Config{Journal: openDir(t, dir)})
		if diff := diff(want, x.lasting()); diff != "" {
			t.Fatalf("round %d (-before +after)\n%s", round, diff)
		}
	}
	names, _ := readNames(dir)
	if want := []string{"journal", "lock", "log-0000000000000008", "log-0000000000000009", "log-000000000000000a",
		"snapshot-0000000000000008", "snapshot-000000000000000a"}; !slices.Equal(names, want) {
		t.Errorf("the directory has %v", names)
	}
	sum, err := Verify(dir, nil, func(d Damage) { t.Error(d) })
	t.Log(sum, err)
}

func TestBackupAndRestore(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	var b bytes.Buffer
	if err := x.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sum, err := Restore(dir, bytes.NewReader(b.Bytes()), int64(b.Len()), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(sum)
	y := open(t, Config{Journal: openDir(t, dir)})
	if diff := diff(x.lasting(), y.lasting()); diff != "" {
		t.Fatal(diff)
	}
	z := open(t, Config{})
	if sum, err = z.RestoreAsNew(bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil {
		t.Fatal(err)
	}
	t.Log(sum)
}
