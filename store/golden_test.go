package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store/internal/wal"
)

var update = flag.Bool("update", false, "make the golden directory of this release anew")

// Directories that releases have written open for ever, and have in them what was
// written. testdata/golden/README.md says how they were made.
func TestGoldenDirectories(t *testing.T) {
	const newest = "testdata/golden/release2-history"
	if *update {
		text := makeGolden(t, newest, slices.Concat(goldenSteps, goldenHistory))
		writeFiles(t, "testdata/golden", map[string]string{"history.txt": text})
	}
	for _, tt := range []struct {
		name, from string
		harm       func(files map[string]string)
		cut        int64  // bytes
		table      string // what is in it; "table.txt" if empty
	}{
		{name: "release 1", from: "release1"},
		{name: "release 1, a change cut short", from: "release1-torn", cut: 8},
		{name: "release 2", from: "release2"},
		{name: "release 2, not closed", from: "release2", harm: func(files map[string]string) {
			unseal(files, "")
		}},
		{name: "release 2, a change cut short", from: "release2", cut: 8, harm: func(files map[string]string) {
			unseal(files, "\x70\x00\x00\x00torn")
		}},
		{name: "release 2, room behind the log", from: "release2", harm: func(files map[string]string) {
			unseal(files, strings.Repeat("\x00", 5000))
		}},
		{name: "release 2, with history", from: "release2-history", table: "history.txt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, files := t.TempDir(), contents(t, filepath.Join("testdata/golden", tt.from))
			if tt.harm != nil {
				tt.harm(files)
			}
			writeFiles(t, dir, files)
			if sum := mustVerify(t, dir); sum.Cut != tt.cut {
				t.Errorf("Verify says that %d bytes are cut, want %d", sum.Cut, tt.cut)
			}
			want, err := os.ReadFile(filepath.Join("testdata/golden", cmp.Or(tt.table, "table.txt")))
			if err != nil {
				t.Fatal(err)
			}
			keepsItsTable(t, dir, string(want))
		})
	}
}

// keepsItsTable opens a directory again and again.
func keepsItsTable(t *testing.T, dir, want string) {
	t.Helper()
	for round := range 3 {
		x := open(t, Config{Journal: openDir(t, dir)})
		if got := x.describe(t); got != want {
			t.Fatalf("opened %d times, it has\n%s\nwant\n%s", round+1, got, want)
		}
		x.tenant(t, fmt.Sprint("written in round ", round))
		if want = x.describe(t); round == 1 {
			if err := x.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		mustVerify(t, dir)
	}
}

// unseal replaces the end of the last segment, as a crash would.
func unseal(files map[string]string, tail string) {
	last := slices.Max(slices.DeleteFunc(slices.Collect(maps.Keys(files)), func(name string) bool {
		return !strings.HasPrefix(name, "log-")
	}))
	files[last] = files[last][:len(files[last])-wal.FrameHeader] + tail
}

func TestDirectoryOfANewerReleaseIsRefused(t *testing.T) {
	dir := copyDir(t, "testdata/golden/release3")
	before := contents(t, dir)
	_, err := OpenDir(dir)
	if err == nil || !strings.Contains(err.Error(), "written by a newer release") || !strings.Contains(err.Error(), dir) {
		t.Errorf("OpenDir = %v, want an error that names %s and a newer release", err, dir)
	}
	delete(before, lockName)
	after := contents(t, dir)
	delete(after, lockName)
	if len(before) != len(after) || before[formatName] != after[formatName] {
		t.Errorf("the refusal changed the directory from %q to %q", before, after)
	}
}

// makeGolden makes a directory with two snapshots and a log behind them, and describes
// what is in it.
func makeGolden(t *testing.T, golden string, steps []func(*Table) error) (table string) {
	dir, clock := t.TempDir(), newStopped()
	x := open(t, Config{Journal: openDir(t, dir), Clock: clock.time, Node: "golden"})
	for i, step := range steps {
		clock.advance(time.Second)
		if err := step(x.Table); err != nil {
			t.Fatal(err)
		}
		if i == len(steps)/3 || i == 2*len(steps)/3 {
			if err := x.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	table = x.describe(t)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	files := contents(t, dir)
	delete(files, lockName)
	if err := errors.Join(os.RemoveAll(golden), os.MkdirAll(golden, 0o700)); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, golden, files)
	return table
}

// describe writes out what of a table lasts.
func (x tester) describe(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	p := x.lasting()
	line := func(what string, value any) {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", what, text)
	}
	for _, tenant := range p.Tenants {
		line("tenant", tenant)
	}
	for _, svm := range p.SVMs {
		line("svm", svm)
	}
	slices.SortFunc(p.VMs, func(a, b VM) int { return compareID(a.BIOS, b.BIOS) })
	for _, vm := range p.VMs {
		line("vm", vm)
	}
	for _, account := range p.Accounts {
		line("account", account)
	}
	for _, e := range p.Events {
		line("event", e)
	}
	for _, days := range p.Days {
		fmt.Fprintf(&b, "protection %s\n", days)
	}
	for _, r := range p.Records {
		fmt.Fprintf(&b, "record %s\n", r)
	}
	return b.String()
}

func golden(fn func(*Tx) error) func(*Table) error {
	return func(t *Table) error { return t.Update(fn) }
}

func only(_ bool, err error) error { return err }

// goldenSteps make a table that has something of everything. Whatever is changed
// here, the directories of older releases do not have.
var goldenSteps = []func(*Table) error{
	golden(func(tx *Tx) error {
		acme := Tenant{
			ID: TenantID{1}, Name: "acme", Description: "first, and largest", Type: Complete, UserData: `{"contract": 7}`,
			Subnets: []string{"10.1.0.0/16", "fd00::/8"},
			Discovery: Discovery{Algorithm: Extended, Path: PathZone, Load: Fewest, Tag: "gold", Protection: true,
				AgentVersion: "12.0", Locked: true},
			Administration: Administration{Server: "ksc.example", Address: "10.9.9.9", User: "operator"},
		}
		_, err := tx.PutTenant(acme)
		for i, name := range []string{"off again", "never active", "on again", "deleted", "имя"} {
			err = errors.Join(err, only(tx.PutTenant(Tenant{ID: TenantID{byte(i + 2)}, Name: name, Discovery: DefaultDiscovery()})))
		}
		return err
	}),
	golden(func(tx *Tx) error {
		var err error
		for _, id := range []byte{1, 2, 4, 5} {
			err = errors.Join(err, only(tx.SetActive(TenantID{id}, true)))
		}
		return err
	}),
	golden(func(tx *Tx) error {
		return errors.Join(only(tx.SetActive(TenantID{2}, false)), only(tx.SetActive(TenantID{4}, false)))
	}),
	golden(func(tx *Tx) error { return only(tx.SetActive(TenantID{4}, true)) }),
	golden(func(tx *Tx) error {
		return errors.Join(
			only(tx.SetToken(Token{Tenant: TenantID{1}, Current: [32]byte{1}, Previous: [32]byte{2}, PreviousUntil: time.UnixMilli(4e12)})),
			only(tx.SetToken(Token{Tenant: TenantID{2}, Current: [32]byte{3}})),
			only(tx.SetToken(Token{Tenant: TenantID{5}, Current: [32]byte{5}})),
		)
	}),
	golden(func(tx *Tx) error {
		license := License{State: LicenseValid, Key: KeyServer, Edition: EditionEnterprise, Expires: milliTime(4e12)}
		facts := SVMFacts{
			Version: "6.0.0.1", Platform: OpenStack, Path: Path{"esx-1", "cluster", "dc"}, LargeInfra: true,
			License: license, Encryption: true, AllowUnprotected: true, Kinds: []AgentKind{AgentLinux, AgentWindows},
		}
		return errors.Join(
			only(tx.PutSVM(SVM{
				ID: SVMID{1}, SVMConfig: SVMConfig{
					Name: "svm-1", Address: "svm1.example", Tags: []string{"gold", "ssd"}, Tenants: []TenantID{{1}},
					Capacity: 500, HardCap: 900, Pinned: true,
				}, SVMFacts: facts, ConnectedAgents: 77,
			})),
			only(tx.PutSVM(SVM{ID: SVMID{2}, SVMConfig: SVMConfig{Name: "svm-2", Address: "10.9.0.7", Pinned: true}, State: Draining})),
			only(tx.ConfigureSVM(SVMID{3}, SVMConfig{Name: "svm-3", Address: "10.9.0.8"}, Ready)),
			only(tx.ConfigureSVM(SVMID{4}, SVMConfig{Name: "deleted", Address: "10.9.0.9"}, Ready)),
		)
	}),
	golden(func(tx *Tx) error {
		var err error
		for i := range byte(12) {
			vm := VM{BIOS: BIOSID{i + 1}, ID: VMID{i + 1}, Name: fmt.Sprintf("vm-%03d", i)}
			if i%2 == 0 {
				vm.Tenant = TenantID{i/2%6 + 1}
			}
			if i%3 == 0 {
				vm.UserData = strings.Repeat("data ", int(i))
			}
			if i%4 != 0 {
				vm.OS, vm.Kind, vm.Version = GuestOS(i%3), AgentKind(i%3), fmt.Sprintf("12.%d.0.455", i%5)
				vm.Path = Path{fmt.Sprint("esx-", i%3), "cluster", "dc"}
			}
			err = errors.Join(err, only(tx.PutVM(vm)))
		}
		return err
	}),
	golden(func(tx *Tx) error {
		return errors.Join(
			only(tx.DeleteVM(BIOSID{2})), only(tx.DeleteVM(BIOSID{4})),
			only(tx.PutVM(VM{BIOS: BIOSID{3}, ID: VMID{3}, Tenant: TenantID{1}, Name: "moved to acme"})),
		)
	}),
	golden(func(tx *Tx) error {
		return only(tx.PutVM(VM{BIOS: BIOSID{4}, ID: VMID{44}, Tenant: TenantID{4}, Name: "registered again", Version: "nonsense"}))
	}),
	func(t *Table) error {
		row := vmRow{Tenant: TenantID{1}, ID: VMID{50}, Name: "without a placement"}
		of := vmRow{Tenant: TenantID{99}, ID: VMID{51}, Name: "of a tenant that nobody told of"}
		_, err := t.Apply(Batch{Records: []Record{
			{Key: Key{KindVM, BIOSID{50}}, Value: row.encode()},
			{Key: Key{KindVM, BIOSID{51}}, Value: append(of.encode(), "of a newer release"...)},
			{Key: Key{200, [16]byte{1}}, Value: []byte("of a kind that nobody knows")},
			{Key: Key{200, [16]byte{2}}, Value: []byte("likewise, and deleted")},
		}})
		return err
	},
	func(t *Table) error {
		_, err := t.Apply(Batch{Records: []Record{{Key: Key{200, [16]byte{2}}}}})
		return err
	},
	golden(func(tx *Tx) error {
		return errors.Join(
			only(tx.PutAccount(Account{Name: "root", Role: RoleSVM, SVMs: []SVMID{{1}, {2}}, Hash: "$argon2id$v=19$m=65536"})),
			only(tx.PutAccount(Account{Name: "deleted", Hash: "$argon2id$"})),
		)
	}),
	golden(func(tx *Tx) error {
		return errors.Join(only(tx.DeleteTenant(TenantID{5})), only(tx.DeleteSVM(SVMID{4})), only(tx.DeleteAccount("deleted")))
	}),
}

// goldenHistory has events, observations and days of protection, some of them forgotten.
var goldenHistory = []func(*Table) error{
	golden(func(tx *Tx) error {
		return errors.Join(
			only(tx.Emit(Event{ID: EventID{1}, Type: "svm.down", SVM: SVMID{1}, Message: "forgotten"})),
			only(tx.PutObservation(Observation{ID: SVMID{1}, State: 1, Times: 1, Cause: 1 << 60, Repeated: milliTime(4e12)})),
			only(tx.Protect(BIOSID{1}, DayOf(tx.Now())-MaxDays, DayOf(tx.Now()))),
			only(tx.Protect(BIOSID{3}, DayOf(tx.Now())-9, DayOf(tx.Now())-8)),
		)
	}),
	golden(func(tx *Tx) error {
		return errors.Join(
			only(tx.Emit(Event{
				ID: EventID{2}, Type: "admin.tenant_update", Tenant: TenantID{1}, VM: BIOSID{1}, SVM: SVMID{1}, Message: "имя",
				Actor: "root", From: "10.0.0.1", Before: []byte(`{"name":"a"}`), After: []byte(`{"name":"acme"}`),
			})),
			only(tx.PutObservation(Observation{ID: BIOSID{1}, State: 2})),
			only(tx.PutObservation(Observation{ID: BIOSID{6}, State: 2})),
		)
	}),
	func(t *Table) error { _, err := t.ForgetEvents(Time{}, 1); return err },
	func(t *Table) error { _, err := t.ForgetProtection(DayOf(t.clock.now) - 5); return err },
	golden(func(tx *Tx) error {
		return errors.Join(only(tx.Emit(Event{ID: EventID{3}, Type: "svm.up", SVM: SVMID{1}})), only(tx.DeleteVM(BIOSID{6})))
	}),
}

// copyDir copies a directory to one that a test may harm.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, contents(t, from))
	return dir
}

// contents reads the files of a directory.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	names, err := readNames(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) { // the table is at work
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(b)
	}
	return files
}

func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// mustVerify fails the test if Verify finds damage.
func mustVerify(t testing.TB, dir string) Summary {
	t.Helper()
	sum, err := Verify(dir, nil, func(d Damage) { t.Errorf("Verify reports %v", d) })
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
