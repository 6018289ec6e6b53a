package cli

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/store"
)

// wantAll fails the test if text lacks one of the parts.
func wantAll(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%s:\n%s\nwant it to have %q", what, text, p)
		}
	}
}

func TestTenantCommands(t *testing.T) {
	g := newGateway(t)
	out := g.must("tenant", "create", "acme", "--subnet", "10.1.0.0/16,10.2.0.0/16", "--tag", "gold", "--unlocked", "--algorithm", "extended", "--path", "zone", "--agent-version", "12.0")
	wantAll(t, "create", out, "tenant acme (", "is created: complete, inactive")
	tenant, ok := g.table.TenantByName("acme")
	want := store.Discovery{Algorithm: store.Extended, Path: store.PathZone, Tag: "gold", AgentVersion: "12.0"}
	if !ok || len(tenant.Subnets) != 2 || tenant.Discovery != want {
		t.Fatalf("created %+v, want 2 subnets and %+v", tenant, want)
	}
	id := tenant.ID.String()
	wantAll(t, "list", g.must("tenant", "list"), "ID", "STATUS", id, "acme", "complete", "inactive")
	wantAll(t, "activate", g.must("tenant", "activate", "acme", "--wait", "all"), "acme", "is activated: complete, active")
	wantAll(t, "deactivate", g.must("tenant", "deactivate", id), "is deactivated: complete, inactive")
	wantAll(t, "show", g.must("tenant", "show", strings.ToUpper(id)), "discovery.tag", "gold", "10.1.0.0/16, 10.2.0.0/16")
	for _, note := range []string{"There was no token before.", "The token before stays valid until 20"} {
		r := g.run("tenant", "token", "acme")
		if token := strings.TrimSpace(r.out); len(token) != 43 || !strings.Contains(r.errOut, note) {
			t.Errorf("token: %q and %q, want 43 characters and %q", token, r.errOut, note)
		}
	}
	wantAll(t, "delete", g.must("tenant", "delete", "acme"), "tenant acme is deleted")
	if r := g.run("tenant", "show", "acme"); r.exit() != 1 || !strings.Contains(r.err.Error(), `"acme"`) {
		t.Errorf("show of a deleted one: exit %d, %v; want 1 naming it", r.exit(), r.err)
	}
	g.must("tenant", "create", "s", "--type", "simple", "--active", "--id", id)
	if s, _ := g.table.TenantByName("s"); s.Status != store.Active || s.Type != store.Simple || s.ID.String() != id || !s.Discovery.Locked {
		t.Errorf("created %+v, want it simple and active with the id %s and locked", s, id)
	}
}

func TestSVMCommands(t *testing.T) {
	g := newSample(t)
	wantAll(t, "list", g.must("svm", "list"), "svm-1", "10.9.0.7", "6.0", "ready", "valid", "h1", "svm-2")
	wantAll(t, "show", g.must("svm", "show", "svm-1"), "license.state", "valid")
	wantAll(t, "drain", g.must("svm", "drain", "svm-1"), "SVM svm-1 (00000000-0000-0000-0000-0000000000a1) is draining: its agents (0 by its last report) are sent elsewhere by 20")
	wantAll(t, "drain faster", g.must("svm", "drain", "svm-1", "svm-2", "--over", "0"),
		"SVM svm-1 (00000000-0000-0000-0000-0000000000a1) is draining", "SVM svm-2 (", "are sent elsewhere at their next question\n")
	wantAll(t, "drain at a rate", g.must("svm", "drain", "svm-1", "--rate", "5", "--output", "json"), `{"id":"00000000`, `"drain":{"since":"20`, `"over":600}`)
	wantAll(t, "drain to JSON", g.must("svm", "drain", "svm-1", "svm-2", "--output", "json"), `{"items":[{"id":"00000000`)
	for _, tt := range []struct {
		exit int
		args []string
	}{
		{2, nil}, {2, []string{"svm-1", "--over", "1m", "--rate", "5"}}, {2, []string{"svm-1", "--over", "25h"}},
		{2, []string{"svm-1", "--over", "-1s"}}, {2, []string{"svm-1", "--rate", "0"}}, {1, []string{"svm-1", "svm-99"}},
	} {
		if r := g.run(append([]string{"svm", "drain"}, tt.args...)...); r.exit() != tt.exit || strings.Contains(r.out, "is draining") {
			t.Errorf("drain %q: exit %d, %v, %q; want %d, and none drained", tt.args, r.exit(), r.err, r.out, tt.exit)
		}
	}
	wantAll(t, "undrain", g.must("svm", "undrain", "00000000-0000-0000-0000-0000000000A1"), "is ready")
	wantAll(t, "forget", g.must("svm", "forget", "svm-2"), "SVM svm-2 is forgotten")
	if r := g.run("svm", "show", "svm-2"); r.exit() != 1 || !strings.Contains(r.err.Error(), `no SVM named "svm-2"`) {
		t.Errorf("show of a forgotten one: exit %d, %v", r.exit(), r.err)
	}
	g.must("import", file(t, "two.yaml", "svms:\n- {id: 00000000-0000-0000-0000-0000000000a9, name: svm-1, address: 10.9.0.9}\n"))
	if r := g.run("svm", "drain", "svm-1"); r.exit() != 1 || !strings.Contains(r.err.Error(), "0000000000a1, 0") {
		t.Errorf("a name of two: exit %d, %v; want 1 with both ids", r.exit(), r.err)
	}
}

func TestUserCommands(t *testing.T) {
	g := newGateway(t)
	add := func(in string, args ...string) result {
		return execute(strings.NewReader(in), append(append([]string{"user", "add"}, args...), "--server", g.server, "--user", "root:"+password)...)
	}
	if r := add("s3cret\nrest", "watcher", "--role", "viewer", "--password-stdin"); r.err != nil || !strings.Contains(r.out, "watcher is added with role viewer") {
		t.Errorf("add: %q, %v", r.out, r.err)
	}
	if r := execute(strings.NewReader(""), "user", "list", "--server", g.server, "--user", "watcher:s3cret"); r.err != nil {
		t.Errorf("the new account: %v", r.err)
	}
	if r := add("x", "box", "--role", "svm", "--password-stdin", "--svm", "00000000-0000-0000-0000-0000000000a1"); r.err != nil {
		t.Error(r.err)
	}
	wantAll(t, "list", g.must("user", "list"), "root", "admin", "watcher", "viewer", "box", "0000000000a1")
	for name, tt := range map[string]struct {
		in   string
		args []string
		exit int
	}{
		"no role":              {"x", []string{"a", "--password-stdin"}, 2},
		"unknown role":         {"x", []string{"a", "--role", "god", "--password-stdin"}, 2},
		"empty password":       {"\n", []string{"a", "--role", "admin", "--password-stdin"}, 2},
		"long password":        {strings.Repeat("p", 2000), []string{"a", "--role", "admin", "--password-stdin"}, 2},
		"nobody to ask":        {"", []string{"a", "--role", "admin"}, 2},
		"the gateway refuses":  {"x", []string{"watcher", "--role", "admin", "--password-stdin"}, 1},
		"an svm without SVMs":  {"x", []string{"a", "--role", "svm", "--password-stdin"}, 1},
		"a name with a colon:": {"x", []string{"a:b", "--role", "viewer", "--password-stdin"}, 2},
		"a name with a slash:": {"x", []string{"a/b", "--role", "viewer", "--password-stdin"}, 2},
	} {
		if r := add(tt.in, tt.args...); r.exit() != tt.exit {
			t.Errorf("%s: exit %d, %v; want %d", name, r.exit(), r.err, tt.exit)
		}
	}
	wantAll(t, "remove", g.must("user", "remove", "watcher"), "account watcher is removed")
	if r := g.run("user", "remove", "root"); r.exit() != 1 || !strings.Contains(r.err.Error(), "last_admin") {
		t.Errorf("remove the last admin: exit %d, %v", r.exit(), r.err)
	}
}

func TestExplain(t *testing.T) {
	g := newSample(t)
	out := g.must("explain", "{00000000-0000-0000-0000-0000000000B1}", "--version", "12.0")
	wantAll(t, "explain", out, "svm-1 at 10.9.0.7", "RANK", "10.9.0.8", "F3 tag")
	if !strings.HasPrefix(out, "svm-1 at") {
		t.Errorf("explain:\n%s\nwant the sentence on top", out)
	}
	out = g.must("explain", "00000000-0000-0000-0000-0000000000b1", "--failed", "00000000-0000-0000-0000-0000000000a1", "--os", "desktop", "--kind", "linux", "--current", "00000000-0000-0000-0000-0000000000a1")
	wantAll(t, "explain with --failed", out, "no_svm", "F6 state", "F3 tag")
	for _, tt := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"12"}, 2, "UUID"},
		{[]string{"00000000-0000-0000-0000-0000000000b9"}, 1, "vm_not_registered"},
		{[]string{"00000000-0000-0000-0000-0000000000b1", "--algorithm", "x"}, 1, "algorithm"},
		{nil, 2, "BIOS_ID is missing"},
	} {
		if r := g.run(append([]string{"explain"}, tt.args...)...); r.exit() != tt.exit || !strings.Contains(r.err.Error(), tt.want) {
			t.Errorf("explain %v: exit %d, %v; want %d with %q", tt.args, r.exit(), r.err, tt.exit, tt.want)
		}
	}
}

// A tenant is shown with its deployment, each as the API has it.
func TestTenantShowIsTwoAnswers(t *testing.T) {
	g := newSample(t)
	const path = "/v1/tenants/00000000-0000-0000-0000-00000000007e"
	var got map[string]json.RawMessage
	check(t, json.Unmarshal([]byte(g.must("tenant", "show", "acme", "--output", "json")), &got))
	steps := got["deployment"]
	delete(got, "deployment")
	rest, err := json.Marshal(got)
	check(t, err)
	for what, halves := range map[string][2]string{"the tenant": {g.api(path), string(rest)}, "its deployment": {g.api(path + "/deployment"), string(steps)}} {
		var want, have any
		check(t, errors.Join(json.Unmarshal([]byte(halves[0]), &want), json.Unmarshal([]byte(halves[1]), &have)))
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-API +command):\n%s", what, diff)
		}
	}
}

// api is the body of an answer of the API itself.
func (g *gateway) api(path string) string {
	g.t.Helper()
	req, err := http.NewRequest("GET", g.server+path, nil)
	check(g.t, err)
	req.SetBasicAuth("root", password)
	resp, err := http.DefaultClient.Do(req)
	check(g.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(g.t, err)
	return string(body)
}

// TestJSONIsTheAPIs compares --output json with the API's own bytes.
func TestJSONIsTheAPIs(t *testing.T) {
	g := newSample(t)
	for path, args := range map[string][]string{
		"/v1/tenants": {"tenant", "list"},
		"/v1/svms":    {"svm", "list"},
		"/v1/svms/00000000-0000-0000-0000-0000000000a1": {"svm", "show", "svm-1"},
		"/v1/users": {"user", "list"},
		"/v1/explain/00000000-0000-0000-0000-0000000000b1?version=12.0": {"explain", "00000000-0000-0000-0000-0000000000b1", "--version", "12.0"},
	} {
		body := g.api(path)
		if got := g.must(append(args, "--output", "json")...); got != body {
			t.Errorf("%v:\n%s\nwant\n%s", args, got, body)
		}
	}
	for _, args := range [][]string{{"tenant", "delete", "globex"}, {"svm", "forget", "svm-2"}} {
		if out := g.must(append(args, "--output", "json")...); out != "" {
			t.Errorf("%v prints %q, but the API answers nothing", args, out)
		}
	}
}

// TestAllPages lists more than one page: none may be lost in joining them.
func TestAllPages(t *testing.T) {
	g := newGateway(t)
	check(t, g.table.Update(func(tx *store.Tx) error {
		for i := range 1500 {
			s := store.SVM{ID: store.SVMID{1, byte(i >> 8), byte(i)}}
			s.Address = "10.0.0.1"
			if _, err := tx.PutSVM(s); err != nil {
				return err
			}
		}
		return nil
	}))
	var all page
	check(t, json.Unmarshal([]byte(g.must("svm", "list", "--output", "json")), &all))
	if len(all.Items) != 1500 || all.Next != "" {
		t.Errorf("%d SVMs and next %q, want 1500 and none", len(all.Items), all.Next)
	}
	if lines := strings.Count(g.must("svm", "list"), "\n"); lines != 1501 {
		t.Errorf("%d lines, want 1501", lines)
	}
}

func TestWrongUsage(t *testing.T) {
	g := newGateway(t)
	for _, args := range [][]string{
		{"tenant"}, {"tenant", "destroy"}, {"tenant", "show"}, {"tenant", "show", "a", "b"}, {"tenant", "list", "x"},
		{"tenant", "list", "--colour"}, {"tenant", "list", "--output", "xml"}, {"svm"}, {"user"}, {"import"},
		{"import", "-", "--prune"}, {"import", "x.yaml", "--yes"}, {"tenant", "activate", "a", "--timeout", "soon"},
		{"import", file(t, "a.txt", ""), "--format", "xml"},
	} {
		if r := g.run(args...); r.exit() != 2 {
			t.Errorf("%v: exit %d, %v; want 2", args, r.exit(), r.err)
		}
	}
	for _, server := range []string{"", "127.0.0.1:7271", "ftp://x", "http://", "http://root:pw@x", "http://x/?a=b"} {
		if r := execute(nil, "tenant", "list", "--server", server, "--user", "a:b"); r.exit() != 2 || !strings.Contains(r.err.Error(), "--server") {
			t.Errorf("--server %q: exit %d, %v; want 2", server, r.exit(), r.err)
		}
	}
}

// TestCredentials watches where name and password come from, and in what order.
func TestCredentials(t *testing.T) {
	g := newGateway(t)
	for _, tt := range []struct {
		name, flag, user, password string
		exit                       int
	}{
		{"flag", "root:" + password, "", "", 0},
		{"flag over environment", "root:" + password, "nobody", "wrong", 0},
		{"environment", "", "root", password, 0},
		{"name by flag, password by environment", "root", "nobody", password, 0},
		{"wrong password", "root:wrong", "", "", 1},
		{"no password and no terminal", "root", "", "", 2},
		{"no name and no terminal", "", "", password, 2},
		{"a password without a name", ":x", "", "", 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("SVMGATE_USER", tt.user)
			t.Setenv("SVMGATE_PASSWORD", tt.password)
			if tt.password == "" {
				unset(t, "SVMGATE_PASSWORD")
			}
			if r := execute(strings.NewReader(""), "user", "list", "--server", g.server, "--user", tt.flag); r.exit() != tt.exit {
				t.Errorf("exit %d, %v; want %d", r.exit(), r.err, tt.exit)
			}
		})
	}
}

// TestTheServerIsNotTrusted talks to servers that are no gateway.
func TestTheServerIsNotTrusted(t *testing.T) {
	redirected := false
	for name, handler := range map[string]fasthttp.RequestHandler{
		"a web page": func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("<html>") },
		"a wrong answer": func(ctx *fasthttp.RequestCtx) {
			ctx.SetStatusCode(500)
			ctx.SetBodyString("oops")
		},
		"a list without end": func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString(`{"items":[],"next":"x"}`) },
		"a redirect": func(ctx *fasthttp.RequestCtx) {
			redirected = redirected || string(ctx.Path()) == "/elsewhere"
			ctx.Redirect("/elsewhere", 307)
		},
	} {
		r := execute(nil, "tenant", "list", "--server", "http://"+serve(t, handler), "--user", "root:secret")
		if r.exit() != 1 || strings.Contains(r.err.Error(), "secret") {
			t.Errorf("%s: exit %d, %v; want 1, without the password", name, r.exit(), r.err)
		}
	}
	if redirected {
		t.Error("a redirect was followed, with the password")
	}
	r := execute(nil, "tenant", "list", "--server", "http://127.0.0.1:1", "--user", "root:secret")
	if r.exit() != 1 || !strings.Contains(r.err.Error(), "running?") {
		t.Errorf("nobody there: exit %d, %v; want 1 with a hint", r.exit(), r.err)
	}
}

func TestCAFile(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"items":[],"next":""}`))
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := file(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	for _, tt := range []struct {
		file string
		exit int
	}{{ca, 0}, {"", 1}, {file(t, "empty.pem", ""), 2}, {"/nowhere.pem", 2}} {
		if r := execute(nil, "tenant", "list", "--server", server.URL, "--user", "a:b", "--ca-file", tt.file); r.exit() != tt.exit {
			t.Errorf("--ca-file %q: exit %d, %v; want %d", tt.file, r.exit(), r.err, tt.exit)
		}
	}
}

// TestHelp wants an example, a summary and a meaning for every flag.
func TestHelp(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || !strings.HasPrefix(cmd.Example, "  ") || !strings.Contains(cmd.Example, "svmgate ") {
			t.Errorf("%s: summary %q, example %q; want both", cmd.CommandPath(), cmd.Short, cmd.Example)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no meaning", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	for _, cmd := range Commands() {
		visit(cmd)
	}
}
