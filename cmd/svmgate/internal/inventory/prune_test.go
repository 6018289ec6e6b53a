package inventory

import (
	"os"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// A fullJournal keeps nothing and fails when told to.
type fullJournal struct{ err error }

func (j *fullJournal) Replay(func(store.Record) error) error { return nil }
func (j *fullJournal) Append([]store.Record) error           { return j.err }
func (j *fullJournal) Close() error                          { return nil }

func filesIn(dir string) ([]os.DirEntry, error) { return os.ReadDir(dir) }

func census(t *testing.T, lines ...string) *Census {
	t.Helper()
	c, err := TakeCensus(strings.NewReader(strings.Join(lines, "\n")), NDJSON)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPrune: what the file lacks is named, of the kinds that the file has.
func TestPrune(t *testing.T) {
	table := openTable(t)
	load(t, table, Options{}, world...)
	load(t, table, Options{}, `{"tenant":{"name":"old"}}`, `{"svm":{"name":"old","address":"10.0.0.9"}}`)

	same := census(t, world...).Absent(table)
	if len(same.Tenants) != 1 || same.Tenants[0].Name != "old" || len(same.SVMs) != 1 || same.SVMs[0].Name != "old" || len(same.VMs) != 0 {
		t.Errorf("absent: %+v, want the tenant and the SVM called old", same)
	}
	vms := census(t, world[0]).Absent(table)
	if len(vms.Tenants) != 0 || len(vms.SVMs) != 0 || len(vms.VMs) != 1 || vms.VMs[0].BIOS.String() != bios2 {
		t.Errorf("absent from a file of VMs: %+v, want %s", vms, bios2)
	}
	if n, err := vms.Remove(table); n != 1 || err != nil {
		t.Errorf("Remove = %d, %v, want 1", n, err)
	}
	if n, err := vms.Remove(table); n != 0 || err != nil {
		t.Errorf("Remove again = %d, %v, want 0", n, err)
	}
	if n, err := same.Remove(table); n != 2 || err != nil {
		t.Errorf("Remove = %d, %v, want 2", n, err)
	}
	if got := table.Stats(); got.Tenants != 1 || got.SVMs != 1 || got.VMs != 1 {
		t.Errorf("the table has %+v, want one of each", got)
	}
	if got := census(t).Absent(table); len(got.Tenants)+len(got.SVMs)+len(got.VMs) != 0 {
		t.Errorf("absent from an empty file: %+v, want nothing", got)
	}
}

// TestCensusOfOneKind: a file without tenants, or SVMs, or VMs, says nothing of
// them.
func TestCensusOfOneKind(t *testing.T) {
	none := census(t)
	if !none.HasVM(store.BIOSID{1}) || !none.HasSVM(store.SVMID{1}, "a") || !none.HasTenant(store.TenantID{1}, "a") {
		t.Error("an empty file has something removed")
	}
	all := census(t, world...)
	if all.HasVM(store.BIOSID{1}) || all.HasSVM(store.SVMID{1}, "a") || all.HasTenant(store.TenantID{1}, "a") {
		t.Error("a file of every kind keeps what it does not name")
	}
	if !all.HasTenant(TenantIDOf("acme"), "renamed") || !all.HasTenant(store.TenantID{1}, "acme") || !all.HasSVM(SVMIDOf("svm1"), "renamed") {
		t.Error("a file removes what it names, by name or by the id derived from it")
	}
}

// TestPruneNeedsEveryRecord: a misspelt record must not cost what it names.
func TestPruneNeedsEveryRecord(t *testing.T) {
	_, err := TakeCensus(strings.NewReader(world[0]+"\n"+strings.Replace(world[3], "tenant", "tenent", 1)), NDJSON)
	if err == nil || !strings.Contains(err.Error(), "line 2: vm.tenent") {
		t.Errorf("TakeCensus = %v, want the record that can not be read", err)
	}
}
