package daemon

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/store"
)

// patience bounds what should happen soon, on a machine that is busy.
const patience = time.Minute

// eventually waits for what other goroutines bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never comes true that %s", what)
		}
	}
}

func (r *running) addTenant(name string) {
	r.t.Helper()
	err := r.assembly.table.Update(func(tx *store.Tx) error {
		_, err := tx.PutTenant(store.Tenant{ID: store.NewTenantID(), Name: name, Discovery: store.DefaultDiscovery()})
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// join are the flags of a gateway that joins others.
func join(name string, more map[string]string, seeds ...*running) map[string]string {
	flags := map[string]string{"node-name": name, "cluster-addr": "127.0.0.1:0"}
	var addrs []string
	for _, s := range seeds {
		addrs = append(addrs, s.assembly.replica.Addr())
	}
	flags["cluster-join"] = strings.Join(addrs, ",")
	for k, v := range more {
		flags[k] = v
	}
	return flags
}

// freeAddr is an address at which nobody listens. Its port is none of those that the
// system chooses for connections and for ":0": nobody happens to get it meanwhile.
func freeAddr(t *testing.T) string {
	t.Helper()
	for {
		addr := fmt.Sprint("127.0.0.1:", 20_000+rand.N(12_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
			return addr
		}
	}
}

// Who joins has the accounts of those who are there, and makes none.
func TestJoiningTakesAccounts(t *testing.T) {
	first := start(t, join("gw-2", map[string]string{"admin-password": "one"}))
	second := start(t, join("gw-1", nil, first)) // whose name comes before
	if status, _ := second.get("admin", "/v1/tenants", "admin:one"); status != 200 {
		t.Errorf("the account of the cluster answers %d", status)
	}
	third := start(t, join("gw-0", map[string]string{"admin-password": "three"}, first))
	if status, _ := third.get("admin", "/v1/tenants", "admin:one"); status != 200 {
		t.Errorf("SVMGATE_ADMIN_PASSWORD reset the account of the cluster: %d", status)
	}
	time.Sleep(2*electInterval + 100*time.Millisecond)
	for _, r := range []*running{second, third} {
		if got := r.out.String(); got != "" {
			t.Errorf("a gateway that joined says %q", got)
		}
	}
}

// Of gateways that begin together, one makes the account and shows the password.
func TestFirstAccountOfMany(t *testing.T) {
	seed := freeAddr(t)
	first := start(t, map[string]string{"node-name": "gw-2", "cluster-addr": seed, "cluster-join": seed, "cluster-bootstrap": "true"})
	second := start(t, join("gw-1", nil, first))
	eventually(t, "gw-1 shows a password", func() bool { return strings.Contains(second.out.String(), "with the password ") })
	if got := first.out.String(); got != "" {
		t.Errorf("gw-2 says %q", got)
	}
	_, after, _ := strings.Cut(second.out.String(), "with the password ")
	password, _, _ := strings.Cut(after, " ")
	eventually(t, "gw-2 knows it, too", func() bool {
		status, _ := first.get("admin", "/v1/tenants", "admin:"+password)
		return status == 200
	})
}

// A gateway without a table answers nobody until it has met others: agents come
// again, and are not sent to the SVM that does not exist.
func TestNotReadyBeforePeers(t *testing.T) {
	r := &running{t: t, client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
	addrs := map[string]string{"agent-addr": freeAddr(t), "admin-addr": freeAddr(t), "ops-addr": freeAddr(t)}
	for k, v := range join("gw-1", map[string]string{"cluster-join": freeAddr(t)}) {
		if addrs[k] == "" {
			addrs[k] = v
		}
	}
	opt, err := r.options(addrs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := Start(ctx, opt)
		ended <- err
	}()
	eventually(t, "the log says what is waited for", func() bool { return strings.Contains(r.log.String(), "not ready yet") })
	for plane, path := range map[string]string{"agent": "/v1/agents/" + webBIOS + "/svm", "admin": "/v1/tenants", "ops": "/readyz"} {
		resp, err := r.client.Get("http://" + addrs[plane+"-addr"] + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 503 || plane != "ops" && resp.Header.Get("Retry-After") == "" {
			t.Errorf("%s plane: %d, Retry-After %q; want 503 and a time", plane, resp.StatusCode, resp.Header.Get("Retry-After"))
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a gateway that was stopped while it waited has started")
		}
	case <-time.After(patience):
		t.Fatal("it does not stop waiting")
	}
}

// A gateway that can not take part with its table goes out of service, sets it
// aside, waits for a peer although it has no seeds and is the one to bootstrap,
// starts anew from it, and then brings in what nobody else has.
func TestOutcast(t *testing.T) {
	for _, data := range []string{"", ":memory:"} {
		dir := data
		if dir == "" {
			dir = t.TempDir()
		}
		r := start(t, join("gw-1", map[string]string{"data": dir, "admin-password": "one", "cluster-addr": freeAddr(t), "cluster-bootstrap": "true"}))
		flags := join("gw-2", map[string]string{"data": t.TempDir()}, r)
		peer := start(t, flags)
		r.addTenant("shared")
		eventually(t, "gw-2 has the tenant", func() bool { return strings.Contains(peer.tenants(), `"shared"`) })
		peer.stop()
		r.addTenant("old")
		time.Sleep(5 * time.Millisecond)
		since := time.Now()
		time.Sleep(5 * time.Millisecond)
		r.addTenant("new")
		shared, _ := r.assembly.table.TenantByName("shared")
		if err := r.assembly.table.Update(func(tx *store.Tx) error {
			_, err := tx.SetActive(shared.ID, true)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		old := r.assembly
		old.outcast <- &outcastError{why: "away for too long", since: since}
		eventually(t, "the gateway waits", func() bool { return strings.Contains(r.log.String(), "not ready yet") })
		if data == "" {
			time.Sleep(3500 * time.Millisecond) // as long as the first of all waits
		}
		if status, body := r.get("ops", "/readyz", ""); status != 503 {
			t.Errorf("%s: /readyz before it has met anybody: %d %s", data, status, body)
		}
		start(t, flags)
		eventually(t, "the gateway is ready again", func() bool { return strings.Contains(r.log.String(), "ready again") })

		status, body := r.get("admin", "/v1/tenants", "admin:one")
		if status != 200 || !strings.Contains(body, `"new"`) || strings.Contains(body, `"old"`) {
			t.Errorf("%s: %d %s, want the tenant that is new, and not the old one", data, status, body)
		}
		if got, ok := r.assembly.table.TenantByName("shared"); !ok || got.Status != store.Active {
			t.Errorf("%s: the tenant of before is %+v, %v; want it active", data, got, ok)
		}
		if n := strings.Count(r.log.String(), "created the account admin"); n != 1 {
			t.Errorf("%s: %d accounts were made, want the first only", data, n)
		}
		if status, body := r.get("ops", "/readyz", ""); status != 200 {
			t.Errorf("%s: /readyz %d %s", data, status, body)
		}
		if status, body := r.get("ops", "/metrics", ""); status != 200 || !strings.Contains(body, "\nsvmgate_tenants 2\n") || !strings.Contains(body, "\nsvmgate_cluster_members ") {
			t.Errorf("%s: the metrics are not those of the new table: %d", data, status)
		}
		if !strings.Contains(r.log.String(), "away for too long") {
			t.Errorf("%s: the log does not say why", data)
		}
		asides, err := filepath.Glob(filepath.Join(dir, "aside-*"))
		if err != nil || len(asides) != 1 && data == "" {
			t.Errorf("set aside: %q, %v", asides, err)
		}
		r.stop()
	}
}

// Who starts anew calls on the peers of before, also if it keeps nothing and
// nobody can call on it.
func TestOutcastKnowsItsPeers(t *testing.T) {
	r := start(t, join("gw-1", map[string]string{"admin-password": "one"}))
	start(t, join("gw-2", nil, r))
	old := r.assembly
	old.outcast <- &outcastError{why: "away for too long", since: time.Now()}
	eventually(t, "the gateway is ready again", func() bool { return strings.Contains(r.log.String(), "ready again") })
}

// A setting that has changed in the file does not move the table of a gateway that
// starts anew later.
func TestOutcastAfterReload(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	r := start(t, join("gw-1", map[string]string{"data": dir, "admin-password": "one"}))
	next, err := r.options(map[string]string{"data": other})
	if err != nil {
		t.Fatal(err)
	}
	r.Reload(next.Settings)
	old := r.assembly
	old.outcast <- &outcastError{why: "away for too long"}
	eventually(t, "the gateway waits", func() bool { return strings.Contains(r.log.String(), "not ready yet") })
	r.stop()
	if asides, err := filepath.Glob(filepath.Join(dir, "aside-*")); err != nil || len(asides) != 1 {
		t.Errorf("set aside in the directory of the start: %q, %v; want one", asides, err)
	}
	if files, err := filepath.Glob(filepath.Join(other, "*")); err != nil || len(files) != 0 {
		t.Errorf("in the directory of the next start: %q, %v; want nothing", files, err)
	}
}

func TestKeyFileIsJudgedAtTheStart(t *testing.T) {
	r := &running{t: t}
	opt, err := r.options(join("gw-1", map[string]string{"cluster-key-file": write(t, "k", "not a key\n")}))
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), opt)
	var wrong *config.Error
	if !errors.As(err, &wrong) || wrong.Key != "cluster-key-file" || !strings.Contains(wrong.Reason, "line 1") {
		t.Errorf("error %v, want one of cluster-key-file, line 1", err)
	}
}
