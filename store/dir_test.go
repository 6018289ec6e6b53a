package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// lasting is what of a table's picture outlives a restart. An SVM of which nothing but
// a load came, while the disk was full, has not reported after one.
func (x tester) lasting() picture {
	p := x.picture()
	p.Records = slices.DeleteFunc(p.Records, func(r string) bool { return strings.HasPrefix(r, KindSVMLoad.String()) })
	for i := range p.SVMs {
		s := &p.SVMs[i]
		s.ConnectedAgents, s.LastReport = 0, Time{}
		if !s.Pinned && s.State == Ready && x.rows[Key{KindSVMFacts, s.ID}].Deleted() {
			s.State = Down
		}
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
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s: %v, %v; want 0600", name, info.Mode(), err)
		}
	}
	mustVerify(t, dir)
}

// A copy may have come with other rights, and with what a crash has left.
func TestOpeningTidiesWhatIsOurs(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: openDir(t, dir)})
	x.must(t, furnish)
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.tenant(t, "last")
	want := x.lasting()
	dir = copyDir(t, dir)
	x.Close()
	foreign := map[string]string{
		"letter.txt": "dear", "film.mkv.partial": "half", "snapshot-1": "of a disk", "snapshot-of.partial": "of a disk", "log-1": "of a ship",
	}
	writeFiles(t, dir, foreign)
	left := []string{"snapshot-0000000000000003.partial", "journal.partial"}
	writeFiles(t, dir, map[string]string{left[0]: "half", left[1]: "svm"})
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	names, _ := readNames(dir)
	for _, name := range names {
		if err := os.Chmod(filepath.Join(dir, name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	y := open(t, Config{Journal: openDir(t, dir)})
	if diff := diff(want, y.lasting()); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
	for name, text := range foreign {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != text {
			t.Errorf("%s, which is not ours, is %q, %v", name, b, err)
		}
	}
	for _, name := range left {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	for _, name := range names {
		if name != formatName && !strings.HasPrefix(name, "log-0000") && !strings.HasPrefix(name, "snapshot-0000") || slices.Contains(left, name) {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s: %v, %v; want 0600", name, info.Mode(), err)
		}
	}
}

// A journal that is something else is not touched.
func TestDirectoryOfSomebodyElseIsRefused(t *testing.T) {
	for _, text := range []string{"dear diary,\nit rains", "svmgate", "svmgate journal 0\n", "SVMGATE JOURNAL 2\n"} {
		dir := t.TempDir()
		writeFiles(t, dir, map[string]string{formatName: text})
		_, err := OpenDir(dir)
		b, _ := os.ReadFile(filepath.Join(dir, formatName))
		if text == "svmgate" { // the beginning of a mark
			if err != nil || string(b) != formatLine {
				t.Errorf("a mark that a crash cut: %v, and there is %q", err, b)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, formatName)) || string(b) != text {
			t.Errorf("%q: OpenDir = %v, and there is %q; want an error that names the file", text, err, b)
		}
	}
}

// A mark that was cut does not make the directory one of release 1, nor a new one.
func TestCutMarkLosesNothing(t *testing.T) {
	whole := t.TempDir()
	x := open(t, Config{Journal: openDir(t, whole)})
	x.must(t, furnish)
	want := x.lasting()
	x.Close()
	for cut := range len(formatLine) {
		dir := copyDir(t, whole)
		writeFiles(t, dir, map[string]string{formatName: formatLine[:cut]})
		if diff := diff(want, open(t, Config{Journal: openDir(t, dir)}).lasting()); diff != "" {
			t.Fatalf("cut at byte %d (-before +after)\n%s", cut, diff)
		}
	}
}

// A conversion that was cut short is begun again, from all that release 1 has
// written; also from what it wrote after the attempt.
func TestConversionCanBeCutShort(t *testing.T) {
	var records []Record
	x := open(t, Config{})
	x.must(t, furnish)
	for _, r := range x.all() {
		if lasts(r) {
			records = append(records, r)
		}
	}
	dir := t.TempDir()
	writeRelease1(t, dir, records)
	y := open(t, Config{Journal: openDir(t, dir)})
	if diff := diff(x.lasting(), y.lasting()); diff != "" {
		t.Fatalf("(-release 1 +converted)\n%s", diff)
	}
	y.Close()
	converted := contents(t, dir)
	snapshot, log := snapshotName(firstBehind), "log-0000000000000002"

	x.tenant(t, "written by release 1 after the attempt")
	tenant := x.Tenants()[1]
	later := x.record(Key{KindTenant, tenant.ID})
	for name, files := range map[string]map[string]string{
		"in the log":      {log: converted[log][:5]},
		"at the snapshot": {log: converted[log], snapshot + partial: converted[snapshot][:100]},
		"at the mark":     {log: converted[log], snapshot: converted[snapshot], formatName + partial: "svm"},
		"and damaged":     {log: converted[log], snapshot: "svmgate snapshot 1\nno"},
	} {
		dir := t.TempDir()
		writeRelease1(t, dir, append(slices.Clone(records), later))
		writeFiles(t, dir, files)
		for round := range 3 {
			z := open(t, Config{Journal: openDir(t, dir)})
			if diff := diff(x.lasting(), z.lasting()); diff != "" {
				t.Fatalf("cut short %s, start %d (-release 1 +converted)\n%s", name, round, diff)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			mustVerify(t, dir)
		}
	}
	delete(converted, snapshot)
	dir = t.TempDir()
	writeFiles(t, dir, converted)
	d := openDir(t, dir)
	if _, err := Open(Config{Journal: d}); err == nil || !strings.Contains(err.Error(), snapshot) {
		t.Errorf("a converted directory without its snapshot: %v, want an error that names it", err)
	}
}

// A Dir is a journal for whoever wants records.
func TestDirReplaysItsRecords(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: openDir(t, dir)})
	x.must(t, furnish)
	want := map[Key]Record{}
	for _, r := range x.all() {
		if lasts(r) {
			want[r.Key] = r
		}
	}
	x.Close()
	d := openDir(t, dir)
	got := map[Key]Record{}
	if err := d.Replay(func(r Record) error { got[r.Key] = r; return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-written +replayed)\n%s", diff)
	}
	stop := errors.New("enough")
	d.Close()
	if err := openDir(t, dir).Replay(func(Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Replay = %v, want the error of its function", err)
	}
}
