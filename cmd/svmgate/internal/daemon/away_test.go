package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

func (r *running) tenants() string {
	r.t.Helper()
	_, body := r.get("admin", "/v1/tenants", "admin:one")
	return body
}

// A gateway that was away for longer than the others remember what they deleted
// does not bring it back, and loses nothing of what it wrote itself.
func TestAwayForTooLong(t *testing.T) {
	dir := t.TempDir()
	first := start(t, join("gw-1", map[string]string{"admin-password": "one"}))
	away := start(t, join("gw-2", map[string]string{"data": dir}, first))
	first.addTenant("deleted-meanwhile")
	eventually(t, "both have the tenant", func() bool { return strings.Contains(away.tenants(), "deleted-meanwhile") })
	state := filepath.Join(dir, "cluster.json")
	eventually(t, "gw-2 notes that it met gw-1", func() bool {
		text, err := os.ReadFile(state)
		var s cluster.State
		return err == nil && json.Unmarshal(text, &s) == nil && !s.Exchanged.IsZero()
	})
	away.addTenant("own")
	away.stop()
	deleted, _ := first.assembly.table.TenantByName("deleted-meanwhile")
	if err := first.assembly.table.Update(func(tx *store.Tx) error {
		_, err := tx.DeleteTenant(deleted.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	long, err := json.Marshal(cluster.State{Exchanged: time.Now().Add(-8 * 24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, long, 0o600); err != nil {
		t.Fatal(err)
	}

	back := start(t, join("gw-2", map[string]string{"data": dir}, first))
	eventually(t, "gw-2 starts anew", func() bool { return strings.Contains(back.log.String(), "set aside") })
	eventually(t, "gw-2 is ready with its own tenant", func() bool { return strings.Contains(back.tenants(), `"own"`) })
	eventually(t, "gw-1 has it", func() bool { return strings.Contains(first.tenants(), `"own"`) })
	for _, r := range []*running{first, back} {
		if got := r.tenants(); strings.Contains(got, "deleted-meanwhile") {
			t.Errorf("what was deleted is back: %s", got)
		}
	}
	if asides, err := filepath.Glob(filepath.Join(dir, "aside-*")); err != nil || len(asides) != 1 {
		t.Errorf("set aside: %q, %v", asides, err)
	}
}

// What a gateway wrote while its clock was ahead the others refuse. Once the clock
// is right it comes in as new.
func TestClockWasAhead(t *testing.T) {
	before := clockInterval
	clockInterval = 100 * time.Millisecond
	t.Cleanup(func() { clockInterval = before })
	first := start(t, join("gw-1", map[string]string{"admin-password": "one"}))

	dir := aheadTable(t)
	second := start(t, join("gw-2", map[string]string{"data": dir}, first))
	eventually(t, "gw-2 starts anew", func() bool { return strings.Contains(second.log.String(), "clock was ahead") })
	eventually(t, "gw-1 has what gw-2 wrote", func() bool { return strings.Contains(first.tenants(), "from-the-future") })
	eventually(t, "gw-2 writes what others take", func() bool { return strings.Contains(second.log.String(), "ready again") })
	if ahead := second.assembly.table.Stats().Ahead; ahead > store.MaxSkew {
		t.Errorf("gw-2 is still %v ahead", ahead)
	}
}

// aheadTable returns a data directory of gw-2 from when its clock was ahead.
func aheadTable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	journal, err := store.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	ahead, err := store.Open(store.Config{Node: "gw-2", Journal: journal, Clock: func() time.Time { return time.Now().Add(time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	err = ahead.Update(func(tx *store.Tx) error {
		_, err := tx.PutTenant(store.Tenant{ID: store.NewTenantID(), Name: "from-the-future", Discovery: store.DefaultDiscovery()})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := ahead.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Of gateways that were all ahead, who refuses what another wrote is not the one to
// go: if all did, nobody would keep the table.
func TestWhoRefusesStays(t *testing.T) {
	before := clockInterval
	clockInterval = 100 * time.Millisecond
	t.Cleanup(func() { clockInterval = before })
	first := start(t, join("gw-1", map[string]string{"admin-password": "one"}))
	second := start(t, join("gw-2", map[string]string{"data": aheadTable(t)}, first))
	further := store.Version{Clock: uint64(time.Now().Add(2*time.Hour).UnixMilli()) << 16, Node: 1}
	_, err := second.assembly.table.Apply(store.Batch{Records: []store.Record{{Key: store.Key{Kind: store.KindTask}, Version: further, Value: []byte{1}}}})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * clockInterval)
	if strings.Contains(second.log.String(), "clock was ahead") {
		t.Error("a gateway that refuses what others wrote has set its table aside")
	}
}

// What was written in the last moment of being in contact need not have arrived.
func TestOffersReachBack(t *testing.T) {
	at := time.Now()
	if since := wasAway(cluster.Stale{Exchanged: at}).since; at.Sub(since) < 30*time.Second {
		t.Errorf("offers begin %v before the last contact", at.Sub(since))
	}
	a := &assembly{clock: cluster.NewClock(func() time.Time { return at })}
	if since := a.wasAhead().since; at.Sub(since) < 30*time.Second {
		t.Errorf("offers begin %v before the clock was seen to have been ahead", at.Sub(since))
	}
}

// A peer that has not caught up does not tell whether a table is refused.
func TestOnlyWholeTablesDiffer(t *testing.T) {
	peer := cluster.Member{State: "alive", Differing: 1, Lag: time.Minute}
	if mostDiffer([]cluster.Member{peer}) {
		t.Error("a peer that is not ready counts")
	}
	peer.Ready = true
	if !mostDiffer([]cluster.Member{peer}) {
		t.Error("a peer that is ready does not count")
	}
}

// A gateway that must start anew does not keep agents waiting for Kaspersky Security
// Center, and what it was making there is undone when it has its new table.
func TestStartsAnewWhileTasksRun(t *testing.T) {
	k, err := ksctest.Start(ksctest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	before := k.Holds()
	dir := t.TempDir()
	ca, credentials := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "credentials")
	for file, text := range map[string]string{ca: string(k.CA()), credentials: "default: {user: gateway, password: gateway-secret}\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := start(t, join("gw-1", map[string]string{"admin-password": "one"}))
	second := start(t, join("gw-2", map[string]string{
		"data": filepath.Join(dir, "data"), "ksc": k.URL(), "ksc-ca": ca, "ksc-credentials": credentials, "shutdown-timeout": "1s",
	}, first))
	asked, answer := make(chan struct{}), make(chan struct{})
	k.OnCall(func(_ int, method, when string) {
		if method == "VServers.AddVServerInfo" && when == "after" {
			close(asked)
			<-answer
		}
	})
	task, err := second.assembly.tenancy.Create(audit.Who{Account: "root"}, tenancy.NewTenant{Password: []byte("secret"), Tenant: store.Tenant{
		Name: "acme", Discovery: store.DefaultDiscovery(), Administration: store.Administration{User: "acme-admin"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	<-asked
	second.assembly.outcast <- &outcastError{why: "this gateway was away", since: time.Now().Add(-time.Minute)}
	eventually(t, "gw-2 is ready again while a task can not end", func() bool { return strings.Contains(second.log.String(), "ready again") })
	k.OnCall(nil)
	close(answer)
	eventually(t, "the task has ended", func() bool { now, ok := first.assembly.table.Task(task.ID); return ok && now.State == store.TaskFailed })
	if after := k.Holds(); len(after.VServers) != len(before.VServers) || len(after.Folders) != len(before.Folders) {
		t.Errorf("KSC holds %+v", after)
	}
}
