package viis

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth/authtest"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

const password = "correct horse"

// A world is the API as the admin plane serves it, over a table in memory with an
// account for each role, and what is behind the API.
type world struct {
	t      *testing.T
	table  *store.Table
	api    *API
	client *http.Client
	asked  *tasks
	peers  *peers
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	return newWorldOn(t, store.Config{}, change...)
}

func newWorldOn(t *testing.T, kept store.Config, change ...func(*Config)) *world {
	t.Helper()
	table, err := store.Open(kept)
	check(t, err)
	t.Cleanup(func() { _ = table.Close() })
	check(t, table.Update(func(tx *store.Tx) error {
		for name, role := range map[string]store.Role{
			"root": store.RoleAdmin, "watcher": store.RoleViewer, "appliance": store.RoleSVM, "multitenancy": store.RoleMultitenancy,
		} {
			if _, err := tx.PutAccount(store.Account{Name: name, Role: role, Hash: authtest.CheapHash(password)}); err != nil {
				return err
			}
		}
		return nil
	}))
	accounts, err := auth.NewAccounts(table)
	check(t, err)
	t.Cleanup(accounts.Close)
	w := &world{t: t, table: table, asked: &tasks{table: table}, peers: &peers{}}
	cfg := Config{Table: table, Tenancy: w.asked, Accounts: accounts, Report: noReport, Confirm: w.peers.confirm}
	for _, c := range change {
		c(&cfg)
	}
	w.api, err = New(cfg)
	check(t, err)
	w.client = serve(t, w.api)
	return w
}

func noReport(string, uuid.UUID) (protection.Report, error) { return nil, protection.ErrNoReport }

// serve serves an API behind the fence, as the daemon does.
func serve(t *testing.T, api *API) *http.Client {
	t.Helper()
	listener := fasthttputil.NewInmemoryListener()
	server := fence.Server("admin", fence.Wrap(api.Handler, api.MayStream), slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return listener.Dial() }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = listener.Close()
		check(t, <-done)
	})
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// An answer is what the API said.
type answer struct {
	status int
	header http.Header
	body   string
}

// code is the code of a refusal.
func (a answer) code() string {
	var e struct {
		XMLName xml.Name `xml:"error"`
		Code    string   `xml:"code"`
		Message string   `xml:"message"`
	}
	if xml.Unmarshal([]byte(a.body), &e) != nil || e.Message == "" {
		return ""
	}
	return e.Code
}

// as sends a request with the credentials of an account; a body is XML unless headers
// say otherwise.
func (w *world) as(account, method, path, body string, fields ...string) answer {
	w.t.Helper()
	var sent io.Reader
	if body != "" {
		sent = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, "http://gw-1.example:7271"+Base+path, sent)
	check(w.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/xml")
	}
	if account != "" {
		req.SetBasicAuth(account, password)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		switch {
		case fields[i] == "Host":
			req.Host = fields[i+1]
		case fields[i+1] == "":
			req.Header.Del(fields[i])
		default:
			req.Header.Set(fields[i], fields[i+1])
		}
	}
	resp, err := w.client.Do(req)
	check(w.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(w.t, err)
	if cc := resp.Header.Get("Cache-Control"); cc != "no-store" {
		w.t.Errorf("%s %s: Cache-Control %q, want no-store", method, path, cc)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (w *world) do(method, path, body string, fields ...string) answer {
	w.t.Helper()
	return w.as("multitenancy", method, path, body, fields...)
}

// must is do for a request that has to be answered with the status.
func (w *world) must(status int, method, path, body string, fields ...string) answer {
	w.t.Helper()
	a := w.do(method, path, body, fields...)
	if a.status != status {
		w.t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, a.status, status, a.body)
	}
	return a
}

// refused is do for a request that has to be refused.
func (w *world) refused(status int, code, method, path, body string, fields ...string) answer {
	w.t.Helper()
	a := w.do(method, path, body, fields...)
	if a.status != status || a.code() != code || a.header.Get("Content-Type") != contentType {
		w.t.Errorf("%s %s %.200s: %d %s, want %d %s: %s", method, path, body, a.status, a.code(), status, code, a.body)
	}
	return a
}

// put writes to the table.
func (w *world) put(fn func(*store.Tx) error) {
	w.t.Helper()
	check(w.t, w.table.Update(fn))
}

// tenant makes a simple tenant.
func (w *world) tenant(id byte, change ...func(*store.Tenant)) store.TenantID {
	w.t.Helper()
	tenant := store.Tenant{ID: store.TenantID{15: id}, Type: store.Simple, Discovery: store.DefaultDiscovery()}
	tenant.Name = "tenant " + tenant.ID.String()
	for _, c := range change {
		c(&tenant)
	}
	w.put(func(tx *store.Tx) error { _, err := tx.PutTenant(tenant); return err })
	return tenant.ID
}

// tasks stands for tenancy: it remembers what was asked for, and answers a task that
// runs, unless there is an error or a task to answer.
type tasks struct {
	table *store.Table
	err   error
	next  store.Task

	by        string
	created   tenancy.NewTenant
	active    bool
	id        store.TenantID
	artifacts bool
	report    tenancy.ReportRequest
	canceled  store.TaskID
}

func (s *tasks) begin(by audit.Who, kind string) (store.Task, error) {
	s.by = by.Account
	if s.err != nil {
		return store.Task{}, s.err
	}
	t := s.next
	if t.ID.IsZero() {
		t = store.Task{ID: store.NewTaskID(), State: store.TaskRunning}
	}
	t.Type, t.Node, t.By = kind, "gw-1", by.Account
	err := s.table.Update(func(tx *store.Tx) error { _, err := tx.PutTask(t); return err })
	t, _ = s.table.Task(t.ID)
	return t, err
}

func (s *tasks) Create(by audit.Who, n tenancy.NewTenant) (store.Task, error) {
	if err := n.Check(); err != nil {
		return store.Task{}, err
	}
	s.created = n
	return s.begin(by, "CreateTenant")
}

func (s *tasks) SetActive(by audit.Who, id store.TenantID, active bool) (store.Task, error) {
	s.id, s.active = id, active
	return s.begin(by, "ChangeTenantActivation")
}

func (s *tasks) Delete(by audit.Who, id store.TenantID, artifacts bool) (store.Task, error) {
	s.id, s.artifacts = id, artifacts
	return s.begin(by, "DeleteTenant")
}

func (s *tasks) Report(by audit.Who, r tenancy.ReportRequest) (store.Task, error) {
	s.report = r
	return s.begin(by, "CreateTenantReport")
}

func (s *tasks) Cancel(id store.TaskID, by audit.Who) (store.Task, error) {
	s.canceled, s.by = id, by.Account
	t, ok := s.table.Task(id)
	switch {
	case s.err != nil:
		return t, s.err
	case !ok:
		return t, task.ErrNotFound
	case t.State.Ended():
		return t, task.ErrEnded
	case !s.next.ID.IsZero():
		return s.next, nil
	}
	err := s.table.Update(func(tx *store.Tx) error { _, err := tx.CancelTask(id, by.Account); return err })
	t, _ = s.table.Task(id)
	return t, err
}

// peers are other gateways, who remember what they were to know.
type peers struct {
	mu   sync.Mutex
	keys []store.Key
	asks int
	wait bool // they do not answer
	left time.Duration
}

func (p *peers) confirm(ctx context.Context, keys []store.Key, enough int) cluster.Confirmation {
	p.mu.Lock()
	defer p.mu.Unlock()
	if enough != 0 {
		panic("some gateways are not all")
	}
	p.asks++
	p.keys = append(p.keys, keys...)
	deadline, _ := ctx.Deadline()
	p.left = time.Until(deadline)
	if p.wait {
		<-ctx.Done()
	}
	return cluster.Confirmation{}
}

// told forgets and returns what the peers were to know.
func (p *peers) told() []store.Key {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := p.keys
	p.keys, p.asks = nil, 0
	return keys
}

// knows fails the test unless the peers were to know exactly these.
func (w *world) knows(what string, want ...store.Key) {
	w.t.Helper()
	if got := w.peers.told(); !slices.Equal(got, want) {
		w.t.Errorf("%s: the others were to know\n%v, want\n%v", what, got, want)
	}
}

var errBug = errors.New("a bug: secret detail")
