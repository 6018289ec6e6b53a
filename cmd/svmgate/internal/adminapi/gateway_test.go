package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/agentapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth/authtest"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/routing"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

const password = "correct horse"

// ownSVM is the SVM that the account "appliance" may report for.
var ownSVM = store.SVMID{15: 0xA1}

// A gateway is a running API over a table in memory, with one account for each
// role. Every answer that it gives in a test is checked against the document.
type gateway struct {
	t      *testing.T
	table  *store.Table
	api    *API
	client *http.Client
	doc    *openapi3.T
	seen   map[string]bool // operations answered with success, by operationId
}

func newGateway(t *testing.T, change ...func(*Config)) *gateway {
	t.Helper()
	return newGatewayOn(t, store.Config{}, change...)
}

func newGatewayOn(t *testing.T, kept store.Config, change ...func(*Config)) *gateway {
	t.Helper()
	table, err := store.Open(kept)
	check(t, err)
	t.Cleanup(func() { _ = table.Close() })
	check(t, table.Update(func(tx *store.Tx) error {
		for name, role := range map[string]store.Role{
			"root": store.RoleAdmin, "watcher": store.RoleViewer, "appliance": store.RoleSVM, "integration": store.RoleMultitenancy,
		} {
			a := store.Account{Name: name, Role: role, Hash: authtest.CheapHash(password)}
			if role == store.RoleSVM {
				a.SVMs = []store.SVMID{ownSVM}
			}
			if _, err := tx.PutAccount(a); err != nil {
				return err
			}
		}
		return nil
	}))
	accounts, err := auth.NewAccounts(table)
	check(t, err)
	t.Cleanup(accounts.Close)
	selector, err := discovery.New(discovery.Config{Table: table})
	check(t, err)
	t.Cleanup(selector.Close)
	agents, err := agentapi.New(agentapi.Config{Selector: selector, Table: table})
	check(t, err)
	cfg := Config{Table: table, Selector: selector, Accounts: accounts, Agents: agents.Admin}
	for _, c := range change {
		c(&cfg)
	}
	api, err := New(cfg)
	check(t, err)
	return &gateway{t: t, table: table, api: api, client: serve(t, api.Handler), doc: document(t), seen: map[string]bool{}}
}

// serve serves h on a listener in memory and returns a client of it.
func serve(t *testing.T, h fasthttp.RequestHandler) *http.Client {
	t.Helper()
	listener := fasthttputil.NewInmemoryListener()
	server := &fasthttp.Server{Handler: h, StreamRequestBody: true, DisablePreParseMultipartForm: true, CloseOnShutdown: true}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	transport := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return listener.Dial() },
	}
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

// document is the document as a client reads it; loading it takes 20 ms.
func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := loadDocument()
	check(t, err)
	return doc
}

var loadDocument = sync.OnceValues(func() (*openapi3.T, error) {
	text, err := documentJSON()
	if err != nil {
		return nil, err
	}
	return openapi3.NewLoader().LoadFromData(text)
})

// An answer is what the gateway said.
type answer struct {
	status int
	header http.Header
	body   string
}

// code is the code of a problem.
func (a answer) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal([]byte(a.body), &p)
	return p.Code
}

// json decodes the body into v.
func (a answer) json(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

// as sends a request with the account's credentials; a body is JSON unless
// headers say otherwise.
func (g *gateway) as(account, method, path, body string, fields ...string) answer {
	g.t.Helper()
	req, err := http.NewRequest(method, "http://gateway"+path, strings.NewReader(body))
	check(g.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if account != "" {
		req.SetBasicAuth(account, password)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	resp, err := g.client.Do(req)
	check(g.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(g.t, err)
	g.checkAgainstDocument(req, resp, text)
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (g *gateway) do(method, path, body string, fields ...string) answer {
	g.t.Helper()
	return g.as("root", method, path, body, fields...)
}

// must is do for a request that has to be answered with the status.
func (g *gateway) must(status int, method, path, body string, fields ...string) answer {
	g.t.Helper()
	a := g.do(method, path, body, fields...)
	if a.status != status {
		g.t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, a.status, status, a.body)
	}
	return a
}

// checkAgainstDocument fails the test if the document does not allow the answer.
func (g *gateway) checkAgainstDocument(req *http.Request, resp *http.Response, body []byte) {
	g.t.Helper()
	what := fmt.Sprintf("%s %s: %s", req.Method, req.URL.Path, resp.Status)
	if cc := resp.Header.Get("Cache-Control"); cc != "no-store" {
		g.t.Errorf("%s: Cache-Control %q, want no-store", what, cc)
	}
	segments, ok := routing.Split([]byte(req.URL.EscapedPath()))
	r, _, _ := match(req.Method, segments)
	if !ok || r == nil {
		return
	}
	item := g.doc.Paths.Value(r.pattern)
	if item == nil || item.GetOperation(r.method) == nil {
		g.t.Errorf("%s is not in the document", what)
		return
	}
	op := item.GetOperation(r.method)
	err := openapi3filter.ValidateResponse(req.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: req,
			Route:   &routers.Route{Spec: g.doc, Path: r.pattern, PathItem: item, Method: r.method, Operation: op},
		},
		Status:  resp.StatusCode,
		Header:  resp.Header,
		Body:    io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		g.t.Errorf("%s does not fit the document: %v\n%s", what, err, body)
	}
	if resp.StatusCode/100 == 2 {
		g.seen[op.OperationID] = true
	}
}

func init() {
	// A line-wise type has no schema of its own: it is a string here.
	for _, media := range []string{"application/x-ndjson", "text/csv"} {
		openapi3filter.RegisterBodyDecoder(media, func(body io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (any, error) {
			text, err := io.ReadAll(body)
			return string(text), err
		})
	}
}
