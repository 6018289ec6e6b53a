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

func openJournal(t testing.TB, dir string) Journal {
	t.Helper()
	j, err := OpenJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// replayed opens the journal of dir, reads it and closes it.
func replayed(dir string) (records []Record, err error) {
	j, err := OpenJournal(dir)
	if err != nil {
		return nil, err
	}
	err = j.Replay(func(r Record) error {
		records = append(records, r)
		return nil
	})
	return records, errors.Join(err, j.Close())
}

func sameRecords(a, b []Record) bool {
	return slices.EqualFunc(a, b, func(a, b Record) bool {
		return a.Key == b.Key && a.Version == b.Version && bytes.Equal(a.Value, b.Value)
	})
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
	before := open(t, Config{Journal: openJournal(t, dir)})
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
		after := open(t, Config{Journal: openJournal(t, dir)})
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
	before := open(t, Config{Journal: openJournal(t, dir), Clock: clock.time})
	id := before.tenant(t, "acme")
	before.activate(t, id, true)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	clock.advance(-1e13)
	after := open(t, Config{Journal: openJournal(t, dir), Clock: clock.time})
	after.activate(t, id, false)
	if tenant, _ := after.Tenant(id); tenant.Status != Inactive {
		t.Errorf("the tenant is %v after an acknowledged deactivation", tenant.Status)
	}
}

// threeFrames writes a journal of three frames in a new directory. It returns
// their records and the offsets at which frames begin and the last one ends.
func threeFrames(t *testing.T) (content []byte, frames [3][]Record, at [4]int) {
	t.Helper()
	dir := t.TempDir()
	j := openJournal(t, dir)
	if err := j.Replay(func(Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	at[0] = len(journalHeader)
	for i := range frames {
		for n := range i + 1 {
			frames[i] = append(frames[i], Record{
				Key: Key{KindAccount, [16]byte{byte(i), byte(n)}}, Version: Version{Clock: uint64(n + 1), Node: 1},
				Value: fmt.Appendf(nil, "frame %d record %d", i, n),
			})
		}
		if err := j.Append(frames[i]); err != nil {
			t.Fatal(err)
		}
		var err error
		if content, err = os.ReadFile(filepath.Join(dir, "journal")); err != nil {
			t.Fatal(err)
		}
		at[i+1] = len(content)
	}
	return content, frames, at
}

func writeJournal(t *testing.T, dir string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "journal"), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A crash may leave any part of the last frame, and zeros for the rest: it was
// not acknowledged. All before it was.
func TestTornTailKeepsAllEarlierFrames(t *testing.T) {
	t.Parallel()
	content, frames, at := threeFrames(t)
	earlier := slices.Concat(frames[0], frames[1])
	dir := t.TempDir()
	for cut := at[2]; cut < at[3]; cut++ {
		zeros := slices.Concat(content[:cut], make([]byte, at[3]-cut))
		for i, torn := range [][]byte{content[:cut], zeros, append(zeros, make([]byte, 5000)...)} {
			if i > 0 && cut%4 != 0 && cut > at[2]+frameHeader {
				continue
			}
			writeJournal(t, dir, torn)
			got, err := replayed(dir)
			if err != nil || !sameRecords(got, earlier) {
				t.Fatalf("cut at byte %d of %d, %d bytes long: %d records, %v; want the %d of earlier frames",
					cut, at[3], len(torn), len(got), err, len(earlier))
			}
		}
	}
	// And what is appended then follows them.
	writeJournal(t, dir, content[:at[3]-1])
	j := openJournal(t, dir)
	if err := j.Replay(func(Record) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.Append(frames[0]), j.Close()); err != nil {
		t.Fatal(err)
	}
	if got, err := replayed(dir); err != nil || !sameRecords(got, append(earlier, frames[0]...)) {
		t.Errorf("after another Append: %d records, %v", len(got), err)
	}
}

// A bit that flips in what was written before the last frame is found and named.
// One in the last frame can not always be told from a crash, but is never
// believed either.
func TestFlippedBitIsFoundAndNeverServed(t *testing.T) {
	t.Parallel()
	content, frames, at := threeFrames(t)
	dir := t.TempDir()
	all := slices.Concat(frames[0], frames[1], frames[2])
	for i := range content {
		frame := 0
		for frame < 2 && i >= at[frame+1] {
			frame++
		}
		for bit := range 8 {
			if i >= at[frame]+frameHeader && bit != i%8 { // of headers every bit
				continue
			}
			damaged := bytes.Clone(content)
			damaged[i] ^= 1 << bit
			writeJournal(t, dir, damaged)
			got, err := replayed(dir)
			if !sameRecords(got, all[:min(len(got), len(all))]) || len(got) == len(all) {
				t.Fatalf("with bit %d of byte %d flipped, %v is read", bit, i, got)
			}
			if frame == 2 && err == nil {
				continue
			}
			want := fmt.Sprintf("%s is damaged: the frame at byte %d", filepath.Join(dir, "journal"), at[frame])
			if i < at[0] {
				want = filepath.Join(dir, "journal") + " is not a journal"
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("with bit %d of byte %d flipped: %v; want %q", bit, i, err, want)
			}
			if after, err := os.ReadFile(filepath.Join(dir, "journal")); err != nil || !bytes.Equal(after, damaged) {
				t.Fatalf("with bit %d of byte %d flipped, the file was changed: %v", bit, i, err)
			}
		}
	}
}

// After a clean stop the last frame is known to have been whole.
func TestDamageBeforeTheSealIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "journal")
	j := openJournal(t, dir)
	record := Record{Key: Key{KindAccount, [16]byte{1}}, Version: Version{Clock: 1, Node: 1}, Value: []byte("the last write")}
	if err := errors.Join(j.Replay(nil), j.Append([]Record{record}), j.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(journalHeader); i < len(content)-frameHeader; i++ {
		damaged := bytes.Clone(content)
		damaged[i] ^= 1
		writeJournal(t, dir, damaged)
		if _, err := replayed(dir); err == nil || !strings.Contains(err.Error(), "is damaged: the frame at byte") {
			t.Fatalf("with byte %d damaged: %v", i, err)
		}
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, damaged) {
			t.Fatalf("with byte %d damaged the file was changed: %v", i, err)
		}
	}
}

func TestDamagedRecordNamesItsPlace(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	bad := Record{Key: Key{KindTenant, [16]byte{1}}, Version: Version{Clock: 1}, Value: []byte{1, 200}}
	if err := errors.Join(j.Replay(nil), j.Append([]Record{bad}), j.Close()); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Config{Journal: openJournal(t, dir)})
	if !errors.Is(err, errCorrupt) || !strings.Contains(err.Error(), bad.Key.String()) || !strings.Contains(err.Error(), "byte 18") {
		t.Errorf("Open = %v; want the record and the byte", err)
	}
}

// A file that is not ours is neither read nor overwritten, however short.
func TestForeignFilesAreRefusedAndKept(t *testing.T) {
	for _, content := range []string{"x", "hello\n", "svmgate journal 2\nwhatever", strings.Repeat("long ", 100)} {
		dir := t.TempDir()
		writeJournal(t, dir, []byte(content))
		if _, err := replayed(dir); err == nil || !strings.Contains(err.Error(), "not a journal of this release") {
			t.Errorf("%q: %v, want a refusal", content, err)
		}
		if after, err := os.ReadFile(filepath.Join(dir, "journal")); string(after) != content || err != nil {
			t.Errorf("%q became %q, %v", content, after, err)
		}
	}
	for n := range len(journalHeader) { // cut while it was made
		dir := t.TempDir()
		writeJournal(t, dir, []byte(journalHeader[:n]))
		if records, err := replayed(dir); err != nil || len(records) != 0 {
			t.Errorf("a first line of %d bytes: %v, %v", n, records, err)
		}
	}
}

func TestJournalIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "journal")
	if err := os.WriteFile(file, []byte(journalHeader), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := replayed(dir); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

func TestDirectoryHasOneUser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "if need be")
	j := openJournal(t, dir)
	if _, err := OpenJournal(dir); err == nil || !strings.Contains(err.Error(), "in use by another process") {
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
	openJournal(t, dir)
}

func TestDirectoryThatCanNotBeMadeIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenJournal(filepath.Join(file, "data")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("OpenJournal = %v, want an error that names %s", err, file)
	}
}

// When the state of the file is unknown nothing is acknowledged any more, and
// nothing half-written is visible; reading goes on.
func TestJournalThatFailsRefusesWrites(t *testing.T) {
	dir := t.TempDir()
	j := openJournal(t, dir)
	table := open(t, Config{Journal: j})
	table.must(t, furnish)
	before := table.picture()
	if err := j.(*fileJournal).file.Close(); err != nil { // the device is gone
		t.Fatal(err)
	}
	for range 2 {
		if err := table.Update(func(tx *Tx) error { _, err := tx.DeleteTenant(TenantID{1}); return err }); !errors.Is(err, ErrReadOnly) {
			t.Errorf("Update = %v, want ErrReadOnly", err)
		}
	}
	if diff := diff(before, table.picture()); diff != "" {
		t.Errorf("a refused write changed the table:\n%s", diff)
	}
}
