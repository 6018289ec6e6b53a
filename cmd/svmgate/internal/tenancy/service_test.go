package tenancy

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
	"github.com/svmgate/svmgate/store"
)

const secretWord = "correct horse battery"

// A memory is a journal that outlives its table, until it is dead.
type memory struct {
	mu      sync.Mutex
	records []store.Record
	dead    bool
}

func (m *memory) Replay(fn func(store.Record) error) error {
	for _, r := range m.records {
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Append(records []store.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return fmt.Errorf("%w: the process is dead", store.ErrReadOnly)
	}
	m.records = append(m.records, records...)
	return nil
}

func (m *memory) Close() error { return nil }

// die keeps everything out of the journal from now on, and returns what is in it.
func (m *memory) die() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	return &memory{records: m.records}
}

// A gateway is a service with its table, and a Kaspersky Security Center that somebody
// else uses, too.
type gateway struct {
	*Service
	t     *testing.T
	table *store.Table
	disk  *memory
	log   *logged
	ksc   *ksctest.KSC
	had   ksctest.Holding
}

// newGateway returns a gateway with a KSC of its own.
func newGateway(t *testing.T, cfg ksctest.Config) *gateway {
	t.Helper()
	k, err := ksctest.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	k.AddUser("somebody", "x", k.AddVServer("Other", k.AddFolder(ksctest.Managed, "Others")))
	g := &gateway{t: t, ksc: k, had: things(k)}
	t.Cleanup(func() {
		k.Close()
		if broken := k.Broken(); len(broken) > 0 {
			t.Errorf("rules of KSC were broken:\n%s", strings.Join(broken, "\n"))
		}
	})
	return g.again(&memory{})
}

// again starts another gateway, with what a disk has, at the same KSC.
func (g *gateway) again(disk *memory) *gateway {
	g.t.Helper()
	cfg := Config{Servers: open(g.t, g.ksc)}
	return start(g.t, cfg, disk, g.ksc, g.had)
}

func start(t *testing.T, cfg Config, disk *memory, k *ksctest.KSC, had ksctest.Holding) *gateway {
	t.Helper()
	g := &gateway{t: t, ksc: k, had: had, disk: disk, log: &logged{}}
	var err error
	if g.table, err = store.Open(store.Config{Node: "gw-1", Journal: disk}); err != nil {
		t.Fatal(err)
	}
	cfg.Table, cfg.Node = g.table, "gw-1"
	cfg.Log = slog.New(slog.NewTextHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if g.Service, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.kill()
		_ = g.table.Close()
		g.noSecret()
	})
	return g
}

// open opens a KSC, for somebody who is in a hurry.
func open(t *testing.T, k *ksctest.KSC) *ksc.Servers {
	t.Helper()
	s, err := ksc.Open(ksc.Config{
		URLs: []string{k.URL()}, CA: k.CA(), Account: ksc.Account{User: "gateway", Password: "gateway-secret"},
		Timeout: 5 * time.Second, ActionTimeout: 5 * time.Second, Pause: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// kill ends a service as a crash would.
func (g *gateway) kill() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g.Stop(ctx)
}

// things are what a KSC holds that lasts.
func things(k *ksctest.KSC) ksctest.Holding {
	h := k.Holds()
	h.Sessions, h.Actions = 0, 0
	return h
}

// noOrphan says that KSC is as it was.
func (g *gateway) noOrphan(when string) {
	g.t.Helper()
	if diff := cmp.Diff(g.had, things(g.ksc)); diff != "" {
		g.t.Errorf("%s: KSC has changed (-before +after)\n%s", when, diff)
	}
}

// noSecret looks for the password wherever the gateway may have left it.
func (g *gateway) noSecret() {
	g.t.Helper()
	places := map[string]string{"the log": g.log.String()}
	for _, r := range g.disk.records {
		places["record "+r.Key.String()] = string(r.Value)
	}
	encoded := hex.EncodeToString([]byte(secretWord))
	for place, text := range places {
		if strings.Contains(text, secretWord) || strings.Contains(text, encoded) {
			g.t.Errorf("the password is in %s", place)
		}
	}
}

// ends waits for the end of a task.
func (g *gateway) ends(id store.TaskID) store.Task {
	g.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if task, ok := g.table.Task(id); ok && task.State.Ended() {
			return task
		}
	}
	task, _ := g.table.Task(id)
	g.t.Fatalf("it does not end: %+v", task)
	return task
}

// is waits for the end of a task, which must be in a state and have an error of a code.
func (g *gateway) is(id store.TaskID, state store.TaskState, code string) store.Task {
	g.t.Helper()
	task := g.ends(id)
	if got, message, _ := strings.Cut(task.Error, ": "); task.State != state || got != code || code != "" && message == "" {
		g.t.Errorf("the task is %v, %q; want %v, %q", task.State, task.Error, state, code)
	}
	return task
}

func complete(name string) NewTenant {
	return NewTenant{
		Tenant: store.Tenant{
			Name: name, Description: "line\n<two>", UserData: `{"a": "b"}`, Discovery: store.DefaultDiscovery(),
			Administration: store.Administration{User: name + "-admin", IntegrationServer: "is.example:7271"},
		},
		Password: []byte(secretWord),
	}
}

func simple(name string) NewTenant {
	return NewTenant{Tenant: store.Tenant{Name: name, Type: store.Simple, Discovery: store.DefaultDiscovery()}}
}

func (g *gateway) create(n NewTenant) store.TaskID {
	g.t.Helper()
	task, err := g.Create("root", n)
	if err != nil {
		g.t.Fatal(err)
	}
	return task.ID
}

// made makes a complete tenant with a VM, and returns it.
func (g *gateway) made(name string) store.Tenant {
	g.t.Helper()
	task := g.is(g.create(complete(name)), store.TaskCompleted, "")
	made, _ := ResultOf(task)
	vm := store.VM{BIOS: store.BIOSID(made.ID), ID: store.VMID(made.ID), Tenant: made.ID, Name: "vm"}
	if err := g.table.Update(func(tx *store.Tx) error { _, err := tx.PutVM(vm); return err }); err != nil {
		g.t.Fatal(err)
	}
	return *made
}

func (g *gateway) delete(id store.TenantID, artifacts bool) store.TaskID {
	g.t.Helper()
	task, err := g.Delete("root", id, artifacts)
	if err != nil {
		g.t.Fatal(err)
	}
	return task.ID
}

type logged struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

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
	task, err := g.Delete("root", made.ID, false)
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
			if _, err := g.Create("root", simple("acme")); err != nil {
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
	task, err := g.Create("root", complete("third"))
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
