package agentapi

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// id makes 16 bytes that are easy to recognise: the last ones are n.
func id(n int) [16]byte {
	return [16]byte{0x4c, 0x4c, 0x45, 0x44, 0, 0x35, 0x10, 0x4e, 0x80, 0x4d, 0, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}
}

// Tenants of the world, and the VM that each has.
const (
	acme   = 1 + iota // complete, active
	idle              // complete, inactive
	simple            // simple, never activated
	tagged            // its agents need a tag that no SVM lists
	full              // its only SVM is at its hard cap
	open              // its settings are not locked
)

// vmOf returns the id of a tenant's VM as text.
func vmOf(tenant int) string { return store.BIOSID(id(100 + tenant)).String() }

// svmOf returns the id of an SVM as text.
func svmOf(n int) string { return store.SVMID(id(200 + n)).String() }

const stranger = "4c4c4544-0035-104e-804d-0000ffffffff"

// newTable returns a table with the world. Each tenant has an SVM dedicated to
// it, so that what an agent gets does not depend on hashes.
func newTable(tb testing.TB) *store.Table {
	tb.Helper()
	table, err := store.Open(store.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { table.Close() })
	err = table.Update(func(tx *store.Tx) error {
		for n := acme; n <= open; n++ {
			if err := addTenant(tx, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return table
}

func addTenant(tx *store.Tx, n int) error {
	t := store.Tenant{ID: id(n), Name: fmt.Sprintf("tenant %d", n), Discovery: store.DefaultDiscovery()}
	s := pinnedSVM(n, t.ID)
	switch n {
	case simple:
		t.Type = store.Simple
	case tagged:
		t.Discovery.Tag = "gold"
	case full:
		s.HardCap = 1
		s.ConnectedAgents = 1
	case open:
		t.Discovery.Locked = false
	}
	if _, err := tx.PutTenant(t); err != nil {
		return err
	}
	if n != idle && n != simple {
		if _, err := tx.SetActive(t.ID, true); err != nil {
			return err
		}
	}
	if _, err := tx.PutSVM(s); err != nil {
		return err
	}
	_, err := tx.PutVM(store.VM{BIOS: id(100 + n), Tenant: t.ID, Name: "vm", Path: store.Path{Host: "h1"}})
	return err
}

// pinnedSVM is an SVM for agents 12.0 of one tenant, on host h1.
func pinnedSVM(n int, tenant store.TenantID) store.SVM {
	return store.SVM{
		ID: id(200 + n),
		SVMConfig: store.SVMConfig{
			Name: fmt.Sprintf("svm %d", n), Address: fmt.Sprintf("10.9.0.%d", n), Pinned: true, Tenants: []store.TenantID{tenant},
		},
		SVMFacts: store.SVMFacts{
			Version: "6.0", Path: store.Path{Host: "h1"}, License: store.License{State: store.LicenseValid},
		},
	}
}

func newSelector(tb testing.TB, table *store.Table) *discovery.Selector {
	tb.Helper()
	selector, err := discovery.New(discovery.Config{Table: table})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(selector.Close)
	return selector
}

// asAdmin is the management plane's handler, for who always may.
func asAdmin(a *API) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) { a.Admin(ctx, nil) }
}

// newAPI returns an API over table.
func newAPI(tb testing.TB, table *store.Table, cfg Config) *API {
	tb.Helper()
	cfg.Selector, cfg.Table = newSelector(tb, table), table
	a, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// setToken gives a tenant an agent token.
func setToken(tb testing.TB, table *store.Table, tenant int, text string) {
	tb.Helper()
	err := table.Update(func(tx *store.Tx) error {
		_, err := tx.SetToken(store.Token{Tenant: id(tenant), Current: auth.SumToken(text)})
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// listen serves h as the daemon does, over an in-memory network.
func listen(tb testing.TB, h fasthttp.RequestHandler) *fasthttputil.InmemoryListener {
	tb.Helper()
	l := fasthttputil.NewInmemoryListener()
	guarded := fence.Wrap(h, func(*fasthttp.RequestCtx) bool { return false })
	s := fence.Server("agent", guarded, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	tb.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return l
}

// send sends the bytes of one request and reads the answer.
func send(tb testing.TB, l *fasthttputil.InmemoryListener, request string) (*http.Response, string) {
	tb.Helper()
	conn, err := l.Dial()
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close()
	return exchange(tb, conn, request)
}

func exchange(tb testing.TB, conn net.Conn, request string) (*http.Response, string) {
	tb.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		tb.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		tb.Fatalf("no answer to %q: %v", request, err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	res.Body.Close()
	return res, string(body)
}

// get is the text of a GET request.
func get(target string, headers ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: gate\r\n" + strings.Join(append(headers, "\r\n"), "\r\n")
}

// post is the text of a POST request.
func post(target, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: gate\r\nContent-Length: %d\r\n\r\n%s", target, len(body), body)
}

// call runs the handler on a request without a server around it.
func call(h fasthttp.RequestHandler, method, target, body string, headers ...string) *fasthttp.RequestCtx {
	var req fasthttp.Request
	req.Header.SetMethod(method)
	req.SetRequestURI(target)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	req.SetBodyString(body)
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&req, nil, nil)
	h(ctx)
	return ctx
}

func lines(body string) []string {
	return strings.Split(strings.TrimSuffix(body, "\n"), "\n")
}
