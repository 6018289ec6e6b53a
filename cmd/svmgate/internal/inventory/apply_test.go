package inventory

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/spool"
	"github.com/svmgate/svmgate/store"
)

func openTable(t testing.TB) *store.Table {
	t.Helper()
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

// load applies NDJSON lines.
func load(t testing.TB, table *store.Table, opt Options, lines ...string) Result {
	t.Helper()
	r, err := Load(table, strings.NewReader(strings.Join(lines, "\n")), NDJSON, opt)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return r
}

func want(t testing.TB, got Result, changed, unchanged int, refused ...string) {
	t.Helper()
	ok := got.Changed == changed && got.Unchanged == unchanged && len(got.Refused) == len(refused)
	for i := 0; ok && i < len(refused); i++ {
		ok = strings.Contains(fmt.Sprintf("%d: %s", got.Refused[i].Line, got.Refused[i].Reason), refused[i])
	}
	if !ok {
		t.Errorf("result %+v, want %d changed, %d unchanged, refused %q", got, changed, unchanged, refused)
	}
}

var world = []string{
	`{"vm":{"biosId":"` + bios1 + `","tenant":"acme","name":"web","os":"server","kind":"linux","version":"12.0","userData":"kept","path":{"host":"esx1","cluster":"c1","zone":"dc1"}}}`,
	`{"svm":{"name":"svm1","address":"10.9.0.7","version":"6.0","path":{"host":"esx1"},"tenants":["acme"],"tags":["gold"],"pinned":true,"connectedAgents":5,"state":"draining","license":{"state":"valid","key":"core"}}}`,
	`{"tenant":{"name":"acme","type":"complete","status":"active","userData":"contract 7","subnets":["10.1.0.0/16"],"discovery":{"tag":"gold"}}}`,
	`{"vm":{"biosId":"` + bios2 + `","tenant":"` + TenantIDOf("acme").String() + `"}}`,
}

// TestLoad: a record may refer to a tenant that comes later, absent fields take
// their defaults, and loading the same again changes nothing.
func TestLoad(t *testing.T) {
	table := openTable(t)
	want(t, load(t, table, Options{}, world...), 4, 0)
	want(t, load(t, table, Options{}, world...), 0, 4)
	want(t, load(t, table, Options{WithStatus: true}, world...), 0, 4)

	id := TenantIDOf("acme")
	ignore := cmpopts.IgnoreFields(store.Tenant{}, "Created", "Updated", "Revision")
	gotTenant, _ := table.Tenant(id)
	wantTenant := store.Tenant{
		ID: id, Name: "acme", Status: store.Active, UserData: "contract 7", Subnets: []string{"10.1.0.0/16"},
		Discovery: store.Discovery{Tag: "gold", Locked: true},
	}
	if diff := cmp.Diff(wantTenant, gotTenant, ignore); diff != "" {
		t.Errorf("tenant (-want +got):\n%s", diff)
	}
	gotSVM, _ := table.SVM(SVMIDOf("svm1"))
	wantSVM := store.SVM{
		ID:        SVMIDOf("svm1"),
		SVMConfig: store.SVMConfig{Name: "svm1", Address: "10.9.0.7", Tags: []string{"gold"}, Tenants: []store.TenantID{id}, Pinned: true},
		SVMFacts: store.SVMFacts{Version: "6.0", Path: store.Path{Host: "esx1"}, Kinds: []store.AgentKind{},
			License: store.License{State: store.LicenseValid}},
		ConnectedAgents: 5, State: store.Draining, Drain: store.Drain{Over: int(store.DefaultDrain / time.Second)},
	}
	if diff := cmp.Diff(wantSVM, gotSVM, cmpopts.IgnoreFields(store.SVM{}, "LastReport", "Revision"), cmpopts.IgnoreFields(store.Drain{}, "Since")); diff != "" {
		t.Errorf("SVM (-want +got):\n%s", diff)
	}
	gotVM, _ := table.VM(must(store.ParseBIOSID(bios1)))
	wantVM := store.VM{
		BIOS: gotVM.BIOS, ID: gotVM.ID, Tenant: id, Name: "web", UserData: "kept", OS: store.OSServer, Kind: store.AgentLinux,
		Version: "12.0", Path: store.Path{Host: "esx1", Cluster: "c1", Zone: "dc1"},
	}
	if diff := cmp.Diff(wantVM, gotVM, cmpopts.IgnoreFields(store.VM{}, "Created", "Updated", "Revision")); diff != "" {
		t.Errorf("VM (-want +got):\n%s", diff)
	}
}

// TestAbsentFieldsStay: a nightly inventory of placements wipes nothing.
func TestAbsentFieldsStay(t *testing.T) {
	table := openTable(t)
	load(t, table, Options{}, world...)
	csv := CSVHeader + "\n" + bios1 + ",,,,,esx2,,\n" + bios2 + ",acme,db,,,,,\n"
	r, err := Load(table, strings.NewReader(csv), CSV, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, r, 2, 0)
	vm, _ := table.VM(must(store.ParseBIOSID(bios1)))
	if vm.UserData != "kept" || vm.Name != "web" || vm.Tenant != TenantIDOf("acme") || vm.OS != store.OSServer ||
		vm.Path != (store.Path{Host: "esx2", Cluster: "c1", Zone: "dc1"}) {
		t.Errorf("after a CSV that names the host only: %+v", vm)
	}

	want(t, load(t, table, Options{},
		`{"tenant":{"name":"acme","discovery":{"protection":true}}}`,
		`{"svm":{"name":"svm1","license":{"key":"server"}}}`,
		`{"vm":{"biosId":"`+bios1+`","tenant":"","userData":""}}`), 3, 0)
	tenant, _ := table.Tenant(TenantIDOf("acme"))
	if tenant.Discovery.Tag != "gold" || !tenant.Discovery.Protection || tenant.UserData != "contract 7" || len(tenant.Subnets) != 1 {
		t.Errorf("after a record that names one setting only: %+v", tenant)
	}
	svm, _ := table.SVM(SVMIDOf("svm1"))
	if svm.License.State != store.LicenseValid || svm.License.Key != store.KeyServer || svm.ConnectedAgents != 5 || svm.Path.Host != "esx1" {
		t.Errorf("after a record that names the key only: %+v", svm)
	}
	vm, _ = table.VM(vm.BIOS)
	if !vm.Tenant.IsZero() || vm.UserData != "" || vm.Name != "web" {
		t.Errorf("after a record that empties two fields: %+v", vm)
	}
}

// TestStatusOnCreationOnly: an inventory reactivates nobody.
func TestStatusOnCreationOnly(t *testing.T) {
	table := openTable(t)
	load(t, table, Options{}, world...)
	off := `{"tenant":{"name":"acme","status":"inactive"}}`
	ready := `{"svm":{"name":"svm1","state":"ready"}}`
	want(t, load(t, table, Options{}, off, ready), 0, 2)
	if got, _ := table.Tenant(TenantIDOf("acme")); got.Status != store.Active {
		t.Errorf("tenant is %v, want active", got.Status)
	}
	if got, _ := table.SVM(SVMIDOf("svm1")); got.State != store.Draining {
		t.Errorf("SVM is %v, want draining", got.State)
	}
	want(t, load(t, table, Options{WithStatus: true}, off, ready), 2, 0)
	if got, _ := table.Tenant(TenantIDOf("acme")); got.Status != store.Inactive {
		t.Errorf("tenant is %v, want inactive with WithStatus", got.Status)
	}
	if got, _ := table.SVM(SVMIDOf("svm1")); got.State != store.Ready {
		t.Errorf("SVM is %v, want ready with WithStatus", got.State)
	}
}

var flawed = []string{
	`{"vm":{"biosId":"` + bios1 + `","tenant":"acme"}}`,
	`{"vm":{"biosId":"` + bios2 + `","tenant":"nobody"}}`,
	`{"svm":{"name":"s1"}}`,
	`{"svm":{"name":"s2","address":"not an address"}}`,
	`{"svm":{"name":"s3","address":"10.0.0.3","license":{"expires":"1066-10-14T09:00:00Z"}}}`,
	`{"tenant":{"name":"acme"}}`,
	`{"tenant":{"name":"b","subnets":["10.0.0.0"]}}`,
	`{"tenant":{"id":"` + bios1 + `"}}`,
	`{"tenant":{"name":"acme","id":"` + bios2 + `"}}`,
	`{"vm":{"biosId":"` + bios1 + `"}}`,
	`nonsense`,
}

var flaws = []string{
	`2: vm.tenant: there is no tenant "nobody", neither in the table nor in this inventory`,
	`3: svm.address: is missing`,
	`4: svm.address "not an address": must be an IP address or a host name`,
	`5: svm.license.expires`,
	`7: tenant.subnets "10.0.0.0": must be networks in CIDR notation`,
	`8: tenant.name: is missing`,
	`9: tenant.name: acme is on line 6 already`,
	`10: vm.biosId: ` + bios1 + ` is on line 1 already`,
	`11: "nonsen" is not JSON`,
}

// TestOneBadRecord: it alone is refused, in the order of the file.
func TestOneBadRecord(t *testing.T) {
	table := openTable(t)
	want(t, load(t, table, Options{}, flawed...), 2, 0, flaws...)
	if got := table.Stats(); got.VMs != 1 || got.Tenants != 1 || got.SVMs != 0 {
		t.Errorf("the table has %+v, want the two good records", got)
	}
	want(t, load(t, table, Options{}, flawed...), 0, 2, flaws...)
}

// TestRefusedRecordChangesNothing: not even the half of an SVM that was good.
func TestRefusedRecordChangesNothing(t *testing.T) {
	table := openTable(t)
	load(t, table, Options{}, world...)
	before, _ := table.SVM(SVMIDOf("svm1"))
	want(t, load(t, table, Options{}, `{"svm":{"name":"svm1","capacity":7,"license":{"expires":"1066-10-14T09:00:00Z"}}}`), 0, 0, `1: svm.license.expires`)
	after, _ := table.SVM(SVMIDOf("svm1"))
	if diff := cmp.Diff(before, after, cmpopts.IgnoreFields(store.SVM{}, "Revision")); diff != "" {
		t.Errorf("a refused record changed the SVM (-before +after):\n%s", diff)
	}
}

// TestAtomicAndDryRun change nothing: the one when anything is refused, the
// other ever.
func TestAtomicAndDryRun(t *testing.T) {
	table := openTable(t)
	want(t, load(t, table, Options{Atomic: true}, flawed...), 0, 0, flaws...)
	want(t, load(t, table, Options{DryRun: true}, flawed...), 2, 0, flaws...)
	want(t, load(t, table, Options{DryRun: true, Atomic: true}, world...), 4, 0)
	if got := table.Stats(); got.Tenants != 0 || got.VMs != 0 || got.SVMs != 0 {
		t.Errorf("the table has %+v, want nothing", got)
	}
	want(t, load(t, table, Options{Atomic: true}, world...), 4, 0)
	want(t, load(t, table, Options{DryRun: true}, world...), 0, 4)
}

// TestBrokenDocumentChangesNothing, wherever it breaks.
func TestBrokenDocumentChangesNothing(t *testing.T) {
	table := openTable(t)
	text := `{"tenants":[{"name":"a"}],"vms":[` + "\n" + strings.Repeat(" \n", MaxRecord/4) + `{"biosId":"` + bios1 + `"},` + "\n"
	for _, opt := range []Options{{}, {Atomic: true}, {DryRun: true}} {
		var at *Error
		if r, err := Load(table, strings.NewReader(text), JSON, opt); !errors.As(err, &at) || r.Changed != 0 {
			t.Errorf("%+v: Load = %+v, %v, want an Error", opt, r, err)
		}
	}
	if got := table.Stats(); got.Tenants != 0 {
		t.Errorf("the table has %+v, want nothing", got)
	}
	text = strings.Join(world, "\n")
	if _, err := Load(table, strings.NewReader(text), NDJSON, Options{MaxBytes: int64(len(text)) - 1}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Load = %v, want %v", err, ErrTooLarge)
	}
	if _, err := Load(table, strings.NewReader(text), NDJSON, Options{MaxBytes: int64(len(text))}); err != nil {
		t.Errorf("Load of what just fits: %v", err)
	}
}

// TestLargeLoad goes through the temporary file and several changes.
func TestLargeLoad(t *testing.T) {
	const n = 2*chunkRecords + 100
	var b bytes.Buffer
	pad := strings.Repeat("x", 600)
	for i := range n {
		fmt.Fprintf(&b, `{"vm":{"biosId":"4221a0c4-0000-4000-8000-%012d","tenant":"t%d","userData":"%s"}}`+"\n", i, i%7, pad)
	}
	for i := range 7 {
		fmt.Fprintf(&b, `{"tenant":{"name":"t%d"}}`+"\n", i)
	}
	if b.Len() <= spool.MaxMemory {
		t.Fatalf("%d bytes fit in memory", b.Len())
	}
	dir := t.TempDir()
	table := openTable(t)
	for _, changed := range []int{n + 7, 0} {
		r, err := Load(table, io.MultiReader(bytes.NewReader(b.Bytes())), NDJSON, Options{TempDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		want(t, r, changed, n+7-changed)
	}
	if got := table.Stats(); got.VMs != n {
		t.Errorf("the table has %d VMs, want %d", got.VMs, n)
	}
	if _, err := Load(table, bytes.NewReader(b.Bytes()), NDJSON, Options{TempDir: dir, MaxBytes: spool.MaxMemory + 100}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Load = %v, want %v", err, ErrTooLarge)
	}
	if left, err := filesIn(dir); err != nil || len(left) > 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
}

// TestRenamedSince: what an administrator renamed is still found, and keeps its
// name.
func TestRenamedSince(t *testing.T) {
	table := openTable(t)
	load(t, table, Options{}, world...)
	err := table.Update(func(tx *store.Tx) error {
		tenant, _ := tx.Tenant(TenantIDOf("acme"))
		tenant.Name = "Acme Ltd"
		_, err := tx.PutTenant(tenant)
		svm, _ := tx.SVM(SVMIDOf("svm1"))
		svm.Name = "svm-01"
		_, err2 := tx.PutSVM(svm)
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, load(t, table, Options{}, world...), 0, 4)
}

// TestNames: a name that is taken, and one that several have.
func TestNames(t *testing.T) {
	table := openTable(t)
	svm := func(id, name string) string {
		return `{"svm":{"id":"` + id + `","name":"` + name + `","address":"10.0.0.1"}}`
	}
	want(t, load(t, table, Options{}, `{"tenant":{"name":"acme"}}`, svm(bios1, "s"), svm(bios2, "s")), 3, 0)
	want(t, load(t, table, Options{}, `{"tenant":{"name":"acme","id":"`+bios1+`"}}`, `{"svm":{"name":"s","pinned":true}}`), 0, 0,
		`1: tenant name "acme": already exists`, `2: svm.name: several SVMs are called "s"; give the id`)
}

// TestJournalErrors end the import and say what was done before.
func TestJournalErrors(t *testing.T) {
	full := &fullJournal{}
	table, err := store.Open(store.Config{Journal: full})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	load(t, table, Options{}, world[2])
	full.err = store.ErrReadOnly
	for _, opt := range []Options{{}, {Atomic: true}} {
		r, err := Load(table, strings.NewReader(strings.Join(world, "\n")), NDJSON, opt)
		if !errors.Is(err, store.ErrReadOnly) || r.Changed != 0 {
			t.Errorf("%+v: Load = %+v, %v, want %v", opt, r, err, store.ErrReadOnly)
		}
	}
}

// TestResultJSON: the wire shape has its lists even when they are empty.
func TestResultJSON(t *testing.T) {
	for _, tt := range []struct {
		in   Result
		want string
	}{
		{Result{}, `{"changed":0,"unchanged":0,"refused":[]}`},
		{Result{Changed: 1, Refused: []Refusal{{Line: 17, Reason: "r"}}, RefusedMore: 2}, `{"changed":1,"unchanged":0,"refused":[{"line":17,"reason":"r"}],"refusedMore":2}`},
	} {
		if got, err := json.Marshal(tt.in); err != nil || string(got) != tt.want {
			t.Errorf("%s, %v, want %s", got, err, tt.want)
		}
	}
	var r Result
	for range MaxRefused + 5 {
		r.refuse(1, "")
	}
	if len(r.Refused) != MaxRefused || r.RefusedMore != 5 {
		t.Errorf("%d refusals and %d more, want %d and 5", len(r.Refused), r.RefusedMore, MaxRefused)
	}
}

// TestExportImports: what the management API shows can be imported elsewhere.
func TestExportImports(t *testing.T) {
	from, to := openTable(t), openTable(t)
	load(t, from, Options{}, world...)
	shown, err := json.Marshal(map[string]any{"tenants": from.Tenants(), "svms": from.SVMs(), "vms": from.VMs(store.BIOSID{}, nil, 10)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Load(to, bytes.NewReader(shown), JSON, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want(t, r, 4, 0)
	ignore := cmp.Options{
		cmpopts.IgnoreFields(store.Tenant{}, "Created", "Updated", "Revision"),
		cmpopts.IgnoreFields(store.SVM{}, "LastReport", "Revision"),
		cmpopts.IgnoreFields(store.Drain{}, "Since"),
		cmpopts.IgnoreFields(store.VM{}, "Created", "Updated", "Revision"),
		cmpopts.SortSlices(func(a, b store.VM) bool { return a.BIOS.String() < b.BIOS.String() }),
	}
	for _, diff := range []string{
		cmp.Diff(from.Tenants(), to.Tenants(), ignore), cmp.Diff(from.SVMs(), to.SVMs(), ignore),
		cmp.Diff(from.VMs(store.BIOSID{}, nil, 10), to.VMs(store.BIOSID{}, nil, 10), ignore),
	} {
		if diff != "" {
			t.Errorf("imported elsewhere (-shown +imported):\n%s", diff)
		}
	}
}
