package tenancy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// alone is a gateway without any KSC.
func alone(t *testing.T, cfg Config) *gateway {
	t.Helper()
	return start(t, cfg, &memory{}, nil, ksctest.Holding{})
}

// ended is the end of a task that has ended when it is begun.
func (g *gateway) ended(task store.Task, err error) store.Task {
	g.t.Helper()
	if err != nil || !task.State.Ended() {
		g.t.Fatalf("%+v, %v; want it to have ended", task, err)
	}
	return task
}

func TestActivation(t *testing.T) {
	g := alone(t, Config{RecordOnly: true})
	task := g.ended(g.Create(audit.Who{Account: "root"}, complete("acme")))
	status := func(want store.TenantStatus) {
		t.Helper()
		if got, _ := g.table.Tenant(task.Tenant); got.Status != want {
			t.Errorf("the tenant is %v, want %v", got.Status, want)
		}
	}
	status(store.Inactive)
	for _, active := range []bool{true, true, false, false, true} {
		switched := g.ended(g.SetActive(audit.Who{Account: "root"}, task.Tenant, active))
		g.is(switched.ID, store.TaskCompleted, "")
		if tenant, text := ResultOf(switched); text != "true" || tenant != nil || switched.Type != "ChangeTenantActivation" {
			t.Errorf("it is %+v", switched)
		}
		status(map[bool]store.TenantStatus{true: store.Active, false: store.Inactive}[active])
	}
}

func TestUnknownTenant(t *testing.T) {
	for name, cfg := range map[string]Config{"not configured": {}, "recorded only": {RecordOnly: true}} {
		t.Run(name, func(t *testing.T) {
			g := alone(t, cfg)
			id := store.NewTenantID()
			g.is(g.ended(g.SetActive(audit.Who{Account: "root"}, id, true)).ID, store.TaskFailed, CodeTenantNotFound)
			g.is(g.ended(g.Delete(audit.Who{Account: "root"}, id, false)).ID, store.TaskFailed, CodeTenantNotFound)
			g.is(g.ended(g.Delete(audit.Who{Account: "root"}, id, true)).ID, store.TaskFailed, CodeTenantNotFound)
		})
	}
}

// Without a KSC, complete tenants are refused in everything, and simple ones in nothing.
func TestNotConfigured(t *testing.T) {
	g := alone(t, Config{})
	g.is(g.ended(g.Create(audit.Who{Account: "root"}, complete("acme"))).ID, store.TaskFailed, CodeNotConfigured)
	there := store.Tenant{ID: store.NewTenantID(), Name: "by other ways", Discovery: store.DefaultDiscovery()}
	if err := g.table.Update(func(tx *store.Tx) error { _, err := tx.PutTenant(there); return err }); err != nil {
		t.Fatal(err)
	}
	g.is(g.ended(g.SetActive(audit.Who{Account: "root"}, there.ID, true)).ID, store.TaskFailed, CodeNotConfigured)
	g.is(g.ended(g.SetActive(audit.Who{Account: "root"}, there.ID, false)).ID, store.TaskFailed, CodeNotConfigured)
	g.is(g.ended(g.Delete(audit.Who{Account: "root"}, there.ID, false)).ID, store.TaskFailed, CodeNotConfigured)
	g.is(g.ended(g.Delete(audit.Who{Account: "root"}, there.ID, true)).ID, store.TaskFailed, CodeNotConfigured)
	if n := len(g.table.Tenants()); n != 1 {
		t.Errorf("there are %d tenants", n)
	}

	made := g.is(g.ended(g.Create(audit.Who{Account: "root"}, simple("small"))).ID, store.TaskCompleted, "")
	g.is(g.ended(g.SetActive(audit.Who{Account: "root"}, made.Tenant, true)).ID, store.TaskCompleted, "")
	g.is(g.ended(g.Delete(audit.Who{Account: "root"}, made.Tenant, true)).ID, store.TaskCompleted, "")
}

func TestRecordOnly(t *testing.T) {
	g := alone(t, Config{RecordOnly: true})
	n := complete("acme")
	n.Tenant.Administration.Artifacts = "smuggled in"
	password := n.Password
	made := g.is(g.ended(g.Create(audit.Who{Account: "root"}, n)).ID, store.TaskCompleted, "")
	got, _ := g.table.Tenant(made.Tenant)
	if want := (store.Administration{User: "acme-admin", IntegrationServer: "is.example:7271"}); got.Administration != want {
		t.Errorf("recorded is %+v", got.Administration)
	}
	if strings.Trim(string(password), "\x00") != "" {
		t.Error("the password is still there")
	}
	g.is(g.ended(g.Delete(audit.Who{Account: "root"}, made.Tenant, true)).ID, store.TaskCompleted, "")
}

func TestCheck(t *testing.T) {
	g := alone(t, Config{RecordOnly: true})
	for name, tt := range map[string]struct {
		spoil func(*NewTenant)
		field string
	}{
		"no name":      {func(n *NewTenant) { n.Tenant.Name = " " }, "name"},
		"no user":      {func(n *NewTenant) { n.Tenant.Administration.User = "" }, "administration.user"},
		"no password":  {func(n *NewTenant) { n.Password = nil }, "password"},
		"a long name":  {func(n *NewTenant) { n.Tenant.Name = strings.Repeat("x", 257) }, "name"},
		"a long text":  {func(n *NewTenant) { n.Tenant.UserData = strings.Repeat("x", 64<<10+1) }, "userData"},
		"not any type": {func(n *NewTenant) { n.Tenant.Type = 7 }, "type"},
	} {
		n := complete("acme")
		tt.spoil(&n)
		var field *store.FieldError
		if _, err := g.Create(audit.Who{Account: "root"}, n); !errors.As(err, &field) || field.Field != tt.field {
			t.Errorf("%s: %v, want a FieldError of %s", name, err, tt.field)
		}
		if strings.Trim(string(n.Password), "\x00") != "" {
			t.Errorf("%s: the password is still there", name)
		}
	}
	if n := len(g.table.Tasks()); n != 0 {
		t.Errorf("there are %d tasks", n)
	}
	n := simple("acme")
	if err := n.Check(); err != nil {
		t.Errorf("a simple tenant: %v", err)
	}
}

// The largest tenant that a table takes is a result, whatever its texts.
func TestResults(t *testing.T) {
	long := strings.Repeat("\x01\n<\"\\", 64<<10/5)
	tenant := store.Tenant{
		ID: store.NewTenantID(), Name: strings.Repeat("\"", 256), Description: long, UserData: long[1:], Status: store.Active,
		Discovery:      store.DefaultDiscovery(),
		Administration: store.Administration{Server: strings.Repeat("<", 256), Address: strings.Repeat("<", 256), User: strings.Repeat("<", 256)},
	}
	g := alone(t, Config{RecordOnly: true})
	if err := g.table.Update(func(tx *store.Tx) error { _, err := tx.PutTenant(tenant); return err }); err != nil {
		t.Fatal(err)
	}
	tenant, _ = g.table.Tenant(tenant.ID)
	got, text := ResultOf(g.is(g.ended(g.Delete(audit.Who{Account: "root"}, tenant.ID, false)).ID, store.TaskCompleted, ""))
	tenant.Subnets = nil
	if got == nil || text != "" {
		t.Fatal("it is no tenant")
	}
	if diff := cmp.Diff(tenant, *got); diff != "" {
		t.Errorf("(-deleted +result)\n%s", diff)
	}
}

func FuzzResultOf(f *testing.F) {
	f.Add([]byte("true"))
	f.Add([]byte("{}\n"))
	f.Add([]byte(`{"description":-1}` + "\n"))
	f.Add([]byte(`{"description":3,"tenant":{"name":"x"}}` + "\nab"))
	f.Add(appendResult(nil, &store.Tenant{Name: "acme", Description: "d", UserData: "u"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		tenant, text := ResultOf(store.Task{Result: b})
		if tenant != nil && text != "" {
			t.Errorf("%q is a tenant and a text", b)
		}
	})
}

func TestCodes(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{notFound(store.TenantID{}), "VIRMT_TenantWithSpecifiedIdNotFound: there is no tenant 00000000-0000-0000-0000-000000000000"},
		{task.ErrInterrupted, "VIRMT_TaskInterrupted: its gateway stopped while it was under way; what it had done was undone"},
		{task.ErrCanceled, "VIRMT_TaskCanceled: it was canceled; what it had done was undone"},
		{fromKSC(fmt.Errorf("%w: here (500 of 500)", ksc.ErrFull)), "KSC_VirtualServerLimitReached: no room for another virtual server: here (500 of 500)"},
		{fromKSC(ksc.ErrUserExists), "KSC_UserAlreadyExists: an account of that name exists"},
		{fromKSC(ksc.ErrNameTaken), "VIRMT_TenantWithSpecifiedNameAlreadyExists: the name is taken"},
		{fromKSC(&ksc.Error{Method: "A.B", Message: "no", Module: "KLSTD", Code: 7}), "KSC_Error: A.B: no (KLSTD 7)"},
		{fromKSC(fmt.Errorf("%w: x", store.ErrReadOnly)), "VIRMT_InternalError: the journal can not be written: x"},
		{fromKSC(notConfigured()), notConfigured().Error()},
		{&task.LeftError{Cause: nameTaken("x"), Left: ksc.ErrUnreachable},
			`VIRMT_TenantWithSpecifiedNameAlreadyExists: there is a tenant named "x"; what it had done could not be undone: ksc: not reachable`},
		{errors.New("oh"), "VIRMT_InternalError: oh"},
	} {
		if got := taskText(tt.err); got != tt.want {
			t.Errorf("%v is told as\n%s, want\n%s", tt.err, got, tt.want)
		}
	}
}
