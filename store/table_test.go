package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A tester is a table with short ways to say what tests say often.
type tester struct{ *Table }

func open(t testing.TB, cfg Config) tester {
	t.Helper()
	table, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return tester{table}
}

func (x tester) must(t testing.TB, fn func(*Tx) error) {
	t.Helper()
	if err := x.Update(fn); err != nil {
		t.Fatal(err)
	}
}

func (x tester) tenant(t testing.TB, name string) TenantID {
	t.Helper()
	tenant := Tenant{ID: NewTenantID(), Name: name, Discovery: DefaultDiscovery()}
	x.must(t, func(tx *Tx) error { _, err := tx.PutTenant(tenant); return err })
	return tenant.ID
}

func (x tester) activate(t testing.TB, id TenantID, active bool) {
	t.Helper()
	x.must(t, func(tx *Tx) error { _, err := tx.SetActive(id, active); return err })
}

func (x tester) deleteTenant(t testing.TB, id TenantID) {
	t.Helper()
	x.must(t, func(tx *Tx) error { _, err := tx.DeleteTenant(id); return err })
}

func (x tester) vm(t testing.TB, bios BIOSID, tenant TenantID, name string) {
	t.Helper()
	x.must(t, func(tx *Tx) error { _, err := tx.PutVM(VM{BIOS: bios, Tenant: tenant, Name: name}); return err })
}

func (x tester) deleteVM(t testing.TB, bios BIOSID) {
	t.Helper()
	x.must(t, func(tx *Tx) error { _, err := tx.DeleteVM(bios); return err })
}

func (x tester) svm(t testing.TB, id SVMID, state SVMState, pinned bool) {
	t.Helper()
	c := SVMConfig{Name: "svm", Address: "10.9.0.7", Pinned: pinned}
	x.must(t, func(tx *Tx) error { _, err := tx.ConfigureSVM(id, c, state); return err })
}

func (x tester) report(t testing.TB, id SVMID, f SVMFacts, connected int) {
	t.Helper()
	x.must(t, func(tx *Tx) error { _, err := tx.ReportSVM(id, f, connected); return err })
}

func (x tester) record(key Key) Record {
	x.writing.Lock()
	defer x.writing.Unlock()
	return x.current(key)
}

// all returns every record, ordered by key.
func (x tester) all() []Record {
	var out []Record
	x.Records(func(r Record) bool {
		out = append(out, r)
		return true
	})
	slices.SortFunc(out, func(a, b Record) int { return a.Key.compare(b.Key) })
	return out
}

// hear merges all records of the other tables into this one.
func (x tester) hear(t failer, others ...tester) {
	t.Helper()
	for _, o := range others {
		if _, err := x.Apply(Batch{Records: o.all(), From: "peer"}); err != nil {
			t.Fatal(err)
		}
	}
}

// A picture is all that can be read of a table.
type picture struct {
	Records  []string
	Tenants  []Tenant
	SVMs     []SVM
	VMs      []VM
	Accounts []Account
	Tasks    []Task
	Answers  []string // what a question sees of each VM
	Tokens   map[[32]byte]TenantID
	Events   []Event
	Days     []string // of each protection
}

func (x tester) picture() picture {
	p := picture{Records: []string{}, Tenants: x.Tenants(), SVMs: x.SVMs(), VMs: x.VMs(BIOSID{}, nil, 1<<30), Accounts: x.Accounts(), Tasks: x.Tasks(), Tokens: x.tokens.Load().all()}
	p.Events, p.Days = x.events(Version{}), x.days()
	for _, r := range x.all() {
		p.Records = append(p.Records, fmt.Sprintf("%v %x %x", r.Key, r.Version, r.Value))
	}
	for _, vm := range p.VMs {
		slot, ok := x.Lookup(&vm.BIOS)
		view := x.View()
		tenant, version := view.Tenant(slot.Tenant()), view.Version(slot.Version())
		p.Answers = append(p.Answers, fmt.Sprintln(vm.BIOS, ok, tenant, version, slot.OS(), slot.Kind(), slot.Amiss()))
	}
	return p
}

func (x *tokenIndex) all() map[[32]byte]TenantID {
	m := map[[32]byte]TenantID{}
	for _, s := range x.slots {
		if s.used {
			m[s.sum] = s.tenant
		}
	}
	return m
}

func (x tester) mustEqual(t failer, o tester) {
	t.Helper()
	if diff := cmp.Diff(x.picture(), o.picture()); diff != "" {
		t.Fatalf("two tables differ:\n%s", diff)
	}
	if x.digest() != o.digest() {
		t.Fatal("equal tables have different digests")
	}
}

// since is a moment of d after the table was opened, for Sweep.
func (x tester) since(d time.Duration) time.Time { return x.start.Add(d) }

// A failer is a test or a case of a property.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// diff compares pictures.
func diff(a, b picture) string { return cmp.Diff(a, b) }
