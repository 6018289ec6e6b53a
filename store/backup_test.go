package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// backup returns a backup of the table.
func (x tester) backup(t failer) *bytes.Reader {
	t.Helper()
	var b bytes.Buffer
	if err := x.Backup(context.Background(), &b); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

// restoredFrom is the table of a directory that is made of a backup.
func restoredFrom(t *testing.T, backup *bytes.Reader) tester {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "to be made")
	if _, err := Restore(dir, backup, backup.Size(), nil); err != nil {
		t.Fatal(err)
	}
	mustVerify(t, dir)
	return open(t, Config{Journal: openDir(t, dir)})
}

func TestRestoredTableIsTheOneOfTheBackup(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	x.tenant(t, "never active")
	x.vm(t, BIOSID{8}, TenantID{1}, "doomed")
	x.deleteVM(t, BIOSID{8})
	x.apply(t, Record{Key: Key{Kind: 200, ID: [16]byte{1}}, Value: []byte("of a newer release")})
	want := x.lasting()
	backup := x.backup(t)
	x.tenant(t, "later")
	sum, err := CheckBackup(backup, backup.Size(), nil)
	if err != nil || sum.Kinds[KindTenant] != 2 || sum.Kinds[KindVM] != 1 || sum.Tombstones != 2 || sum.Bytes != backup.Size() {
		t.Errorf("CheckBackup = %+v, %v", sum, err)
	}
	y := restoredFrom(t, backup)
	if diff := diff(want, y.lasting()); diff != "" {
		t.Errorf("(-table +restored)\n%s", diff)
	}
	y.must(t, furnish)
	y.tenant(t, "after")
	if diff := diff(y.lasting(), restoredFrom(t, y.backup(t)).lasting()); diff != "" {
		t.Errorf("a backup of what was restored (-table +restored)\n%s", diff)
	}
}

// While four writers change pairs of records, what is restored has all of a change
// or nothing, and everything that was acknowledged before the backup began.
func TestBackupIsOfOneMoment(t *testing.T) {
	x := open(t, Config{})
	const writers = 4
	var acknowledged [writers]atomic.Int64
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := int64(1); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := x.putPair(byte(w), n); err != nil {
					t.Error(err)
					return
				}
				acknowledged[w].Store(n)
			}
		})
	}
	for range 20 {
		var before [writers]int64
		for w := range before {
			before[w] = acknowledged[w].Load()
		}
		backup := x.backup(t)
		y := newTable(Config{})
		if err := y.loadSnapshot(backup, backup.Size()); err != nil {
			t.Fatal(err)
		}
		for w := range before {
			if n := pairIn(t, tester{y}, byte(w)); n < before[w] {
				t.Errorf("writer %d had %d acknowledged, and the backup has %d", w, before[w], n)
			}
		}
	}
	close(stop)
	all.Wait()
}

// putPair writes two tenants and two VMs that agree.
func (x tester) putPair(w byte, n int64) error {
	return x.Update(func(tx *Tx) error {
		var err error
		for half := range byte(2) {
			id, text := TenantID{w + 1, half}, fmt.Sprint(n)
			err = errors.Join(err,
				only(tx.PutTenant(Tenant{ID: id, Name: fmt.Sprint("tenant ", w, " ", half), Description: text})),
				only(tx.PutVM(VM{BIOS: BIOSID{w + 1, half}, ID: VMID{1}, Tenant: id, Name: text})))
		}
		return err
	})
}

// pairIn returns what putPair wrote last.
func pairIn(t *testing.T, x tester, w byte) (n int64) {
	t.Helper()
	var texts []string
	for half := range byte(2) {
		tenant, _ := x.Tenant(TenantID{w + 1, half})
		vm, _ := x.VM(BIOSID{w + 1, half})
		texts = append(texts, tenant.Description, vm.Name)
	}
	if len(slices.Compact(slices.Clone(texts))) != 1 {
		t.Errorf("writer %d wrote pairs, and there are %q", w, texts)
	}
	fmt.Sscan(texts[0], &n)
	return n
}

// Whatever is written between any two pieces of a backup, it is of one moment.
func TestBackupWhileItsWriterChangesTheTable(t *testing.T) {
	x := open(t, Config{})
	x.must(t, func(tx *Tx) error {
		var err error
		for n := range 200 {
			err = errors.Join(err, only(tx.PutVM(VM{BIOS: numberedBIOS(n), UserData: strings.Repeat("x", 60_000)})))
		}
		return err
	})
	var b bytes.Buffer
	pieces := int64(0)
	w := writerFunc(func(p []byte) (int, error) {
		pieces++
		for w := range byte(8) {
			if err := x.putPair(w, pieces); err != nil {
				t.Error(err)
			}
		}
		return b.Write(p)
	})
	if err := x.Backup(t.Context(), w); err != nil || pieces < 5 {
		t.Fatalf("Backup in %d pieces: %v", pieces, err)
	}
	y := newTable(Config{})
	if err := y.loadSnapshot(bytes.NewReader(b.Bytes()), int64(b.Len())); err != nil {
		t.Fatal(err)
	}
	for w := range byte(8) {
		if n := pairIn(t, tester{y}, w); n < pieces-2 {
			t.Errorf("writer %d wrote %d pairs before the last piece, the backup has the %dth", w, pieces, n)
		}
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A backup that begins while a change is on its way to the disk has the change,
// or is made before it; never a half of it.
func TestBackupThatBeginsDuringAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newSlowJournal()
		x := open(t, Config{Journal: j})
		go func() { <-j.started; j.end <- nil }()
		x.must(t, func(tx *Tx) error { // so much that the backup is written in several pieces
			var err error
			for n := range 100 {
				err = errors.Join(err, only(tx.PutVM(VM{BIOS: numberedBIOS(n), UserData: strings.Repeat("x", 60_000)})))
			}
			return err
		})
		var w byte // whose VM is in a part of the table that is written first
		for hashBIOS(&BIOSID{w + 1, 0})>>56 > 10 {
			w++
		}
		var all sync.WaitGroup
		all.Go(func() {
			if err := x.putPair(w, 7); err != nil {
				t.Error(err)
			}
		})
		<-j.started // staged, and not visible
		gate := &gatedWriter{goOn: make(chan struct{})}
		all.Go(func() {
			if err := x.Backup(context.Background(), gate); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // the backup waits for the change, or is in the midst of its work
		j.end <- nil
		synctest.Wait()
		close(gate.goOn)
		all.Wait()
		y := newTable(Config{})
		if err := y.loadSnapshot(bytes.NewReader(gate.Bytes()), int64(gate.Len())); err != nil {
			t.Fatal(err)
		}
		pairIn(t, tester{y}, w)
	})
}

// A gatedWriter waits at its first piece.
type gatedWriter struct {
	bytes.Buffer
	goOn chan struct{}
}

func (g *gatedWriter) Write(p []byte) (int, error) {
	<-g.goOn
	return g.Buffer.Write(p)
}

func TestBackupThatCanNotBeWritten(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	full := errors.New("no room")
	if err := x.Backup(t.Context(), failingWriter{full}); !errors.Is(err, full) {
		t.Errorf("Backup = %v, want %v", err, full)
	}
	if len(x.listeners.fns) != 0 {
		t.Error("a backup that failed goes on listening")
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// A backup that was cut or changed anywhere is refused, by whoever reads it, and
// nothing is made of it.
func TestDamagedBackupIsRefused(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	reader := x.backup(t)
	whole := make([]byte, reader.Size())
	if _, err := io.ReadFull(reader, whole); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 8))
	above := t.TempDir()
	for n := range 240 {
		damaged, what := slices.Clone(whole), ""
		switch at := r.IntN(len(whole)); n % 3 {
		case 0:
			what, damaged = fmt.Sprintf("cut at byte %d", at), damaged[:at]
		case 1:
			what = fmt.Sprintf("byte %d flipped", at)
			damaged[at] ^= 1 << r.IntN(8)
		default: // in what is least like the rest
			at = len(whole) - 1 - r.IntN(80)
			what = fmt.Sprintf("byte %d flipped", at)
			damaged[at] ^= 1 << r.IntN(8)
		}
		backup, size := bytes.NewReader(damaged), int64(len(damaged))
		if _, err := CheckBackup(backup, size, nil); err == nil || !strings.Contains(err.Error(), "the backup: byte ") {
			t.Errorf("%s: CheckBackup = %v, want an error that names the place", what, err)
		}
		dir := filepath.Join(above, "d")
		if _, err := Restore(dir, backup, size, nil); err == nil {
			t.Errorf("%s: was restored", what)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("%s: the refusal made %s", what, dir)
		}
		y := open(t, Config{})
		if _, err := y.RestoreAsNew(backup, size); err == nil || len(y.all()) > 0 {
			t.Errorf("%s: RestoreAsNew = %v, and there are %d records", what, err, len(y.all()))
		}
	}
	more := append(slices.Clone(whole), 0)
	if _, err := CheckBackup(bytes.NewReader(more), int64(len(more)), nil); err == nil {
		t.Error("a backup with a byte too many is taken")
	}
}

func TestCheckBackupTellsHowFarItIs(t *testing.T) {
	x := open(t, Config{})
	x.must(t, func(tx *Tx) error {
		var err error
		for n := range 100 {
			err = errors.Join(err, only(tx.PutVM(VM{BIOS: numberedBIOS(n), UserData: strings.Repeat("x", 60_000)})))
		}
		return err
	})
	backup := x.backup(t)
	var at []int64
	_, err := CheckBackup(backup, backup.Size(), func(done, total int64) {
		at = append(at, done)
		if total != backup.Size() {
			t.Errorf("the total is %d, want %d", total, backup.Size())
		}
	})
	if err != nil || len(at) < 3 || !slices.IsSorted(at) || at[len(at)-1] != backup.Size() {
		t.Errorf("%v; told of %v, want some steps that end at %d", err, at, backup.Size())
	}
}

// Restore makes a directory of an empty one, and of what it has itself left
// unfinished; nothing else is touched.
func TestRestoreNeedsAnEmptyDirectory(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	backup := x.backup(t)
	used := t.TempDir()
	y := open(t, Config{Journal: openDir(t, used)})
	y.tenant(t, "in use")
	y.Close()
	made := filepath.Join(t.TempDir(), "made")
	if _, err := Restore(made, backup, backup.Size(), nil); err != nil {
		t.Fatal(err)
	}
	files := contents(t, made)
	without := func(names ...string) map[string]string {
		rest := mapsWith(files, "", "")
		for _, name := range append(names, "") {
			delete(rest, name)
		}
		return rest
	}
	snapshot, log := snapshotName(firstBehind), wal.SegmentName(firstBehind)
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string // in the error; "" if it is restored
	}{
		{"empty", nil, ""},
		{"cut short at the beginning", map[string]string{lockName: "", snapshot + partial: files[snapshot][:100]}, ""},
		{"cut short behind the snapshot", without(log, formatName), ""},
		{"cut short in the log", mapsWith(without(formatName), log, files[log][:5]), ""},
		{"cut short at the end", mapsWith(without(formatName), formatName+partial, "svm"), ""},
		{"something of somebody", map[string]string{"letter.txt": "dear"}, "letter.txt"},
		{"a restored one", files, "is not empty"},
		{"one that was written to", contents(t, used), "is not empty"},
		{"one that was written to, without its mark", mapsWith(without(formatName), log, files[log]+"more"), log},
		{"another's snapshot", map[string]string{"snapshot-0000000000000007": "precious"}, "snapshot-0000000000000007"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, tt.files)
			_, err := Restore(dir, backup, backup.Size(), nil)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if diff := diff(x.lasting(), open(t, Config{Journal: openDir(t, dir)}).lasting()); diff != "" {
					t.Errorf("(-table +restored)\n%s", diff)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Restore = %v, want an error with %q", err, tt.want)
			}
			if after := contents(t, dir); len(after) != len(tt.files) {
				t.Errorf("the refusal left %d files of %d", len(after), len(tt.files))
			}
		})
	}
}

// What a Restore left that was cut short is no table: a gateway must not start
// with it.
func TestUnfinishedRestoreDoesNotOpen(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	backup, made := x.backup(t), filepath.Join(t.TempDir(), "made")
	if _, err := Restore(made, backup, backup.Size(), nil); err != nil {
		t.Fatal(err)
	}
	files := contents(t, made)
	snapshot := snapshotName(firstBehind)
	for name, left := range map[string]map[string]string{
		"half a snapshot": {snapshot + partial: files[snapshot][:100]},
		"a snapshot":      {snapshot: files[snapshot]},
		"all but the end": {snapshot: files[snapshot], wal.SegmentName(firstBehind): files[wal.SegmentName(firstBehind)]},
	} {
		dir := t.TempDir()
		writeFiles(t, dir, left)
		if _, err := OpenDir(dir); err == nil || !strings.Contains(err.Error(), "restore was cut short") {
			t.Errorf("%s: OpenDir = %v, want an error that says so", name, err)
		}
		if _, err := Restore(dir, backup, backup.Size(), nil); err != nil {
			t.Errorf("%s: restoring again: %v", name, err)
		}
	}
}

// A directory that a gateway has open is not restored into, whatever is in it.
func TestRestoreLocksTheDirectory(t *testing.T) {
	x := open(t, Config{})
	backup, dir := x.backup(t), t.TempDir()
	lock, err := lockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if _, err := Restore(dir, backup, backup.Size(), nil); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("Restore = %v, want a refusal", err)
	}
}

// newerThan is a table that has gone on after a backup: it has changed, switched,
// moved and deleted what is in it.
func newerThan(t *testing.T) (x tester, backup *bytes.Reader, want picture) {
	t.Helper()
	x = open(t, Config{Node: "a"})
	x.must(t, furnish)
	for i, name := range []string{"inactive", "never active", "deleted", "active"} {
		id := TenantID{byte(i + 10)}
		x.must(t, func(tx *Tx) error { return only(tx.PutTenant(Tenant{ID: id, Name: name})) })
		x.vm(t, BIOSID{byte(i + 10)}, id, name)
	}
	x.activate(t, TenantID{10}, true)
	x.activate(t, TenantID{10}, false)
	x.activate(t, TenantID{13}, true)
	backup, want = x.backup(t), x.lasting()

	x.activate(t, TenantID{10}, true)
	x.activate(t, TenantID{11}, true)
	x.deleteTenant(t, TenantID{12})
	x.activate(t, TenantID{13}, false)
	x.vm(t, BIOSID{3}, TenantID{13}, "moved")
	x.deleteVM(t, BIOSID{10})
	x.must(t, func(tx *Tx) error {
		_, svm := tx.DeleteSVM(SVMID{2})
		_, account := tx.DeleteAccount("root")
		_, tenant := tx.PutTenant(Tenant{ID: TenantID{1}, Name: "renamed"})
		return errors.Join(svm, account, tenant)
	})
	return x, backup, want
}

// objects is what a picture has besides versions and dates.
func (p picture) objects() string {
	var b strings.Builder
	for _, o := range p.Tenants {
		fmt.Fprintln(&b, o.ID, o.Name, o.Status, o.Discovery, o.Subnets)
	}
	for _, o := range p.SVMs {
		fmt.Fprintln(&b, o.ID, o.SVMConfig, o.SVMFacts)
	}
	slices.SortFunc(p.VMs, func(a, b VM) int { return compareID(a.BIOS, b.BIOS) })
	for _, o := range p.VMs {
		fmt.Fprintln(&b, o.BIOS, o.ID, o.Tenant, o.Name, o.Path, o.OS)
	}
	for _, o := range p.Accounts {
		fmt.Fprintln(&b, o.Name, o.Role, o.Hash)
	}
	fmt.Fprintln(&b, len(p.Tokens))
	return b.String()
}

// What comes back wins over everything that the table has of it, here and on
// every other gateway.
func TestRestoreAsNewWinsEverywhere(t *testing.T) {
	x, backup, want := newerThan(t)
	other := open(t, Config{Node: "b"})
	other.hear(t, x)
	sum, err := x.RestoreAsNew(backup, backup.Size())
	if err != nil || sum.Kinds[KindTenant] != 5 || sum.Kinds[KindVM] != 5 || sum.Kinds[KindAccount] != 1 {
		t.Errorf("RestoreAsNew = %+v, %v", sum, err)
	}
	for _, round := range []string{"at once", "again"} {
		if got := x.lasting().objects(); got != want.objects() {
			t.Errorf("%s: there is\n%s\nwant\n%s", round, got, want.objects())
		}
		if _, err := x.RestoreAsNew(backup, backup.Size()); err != nil {
			t.Fatal(err)
		}
	}
	other.hear(t, x)
	x.hear(t, other)
	if got := other.lasting().objects(); got != want.objects() {
		t.Errorf("on another gateway there is\n%s\nwant\n%s", got, want.objects())
	}
	if got := x.lasting().objects(); got != want.objects() {
		t.Errorf("after hearing from another gateway there is\n%s\nwant\n%s", got, want.objects())
	}
}

// What the backup does not have stays, also a tenant that it only has as deleted.
func TestRestoreAsNewLeavesTheRest(t *testing.T) {
	x := open(t, Config{})
	x.must(t, furnish)
	x.must(t, func(tx *Tx) error { return only(tx.PutTenant(Tenant{ID: TenantID{7}, Name: "phoenix"})) })
	x.activate(t, TenantID{7}, true)
	x.deleteTenant(t, TenantID{7})
	backup := x.backup(t)
	x.must(t, func(tx *Tx) error { return only(tx.PutTenant(Tenant{ID: TenantID{7}, Name: "phoenix"})) })
	x.activate(t, TenantID{7}, true)
	x.vm(t, BIOSID{9}, TenantID{7}, "new")
	if _, err := x.RestoreAsNew(backup, backup.Size()); err != nil {
		t.Fatal(err)
	}
	tenant, _ := x.Tenant(TenantID{7})
	if vm, ok := x.VM(BIOSID{9}); tenant.Status != Active || !ok || vm.Tenant != tenant.ID {
		t.Errorf("what came after the backup is %+v, %+v", tenant, vm)
	}
}

// A name that another tenant has by now is refused before anything is changed.
func TestRestoreAsNewRefusesANameThatIsTaken(t *testing.T) {
	x := open(t, Config{})
	x.must(t, func(tx *Tx) error { // more than is written at once
		err := furnish(tx)
		for n := range 5000 {
			id := TenantID(numberedBIOS(n))
			err = errors.Join(err, only(tx.PutTenant(Tenant{ID: id, Name: id.String()})))
		}
		return errors.Join(err, only(tx.PutTenant(Tenant{ID: TenantID{12}, Name: "deleted"})))
	})
	backup := x.backup(t)
	x.deleteTenant(t, TenantID{12})
	id := x.tenant(t, "deleted")
	before := x.picture()
	_, err := x.RestoreAsNew(backup, backup.Size())
	if !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), `"deleted"`) || !strings.Contains(err.Error(), "rename tenant "+id.String()) {
		t.Errorf("RestoreAsNew = %v, want ErrExists that says what to rename", err)
	}
	if diff := diff(before, x.picture()); diff != "" {
		t.Errorf("a refusal changed the table (-before +after)\n%s", diff)
	}
	x.deleteTenant(t, id)
	if _, err := x.RestoreAsNew(backup, backup.Size()); err != nil {
		t.Error(err)
	}
}
