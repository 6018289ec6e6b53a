package tenancy

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
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
	if cfg.Reports == nil {
		cfg.Reports = newReports()
	}
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
	task, err := g.Create(audit.Who{Account: "root"}, n)
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
	task, err := g.Delete(audit.Who{Account: "root"}, id, artifacts)
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
