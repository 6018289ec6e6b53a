package tenancy

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
	"github.com/svmgate/svmgate/store"
)

func TestCreateAndDelete(t *testing.T) {
	g := newGateway(t, ksctest.Config{})
	n := complete("acme")
	password := n.Password
	task := g.is(g.create(n), store.TaskCompleted, "")
	made, _ := ResultOf(task)
	there, ok := g.table.Tenant(task.Tenant)
	if !ok || made == nil || task.By != "root" || task.Type != "CreateTenant" {
		t.Fatalf("of %+v there is %v", task, ok)
	}
	if !bytes.Equal(password, make([]byte, len(password))) {
		t.Errorf("the password is still there: %q", password)
	}
	if diff := cmp.Diff(there, *made, cmp.FilterPath(func(p cmp.Path) bool {
		return p.String() == "Subnets" || p.String() == "Administration.Artifacts"
	}, cmp.Ignore())); diff != "" {
		t.Errorf("the result is not the tenant (-tenant +result)\n%s", diff)
	}
	u, _ := url.Parse(g.ksc.URL())
	a := there.Administration
	if a.Server == "" || a.Address != u.Hostname() || a.User != "acme-admin" || a.IntegrationServer != "is.example:7271" || there.Status != store.Inactive {
		t.Errorf("the tenant is %+v", there)
	}
	if !g.ksc.CanLogIn("acme-admin", secretWord, a.Server) {
		t.Error("the tenant's administrator can not log in")
	}
	g.made("second")
	if err := g.table.Update(func(tx *store.Tx) error {
		_, err := tx.PutVM(store.VM{BIOS: store.BIOSID{1}, ID: store.VMID{1}, Tenant: there.ID})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	deleted := g.is(g.delete(there.ID, true), store.TaskCompleted, "")
	if was, _ := ResultOf(deleted); was == nil || was.Name != "acme" || was.Description != "line\n<two>" || was.UserData != `{"a": "b"}` {
		t.Errorf("the result is %+v", was)
	}
	if _, ok := g.table.Tenant(there.ID); ok || len(g.table.VMs(store.BIOSID{}, &there.ID, 10)) > 0 {
		t.Error("the tenant or its VM is still there")
	}
	if h := things(g.ksc); len(h.VServers) != len(g.had.VServers)+1 || h.VServers[len(h.VServers)-1].Name != "second" {
		t.Errorf("KSC holds %+v", h)
	}
}

// Without artifacts nothing is asked of KSC.
func TestDeleteLeavesArtifacts(t *testing.T) {
	g := newGateway(t, ksctest.Config{})
	made := g.made("acme")
	calls, held := len(g.ksc.Calls()), things(g.ksc)
	task, err := g.Delete(audit.Who{Account: "root"}, made.ID, false)
	if err != nil || task.State != store.TaskCompleted {
		t.Errorf("Delete = %+v, %v; want it done at once", task, err)
	}
	if diff := cmp.Diff(held, things(g.ksc)); diff != "" || len(g.ksc.Calls()) != calls {
		t.Errorf("KSC was called, or has changed\n%s", diff)
	}
}

// What somebody else made is not removed, and that is said before anything is changed.
func TestDeleteOfWhatWasNotMadeHere(t *testing.T) {
	g := newGateway(t, ksctest.Config{})
	made := g.made("acme")
	held := things(g.ksc)
	other := made
	other.Administration = store.Administration{Server: held.VServers[0].UID, Address: "ksc.example", User: "somebody"}
	if err := g.table.Update(func(tx *store.Tx) error { _, err := tx.PutTenant(other); return err }); err != nil {
		t.Fatal(err)
	}
	g.is(g.delete(made.ID, true), store.TaskFailed, CodeKSC)
	if diff := cmp.Diff(held, things(g.ksc)); diff != "" {
		t.Error(diff)
	}
	if _, ok := g.table.Tenant(made.ID); !ok {
		t.Error("the tenant is gone")
	}
}

func TestNamesThatAreTaken(t *testing.T) {
	g := newGateway(t, ksctest.Config{})
	first, second := g.create(complete("acme")), g.create(complete("acme"))
	g.is(first, store.TaskCompleted, "")
	if late := g.is(second, store.TaskFailed, CodeTenantNameTaken); !strings.Contains(late.Error, "there is a tenant named") {
		t.Errorf("the second did not wait for the first: %s", late.Error)
	}
	g.is(g.create(simple("acme")), store.TaskFailed, CodeTenantNameTaken)
	held := things(g.ksc)
	same := complete("same account")
	same.Tenant.Administration.User = "acme-admin"
	g.is(g.create(same), store.TaskFailed, CodeUserNameTaken)
	g.is(g.create(complete("Other")), store.TaskFailed, CodeTenantNameTaken)
	if diff := cmp.Diff(held, things(g.ksc)); diff != "" {
		t.Errorf("KSC has changed (-before +after)\n%s", diff)
	}
	if n := len(g.table.Tenants()); n != 1 {
		t.Errorf("there are %d tenants", n)
	}
}

// A name that a tenant gets while another of it is being made is found in the commit.
func TestNameIsTakenMeanwhile(t *testing.T) {
	g := newGateway(t, ksctest.Config{})
	g.ksc.OnCall(func(_ int, method, when string) {
		if method == "VServers.AddVServerInfo" && when == "after" {
			if _, err := g.Create(audit.Who{Account: "root"}, simple("acme")); err != nil {
				t.Error(err)
			}
		}
	})
	g.is(g.create(complete("acme")), store.TaskFailed, CodeTenantNameTaken)
	g.noOrphan("at the end")
	if list := g.table.Tenants(); len(list) != 1 || list[0].Type != store.Simple {
		t.Errorf("there are %+v", list)
	}
}

// The tenant may be deleted in other ways while its site is being removed.
func TestTenantGoesWhileItsSiteDoes(t *testing.T) {
	g := newGateway(t, ksctest.Config{})
	made := g.made("acme")
	g.ksc.OnCall(func(_ int, method, when string) {
		if method == "VServers.DelVServer" && when == "after" {
			if err := g.table.Update(func(tx *store.Tx) error { _, err := tx.DeleteTenant(made.ID); return err }); err != nil {
				t.Error(err)
			}
		}
	})
	was, _ := ResultOf(g.is(g.delete(made.ID, true), store.TaskCompleted, ""))
	if was == nil || was.ID != made.ID || was.Name != "acme" {
		t.Errorf("the result is %+v", was)
	}
	g.noOrphan("at the end")
}

// The password is gone as soon as Kaspersky Security Center has it, or will not: not only
// at the end of the task, which may be far.
func TestPasswordIsWipedEarly(t *testing.T) {
	g := newGateway(t, ksctest.Config{})
	n, looked := complete("acme"), false
	stop := g.table.Subscribe(func(news *store.News) {
		for _, r := range news.Records {
			if task, ok := g.table.Task(r.Key.ID); ok && task.Stage == ksc.StageRemoveServer {
				looked = true
				if !bytes.Equal(n.Password, make([]byte, len(n.Password))) {
					t.Errorf("while what was made is removed the password is still %q", n.Password)
				}
			}
		}
	})
	defer stop()
	g.ksc.Inject(ksctest.Fault{Method: "VServers.SetPermissions", Kind: ksctest.Refuse})
	g.is(g.create(n), store.TaskFailed, CodeKSC)
	if !looked {
		t.Error("nothing was removed")
	}
}

func TestNoRoom(t *testing.T) {
	g := newGateway(t, ksctest.Config{Limit: 2})
	second := g.made("second")
	task, err := g.Create(audit.Who{Account: "root"}, complete("third"))
	if err != nil {
		t.Fatal(err)
	}
	g.is(task.ID, store.TaskFailed, CodeNoRoom)
	g.is(g.delete(second.ID, true), store.TaskCompleted, "")
	g.noOrphan("at the end")
}

func TestUnreachable(t *testing.T) {
	g := newGateway(t, ksctest.Config{})
	made := g.made("acme")
	held := things(g.ksc)
	g.ksc.Inject(ksctest.Fault{Kind: ksctest.Busy})
	g.is(g.create(complete("other")), store.TaskFailed, CodeKSC)
	g.is(g.delete(made.ID, true), store.TaskFailed, CodeKSC)
	g.ksc.Heal()
	if diff := cmp.Diff(held, things(g.ksc)); diff != "" {
		t.Error(diff)
	}
	if _, ok := g.table.Tenant(made.ID); !ok {
		t.Error("the tenant is gone, though nothing of it could be removed")
	}
}

// What was made with a tenant goes with it, whatever was changed of the tenant since: or
// the tenant stays, and it is said why.
func TestDeleteOfWhatWasChanged(t *testing.T) {
	for name, change := range map[string]func(*store.Tenant){
		"it is simple now":             func(t *store.Tenant) { t.Type = store.Simple },
		"nothing is recorded any more": func(t *store.Tenant) { t.Administration.Server = "" },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, ksctest.Config{})
			made := g.made("acme")
			if err := g.table.Update(func(tx *store.Tx) error {
				now, _ := tx.Tenant(made.ID)
				change(&now)
				_, err := tx.PutTenant(now)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			g.is(g.delete(made.ID, true), store.TaskCompleted, "")
			g.noOrphan("after the tenant")
		})
	}
}
