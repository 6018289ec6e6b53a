package viis

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// path fills the parameters of a route with things that are not there.
func (r *route) path() string {
	return strings.ReplaceAll(string(r.pattern), "{id}", "00000000-0000-0000-0000-0000000000ff")
}

// TestEveryRouteForEveryRole asks every route as everybody. Whoever may not is told so
// before anything else is looked at, so the requests need not be right.
func TestEveryRouteForEveryRole(t *testing.T) {
	w := newWorld(t)
	for i := range routes {
		r := &routes[i]
		for account, may := range map[string]bool{"root": true, "multitenancy": true, "watcher": false, "appliance": false} {
			a := w.as(account, r.method, r.path(), "")
			switch {
			case !may && (a.status != 403 || a.code() != codeForbidden):
				t.Errorf("%s %s as %s: %d %s, want 403", r.method, r.pattern, account, a.status, a.code())
			case may && (a.status == 401 || a.status == 403):
				t.Errorf("%s %s as %s: %d, but the role covers it", r.method, r.pattern, account, a.status)
			}
		}
		a := w.as("", r.method, r.path(), "")
		if a.status != 401 || a.code() != codeUnauthorized || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s %s as nobody: %d %s, want 401", r.method, r.pattern, a.status, a.code())
		}
	}
	if a := w.do("GET", "/tasks", "", "Authorization", "Basic bXVsdGl0ZW5hbmN5Ondyb25n"); a.status != 401 {
		t.Errorf("with a wrong password: %d, want 401", a.status)
	}
}

func TestPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"", "/", "/nothing", "/tenants/", "/tenants/1/nothing", "/tenants/1/vms/1", "/reports", "/tasks/1/cancel/2", "/Tenants"} {
		w.refused(404, codeNoSuchCall, "GET", path, "")
	}
	for _, tt := range []struct{ method, path, allow string }{
		{"PUT", "/tenants", "GET, HEAD, POST"},
		{"POST", "/tenants/1", "GET, HEAD, DELETE"},
		{"GET", "/tenants/1/activate", "POST"},
		{"GET", "/tenants/1/deactivate", "POST"},
		{"POST", "/tenants/1/vms", "GET, HEAD"},
		{"GET", "/tenants/1/vms/register", "POST"},
		{"DELETE", "/tenants/1/vms/unregister", "POST"},
		{"GET", "/reports/tenants", "POST"},
		{"PATCH", "/reports/tenants/1", "GET, HEAD"},
		{"OPTIONS", "/tasks", "GET, HEAD"},
		{"DELETE", "/tasks/1", "GET, HEAD"},
		{"GET", "/tasks/1/cancel", "POST"},
	} {
		if a := w.refused(405, codeMethod, tt.method, tt.path, ""); a.header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: Allow %q, want %q", tt.method, tt.path, a.header.Get("Allow"), tt.allow)
		}
	}
	if !Serves([]byte(Base)) || !Serves([]byte(Base+"/x")) || Serves([]byte(Base+"x")) || Serves([]byte("/v1/tenants")) {
		t.Error("Serves knows the wrong paths")
	}
}

func TestHeadIsGetWithoutTheBody(t *testing.T) {
	w := newWorld(t)
	id := w.tenant(1).String()
	for _, path := range []string{"/tenants", "/tenants/" + id, "/tenants/" + id + "/vms", "/tasks", "/tenants/7", "/tasks/7"} {
		get, head := w.do("GET", path, ""), w.do("HEAD", path, "")
		if head.status != get.status || head.body != "" || head.header.Get("Content-Type") != contentType || head.header.Get("Content-Length") != fmt.Sprint(len(get.body)) {
			t.Errorf("%s: GET %d with %d bytes, HEAD %d %v %q", path, get.status, len(get.body), head.status, head.header, head.body)
		}
	}
}

// TestOrderOfChecks: who is asking comes first, and what was asked last.
func TestOrderOfChecks(t *testing.T) {
	ready := false
	w := newWorld(t, func(c *Config) { c.Ready = func() bool { return ready } })
	const json, elsewhere = "application/json", "https://elsewhere.example"
	for _, tt := range []struct {
		account, method, path, origin string
		status                        int
	}{
		{"", "PUT", "/nothing", elsewhere, 401},
		{"watcher", "PUT", "/nothing", elsewhere, 404},
		{"watcher", "PUT", "/tenants", elsewhere, 405},
		{"watcher", "POST", "/tenants", elsewhere, 403},
		{"multitenancy", "POST", "/tenants", elsewhere, 403},
		{"multitenancy", "POST", "/tenants", "", 503},
	} {
		a := w.as(tt.account, tt.method, tt.path, "<", "Origin", tt.origin, "Content-Type", json)
		if a.status != tt.status {
			t.Errorf("%s %s as %s from %q: %d, want %d", tt.method, tt.path, tt.account, tt.origin, a.status, tt.status)
		}
		if a.status == 503 && (a.code() != codeNotReady || a.header.Get("Retry-After") != "1") {
			t.Errorf("not ready: %s, Retry-After %q", a.body, a.header.Get("Retry-After"))
		}
	}
	ready = true
	w.refused(415, codeMediaType, "POST", "/tenants", "<", "Content-Type", json)
	w.refused(400, codeBadRequest, "POST", "/tenants", "<")
	if a := w.do("GET", "/tenants", "", "Origin", elsewhere); a.status != 200 {
		t.Errorf("reading from another site: %d, want 200", a.status)
	}
}

func TestTypesOfBodies(t *testing.T) {
	w := newWorld(t)
	for header, want := range map[string]int{
		"": 202, "application/xml": 202, "text/xml; charset=UTF-8": 202, "Application/XML;charset=utf-8": 202, "application/tenant+xml": 202,
		"application/json": 415, "text/plain": 415, "application/x-www-form-urlencoded": 415, "application/xml; charset=utf-16": 415, "nonsense": 415, "/": 415,
	} {
		if a := w.do("POST", "/tenants", simpleWith(""), "Content-Type", header); a.status != want || want == 415 && a.code() != codeMediaType {
			t.Errorf("Content-Type %q: %d %s, want %d", header, a.status, a.code(), want)
		}
	}
}

// TestLargeBodies: what is announced as too large is not read, and what is not announced
// is read so far and no further.
func TestLargeBodies(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/tenants", "/tenants/" + w.tenant(1).String() + "/vms/register"} {
		w.refused(413, codeTooLarge, "POST", path, strings.Repeat(" ", MaxBody+1))
		w.refused(400, codeBadRequest, "POST", path, strings.Repeat(" ", MaxBody))
	}
	unannounced := io.LimitReader(&endless{}, MaxBody+1)
	req, err := http.NewRequest("POST", "http://gw-1"+Base+"/tenants", unannounced)
	check(t, err)
	req.SetBasicAuth("multitenancy", password)
	resp, err := w.client.Do(req)
	check(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("a body in chunks that is too large: %d, want 413", resp.StatusCode)
	}

	read := &endless{}
	allocated, took := cost(func() {
		var ctx fasthttp.RequestCtx
		ctx.Request.Header.SetMethod("POST")
		ctx.Request.SetBodyStream(read, 1<<20)
		c := &call{api: w.api, ctx: &ctx}
		if _, err := c.body(); err == nil {
			t.Error("1 MiB was taken")
		}
	})
	if read.reads > 0 || allocated > 64<<10 || took > mostTime {
		t.Errorf("1 MiB was refused after %d reads, %d bytes and %v", read.reads, allocated, took)
	}
	whole := w.do("POST", "/tenants", simpleWith("<userData>"+strings.Repeat("x", maxText)+"</userData>"))
	if whole.status != 202 {
		t.Errorf("the longest user data: %d %s", whole.status, whole.body)
	}
}

// endless is a body of white space.
type endless struct{ reads int }

func (e *endless) Read(p []byte) (int, error) {
	if e.reads++; e.reads > 10_000 {
		return 0, io.EOF
	}
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestChunkedBodies(t *testing.T) {
	w := newWorld(t)
	req, err := http.NewRequest("POST", "http://gw-1"+Base+"/tenants", io.MultiReader(strings.NewReader(simpleWith(""))))
	check(t, err)
	req.SetBasicAuth("multitenancy", password)
	resp, err := w.client.Do(req)
	check(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != 202 {
		t.Errorf("a body in chunks: %d, want 202", resp.StatusCode)
	}
}

// A fullJournal is a journal on a disk that can fill up.
type fullJournal struct{ fail error }

func (*fullJournal) Replay(func(store.Record) error) error { return nil }
func (j *fullJournal) Append([]store.Record) error         { return j.fail }
func (*fullJournal) Close() error                          { return nil }

func TestFailures(t *testing.T) {
	journal := &fullJournal{}
	var log bytes.Buffer
	w := newWorldOn(t, store.Config{Journal: journal}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	register := "/tenants/" + w.tenant(1).String() + "/vms/register"
	journal.fail = fmt.Errorf("%w: %w", store.ErrReadOnly, syscall.ENOSPC)
	for _, path := range []string{register, "/tenants"} {
		body := simpleWith("")
		if path == register {
			body = `<vm biosId="` + aBIOS + `"/>`
		}
		if a := w.refused(507, codeReadOnly, "POST", path, body); !strings.Contains(a.body, "free space and try again") {
			t.Errorf("%s does not say what to do", a.body)
		}
	}
	journal.fail = nil
	for _, tt := range []struct {
		err    error
		status int
		code   string
	}{
		{task.ErrBusy, 503, codeBusy},
		{store.ErrClosed, 503, codeNotReady},
		{store.ErrFull, 507, codeReadOnly},
		{&store.FieldError{Field: "by", Reason: "is wrong"}, 400, codeBadRequest},
		{errBug, 500, codeInternal},
	} {
		w.asked.err = fmt.Errorf("tenancy: %w", tt.err)
		for _, q := range [][2]string{{"POST", "/tenants/" + aBIOS + "/activate"}, {"DELETE", "/tenants/" + aBIOS}, {"POST", "/reports/tenants"}, {"POST", "/tasks/" + aBIOS + "/cancel"}} {
			a := w.refused(tt.status, tt.code, q[0], q[1], "")
			if strings.Contains(a.body, "secret detail") || (a.header.Get("Retry-After") != "") != (tt.status == 503) {
				t.Errorf("%v: %v %s", tt.err, a.header, a.body)
			}
		}
	}
	if !strings.Contains(log.String(), "secret detail") || strings.Count(log.String(), "\n") != 4 {
		t.Errorf("the log has %s", log.String())
	}
}

func TestNewNeedsWhatItNeeds(t *testing.T) {
	w := newWorld(t)
	for _, cfg := range []Config{
		{Tenancy: w.asked, Accounts: w.api.accounts, Report: noReport},
		{Table: w.table, Accounts: w.api.accounts, Report: noReport},
		{Table: w.table, Tenancy: w.asked, Report: noReport},
		{Table: w.table, Tenancy: w.asked, Accounts: w.api.accounts},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("New(%+v) is no error", cfg)
		}
	}
	if api, err := New(Config{Table: w.table, Tenancy: w.asked, Accounts: w.api.accounts, Report: noReport}); err != nil || !api.ready() {
		t.Errorf("New of what is needed: %v", err)
	}
}

// A slow is the connection of a client that takes its time: it remembers until when it
// may.
type slow struct {
	net.Conn
	read, write time.Time
}

func (c *slow) SetReadDeadline(at time.Time) error  { c.read = at; return nil }
func (c *slow) SetWriteDeadline(at time.Time) error { c.write = at; return nil }
func (c *slow) RemoteAddr() net.Addr                { return &net.TCPAddr{} }

// TestSlowClients: a body must have arrived in seconds, though its route takes a stream,
// and a list may take as long as it is taken at all.
func TestSlowClients(t *testing.T) {
	w := newWorld(t)
	conn := &slow{}
	var ctx fasthttp.RequestCtx
	ctx.Init2(conn, nil, false)
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetBodyStream(strings.NewReader("<tenant/>"), 9)
	_, err := (&call{api: w.api, ctx: &ctx}).body()
	check(t, err)
	if left := time.Until(conn.read); left <= 0 || left > time.Minute {
		t.Errorf("a body must have arrived in %v", left)
	}
	many := make([]store.Tenant, 1000)
	check(t, (&call{api: w.api, ctx: &ctx}).answerList("tenants", each(many, appendTenant)))
	for range 3 {
		conn.write = time.Time{}
		if _, err := ctx.Response.BodyStream().Read(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if left := time.Until(conn.write); left <= stallTimeout/2 || left > stallTimeout {
			t.Errorf("a piece of a list must be taken in %v", left)
		}
	}
}
