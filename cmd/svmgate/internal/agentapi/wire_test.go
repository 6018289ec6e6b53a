package agentapi

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// normal replaces what differs between agents or releases, after checking it:
// the interval, within 10 % of want, and the revision.
func normal(t *testing.T, body string, want int) string {
	t.Helper()
	refresh := regexp.MustCompile(`"refreshSeconds":(\d+)`)
	for _, m := range refresh.FindAllStringSubmatch(body, -1) {
		if n, _ := strconv.Atoi(m[1]); n < want*9/10 || n > want*11/10 {
			t.Errorf("refreshSeconds = %d, want %d ± 10 %%", n, want)
		}
	}
	revision := regexp.MustCompile(`"revision":(\d+)`)
	for _, m := range revision.FindAllStringSubmatch(body, -1) {
		if n, err := strconv.ParseUint(m[1], 10, 64); err != nil || n == 0 || n >= 1<<53 {
			t.Errorf("revision = %s, want 53 bits", m[1])
		}
	}
	return revision.ReplaceAllString(refresh.ReplaceAllString(body, `"refreshSeconds":N`), `"revision":R`)
}

// served is the body of an answer with the SVM of a tenant.
func served(result string, tenant int) string {
	return `{"result":"` + result + `","svms":[` + entry(tenant) + `],"refreshSeconds":N,"revision":R}`
}

func entry(tenant int) string {
	return `{"id":"` + svmOf(tenant) + `","address":"10.9.0.` + strconv.Itoa(tenant) + `","version":"6.0","local":true}`
}

func problemBody(status, title, detail, code string) string {
	return `{"type":"about:blank","title":"` + title + `","status":` + status +
		`,"detail":"` + strings.ReplaceAll(detail, `"`, `\"`) + `","code":"` + code + `"}`
}

const unknownVM = "no VM with this BIOS ID is registered"

// TestWire has every row of the table of situations: bytes in, bytes out.
func TestWire(t *testing.T) {
	a := newAPI(t, newTable(t), Config{})
	l := listen(t, a.Handler)
	const json, problem = "application/json", "application/problem+json"
	tests := []struct {
		name    string
		request string
		status  int
		kind    string // content type
		refresh int
		body    string
	}{
		{"an SVM is found", get("/v1/agents/" + vmOf(acme) + "/svm"), 200, json, 300, served("assigned", acme)},
		{"an inactive complete tenant gets the SVM that does not exist", get("/v1/agents/" + vmOf(idle) + "/svm"), 200, json, 300,
			`{"result":"inactive","svms":[{"id":"00000000-0000-0000-0000-000000000000","address":"192.0.2.1"}],"refreshSeconds":N,"revision":R}`},
		{"an inactive simple tenant notices nothing", get("/v1/agents/" + vmOf(simple) + "/svm"), 200, json, 300, served("assigned", simple)},
		{"nothing passes the filters", get("/v1/agents/" + vmOf(tagged) + "/svm"), 200, json, 30,
			`{"result":"no_svm","svms":[],"refreshSeconds":N,"revision":R}`},
		{"every usable SVM is at its hard cap", get("/v1/agents/" + vmOf(full) + "/svm"), 200, json, 300, served("over_capacity", full)},
		{"the VM is not registered", get("/v1/agents/" + stranger + "/svm"), 404, problem, 0,
			problemBody("404", "Not Found", unknownVM, "vm_not_registered")},
		{"a malformed id", get("/v1/agents/4c4c/svm"), 400, problem, 0, problemBody("400", "Bad Request",
			`biosId "4c4c" is not a UUID: want 32 hexadecimal digits, with or without hyphens or braces`, "invalid_id")},
		{"a malformed parameter", get("/v1/agents/" + vmOf(acme) + "/svm?limit=17"), 400, problem, 0,
			problemBody("400", "Bad Request", `limit "17": want a number from 1 to 16`, "invalid_parameter")},
		{"all parameters", get("/v1/agents/" + vmOf(acme) + "/svm?version=12.0.1&os=server&kind=linux&current=" + svmOf(acme) + "&failed=" +
			svmOf(idle) + "," + svmOf(full) + "&limit=16&tag=a&protection=on&algorithm=extended&path=zone"), 200, json, 300, served("assigned", acme)},
		{"a scheme and host in the request line", get("http://gate/v1/agents/" + vmOf(acme) + "/svm?limit=1"), 200, json, 300, served("assigned", acme)},
		{"upper case, no hyphens", get("/v1/agents/" + strings.ToUpper(strings.ReplaceAll(vmOf(acme), "-", "")) + "/svm"), 200, json, 300, served("assigned", acme)},
		{"encoded braces", get("/v1/agents/%7B" + vmOf(acme) + "%7d/svm"), 200, json, 300, served("assigned", acme)},
		{"the other byte order", get("/v1/agents/" + store.BIOSID(id(100+acme)).Swapped().String() + "/svm?biosIdOrder=swapped"), 200, json, 300, served("assigned", acme)},
		{"a version that fits no SVM", get("/v1/agents/" + vmOf(acme) + "/svm?version=5.1"), 200, json, 30,
			`{"result":"no_svm","svms":[],"refreshSeconds":N,"revision":R}`},
		{"what can not be read of version, os and kind passes", get("/v1/agents/" + vmOf(acme) + "/svm?version=latest&os=toaster&kind="), 200, json, 300, served("assigned", acme)},
		{"the only SVM failed", get("/v1/agents/" + vmOf(acme) + "/svm?failed=" + svmOf(acme)), 200, json, 30,
			`{"result":"no_svm","svms":[],"refreshSeconds":N,"revision":R}`},
		{"protection where it is not locked", get("/v1/agents/" + vmOf(open) + "/svm?protection=on"), 200, json, 30,
			`{"result":"no_svm","svms":[],"refreshSeconds":N,"revision":R}`},
		{"another path", get("/v1/tenants"), 404, problem, 0, problemBody("404", "Not Found",
			"there is nothing at this path: agents ask GET /v1/agents/{biosId}/svm or POST /v1/agents/svm, and tell PUT /v1/agents/{biosId}/state", "route_not_found")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res, body := send(t, l, tt.request)
			if res.StatusCode != tt.status || res.Header.Get("Content-Type") != tt.kind {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, res.Header.Get("Content-Type"), tt.status, tt.kind)
			}
			if got := res.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control = %q, want no-store", got)
			}
			if got := normal(t, body, tt.refresh); got != tt.body {
				t.Errorf("body:\n got %s\nwant %s", got, tt.body)
			}
		})
	}
}

func TestMethods(t *testing.T) {
	l := listen(t, newAPI(t, newTable(t), Config{}).Handler)
	one, many := "/v1/agents/"+vmOf(acme)+"/svm", "/v1/agents/svm"
	tests := []struct {
		method, path string
		status       int
		allow        string
	}{
		{"HEAD", one, 200, ""},
		{"POST", one, 405, "GET, HEAD"},
		{"DELETE", one, 405, "GET, HEAD"},
		{"GET", many, 405, "POST"},
		{"PUT", many, 405, "POST"},
		{"POST", many, 200, ""},
		{"PUT", "/v1/agents/" + vmOf(acme) + "/state", 403, ""},
		{"GET", "/v1/agents/" + vmOf(acme) + "/state", 405, "PUT"},
		{"PUT", "/v1/agents/state", 404, ""},
		{"PUT", "/v1/agents//state", 400, ""},
		{"GET", "/v1/agents/", 404, ""},
		{"GET", "/v1/agents/svm/", 404, ""},
		{"GET", one + "/", 404, ""},
		{"GET", "/v1/agents/a/b/svm", 404, ""},
		{"GET", "/v1/explain/" + vmOf(acme), 404, ""},
		{"GET", "/", 404, ""},
		{"OPTIONS", one, 405, "GET, HEAD"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			request := tt.method + " " + tt.path + " HTTP/1.1\r\nHost: gate\r\n"
			if tt.method == "POST" || tt.method == "PUT" {
				request += "Content-Length: 0\r\n"
			}
			res, body := send(t, l, request+"\r\n")
			if res.StatusCode != tt.status || res.Header.Get("Allow") != tt.allow {
				t.Errorf("got %d, Allow %q; want %d, %q", res.StatusCode, res.Header.Get("Allow"), tt.status, tt.allow)
			}
			if tt.method == "HEAD" && body != "" {
				t.Errorf("body of HEAD: %q", body)
			}
		})
	}
}

// A gateway that is not ready says so, whatever it is asked: it must not tell
// the agents of an inactive tenant, nor those of a VM it has not heard of.
func TestNotReady(t *testing.T) {
	ready := false
	table := newTable(t)
	setToken(t, table, acme, "acme-token")
	for _, how := range []Auth{None, Token} {
		a := newAPI(t, table, Config{Auth: how, Ready: func() bool { return ready }})
		for _, h := range []struct{ method, target string }{
			{"GET", "/v1/agents/" + vmOf(idle) + "/svm"},
			{"GET", "/v1/agents/" + stranger + "/svm"},
			{"GET", "/v1/agents/" + vmOf(acme) + "/svm"},
			{"POST", "/v1/agents/svm"},
		} {
			ctx := call(a.Handler, h.method, h.target, `{"biosId":"`+vmOf(idle)+`"}`)
			if ctx.Response.StatusCode() != 503 {
				t.Errorf("%v: %s %s = %d, want 503", how, h.method, h.target, ctx.Response.StatusCode())
			}
			if n, err := strconv.Atoi(string(ctx.Response.Header.Peek("Retry-After"))); err != nil || n < 1 || n > 10 {
				t.Errorf("%v: Retry-After = %q", how, ctx.Response.Header.Peek("Retry-After"))
			}
			if body := string(ctx.Response.Body()); strings.Contains(body, "192.0.2.1") {
				t.Errorf("%v: %s", how, body)
			}
		}
	}
}

// Deactivation changes the very next answer of a complete tenant's agents, and
// activation changes it back.
func TestNextAnswerAfterDeactivation(t *testing.T) {
	table := newTable(t)
	a := newAPI(t, table, Config{})
	ask := func(tenant int) string {
		ctx := call(a.Handler, "GET", "/v1/agents/"+vmOf(tenant)+"/svm", "")
		return normal(t, string(ctx.Response.Body()), 300)
	}
	for i := range 20 {
		active := i%2 == 1
		err := table.Update(func(tx *store.Tx) error {
			_, err := tx.SetActive(id(acme), active)
			if err == nil {
				_, err = tx.SetActive(id(simple), active)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(ask(acme), "192.0.2.1"); got == active {
			t.Fatalf("complete tenant, active=%v: %s", active, ask(acme))
		}
		if got := ask(simple); got != served("assigned", simple) {
			t.Fatalf("simple tenant, active=%v: %s", active, got)
		}
	}
}

// The management plane answers the same without a token, and what is asked there
// leaves no trace in the agents' counters.
func TestAdminAnswersTheSame(t *testing.T) {
	table := newTable(t)
	var metrics Metrics
	a := newAPI(t, table, Config{Auth: Token, Metrics: &metrics})
	for _, target := range []string{"/v1/agents/" + vmOf(acme) + "/svm", "/v1/agents/" + vmOf(idle) + "/svm"} {
		ctx := call(asAdmin(a), "GET", target, "")
		if got := ctx.Response.StatusCode(); got != http.StatusOK {
			t.Errorf("GET %s = %d, want 200", target, got)
		}
	}
	metrics.Each(func(name, result string, value uint64) {
		if value != 0 {
			t.Errorf("%s{result=%q} = %d, want 0", name, result, value)
		}
	})
}

// What administrators ask in an agent's place counts as no agent on any SVM; what
// the agent asks does, once.
func TestAdminAssignsNobody(t *testing.T) {
	table := newTable(t)
	selector := newSelector(t, table)
	a, err := New(Config{Selector: selector})
	if err != nil {
		t.Fatal(err)
	}
	load := func() int {
		candidates := selector.Explain(&discovery.Query{BIOS: id(100 + acme)}).Candidates
		for _, c := range candidates {
			if c.ID == id(200+acme) {
				return c.Load
			}
		}
		t.Fatalf("the SVM is no candidate: %+v", candidates)
		return 0
	}
	ask := func(h fasthttp.RequestHandler) {
		call(h, "GET", "/v1/agents/"+vmOf(acme)+"/svm", "")
		ctx := call(h, "POST", "/v1/agents/svm", `{"biosId":"`+vmOf(acme)+`"}`)
		ctx.Response.Body()
	}
	for range 3 {
		ask(asAdmin(a))
	}
	if got := load(); got != 0 {
		t.Errorf("after questions of administrators the SVM has %d agents, want 0", got)
	}
	for range 3 {
		ask(a.Handler)
	}
	if got := load(); got != 1 {
		t.Errorf("after questions of one agent the SVM has %d agents, want 1", got)
	}
}

func TestNewRefuses(t *testing.T) {
	table := newTable(t)
	selector := newSelector(t, table)
	for field, cfg := range map[string]Config{
		"Selector": {Table: table},
		"Table":    {Selector: selector, Auth: Token},
		"Auth":     {Selector: selector, Table: table, Auth: 9},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("New without a good %s: %v", field, err)
		}
	}
}

func TestParseAuth(t *testing.T) {
	for _, want := range []Auth{None, Token, MTLS} {
		if got, err := ParseAuth(want.String()); got != want || err != nil {
			t.Errorf("ParseAuth(%q) = %v, %v", want, got, err)
		}
	}
	if _, err := ParseAuth("mTLS"); err == nil || !strings.Contains(err.Error(), "none, token, mtls") {
		t.Errorf("ParseAuth: %v", err)
	}
}

func TestMetrics(t *testing.T) {
	var metrics Metrics
	a := newAPI(t, newTable(t), Config{Metrics: &metrics})
	for _, tenant := range []int{acme, acme, idle, tagged, full} {
		call(a.Handler, "GET", "/v1/agents/"+vmOf(tenant)+"/svm", "")
	}
	call(a.Handler, "GET", "/v1/agents/"+stranger+"/svm", "")
	call(a.Handler, "GET", "/v1/agents/x/svm", "")
	call(a.Handler, "GET", "/", "")
	call(a.Handler, "PUT", "/v1/agents/svm", "")
	batch := call(a.Handler, "POST", "/v1/agents/svm", `{"biosId":"`+vmOf(acme)+`"}`+"\n"+`{"biosId":"`+stranger+`"}`+"\n{}")
	batch.Response.Body()
	want := map[string]uint64{
		"agent_requests_total assigned": 2, "agent_requests_total inactive": 1, "agent_requests_total no_svm": 1,
		"agent_requests_total over_capacity": 1, "agent_requests_total not_registered": 1, "agent_requests_total invalid": 1,
		"agent_requests_total not_found": 1, "agent_requests_total method_not_allowed": 1, "agent_requests_total batch": 1,
		"agent_batch_lines_total assigned": 1, "agent_batch_lines_total not_registered": 1, "agent_batch_lines_total invalid": 1,
	}
	metrics.Each(func(name, result string, value uint64) {
		if value != want[name+" "+result] {
			t.Errorf("%s{result=%q} = %d, want %d", name, result, value, want[name+" "+result])
		}
		delete(want, name+" "+result)
	})
	if len(want) > 0 {
		t.Errorf("not exposed: %v", want)
	}
}
