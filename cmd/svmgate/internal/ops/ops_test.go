package ops

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/buildinfo"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

const bios = "4c4c4544-0042-3510-8054-b7c04f463032"

// world returns a table with one SVM and one VM, and a selector over it.
func world(t *testing.T, kept store.Config) (*store.Table, *discovery.Selector) {
	t.Helper()
	table, err := store.Open(kept)
	if err != nil {
		t.Fatal(err)
	}
	id, err := store.ParseBIOSID(bios)
	if err != nil {
		t.Fatal(err)
	}
	err = table.Update(func(tx *store.Tx) error {
		_, err1 := tx.PutSVM(store.SVM{ID: store.NewSVMID(), SVMConfig: store.SVMConfig{Name: "svm<1>", Address: "10.9.0.7", Pinned: true}})
		_, err2 := tx.PutVM(store.VM{BIOS: id})
		return errors.Join(err1, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
	selector, err := discovery.New(discovery.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { selector.Close(); table.Close() })
	return table, selector
}

func ask(p *Plane, target string, change func(*http.Request)) (int, string) {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:5000", "localhost:7272"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestHealthAndReadiness(t *testing.T) {
	p := New(prometheus.NewRegistry(), quiet)
	check := func(target string, want int, says string) {
		t.Helper()
		if code, body := ask(p, target, nil); code != want || !strings.Contains(body, says) {
			t.Errorf("%s = %d %q, want %d %q", target, code, body, want, says)
		}
	}
	check("/healthz", 200, "ok")
	check("/readyz", 503, "not ready: the gateway is starting")
	check("/debug/table", 503, "being loaded")
	p.SetReady(nil)
	check("/readyz", 200, "ready")
	if !p.Ready() {
		t.Error("Ready is false")
	}
	p.SetReady(errors.New("draining"))
	check("/readyz", 503, "not ready: draining")
	check("/healthz", 200, "ok")
	check("/nothing", 404, "")
}

// The page of a decision has what it depends on besides the order.
func TestDecisionPage(t *testing.T) {
	p := New(prometheus.NewRegistry(), quiet)
	table, selector := world(t, store.Config{})
	p.Show(table, selector)
	id, err := store.ParseBIOSID(bios)
	if err != nil {
		t.Fatal(err)
	}
	var a discovery.Answer
	selector.Select(&discovery.Query{BIOS: id}, &a)
	selector.Wait()
	shows := func(target string, want ...string) {
		t.Helper()
		for _, says := range want {
			if _, body := ask(p, target, nil); !strings.Contains(body, says) {
				t.Errorf("%s does not have %q:\n%s", target, says, body)
			}
		}
	}
	shows("/debug/decision?biosId="+bios, "It has svm&lt;1&gt;, and keeps it.", "<td>10.9.0.7<td>1<td>1<td>1000<td>\n<td>ready, not settled\n")
	shows("/debug/table", "<th>sent to their first SVM<td>1<", "<th>moved to another<td>0\n", "<th>SVMs suspect<td>0\n")
	if err := table.Update(func(tx *store.Tx) error { _, err := tx.DrainSVM(a.SVMs()[0].SVM.ID, time.Hour); return err }); err != nil {
		t.Fatal(err)
	}
	shows("/debug/decision?biosId="+bios, "<td>draining")
}

func TestDebugPages(t *testing.T) {
	p := New(prometheus.NewRegistry(), quiet)
	p.Show(world(t, store.Config{}))
	for target, says := range map[string]string{
		"/debug/":                        `href="/debug/decision"`,
		"/debug/table":                   "<th>VMs<td>1",
		"/debug/decision":                "<form",
		"/debug/decision?biosId=" + bios: "svm&lt;1&gt;",
		"/debug/decision?biosId=%3Cb%3E": "not a UUID",
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/cmdline":           "ops.test",
	} {
		code, body := ask(p, target, nil)
		if !strings.Contains(body, says) || code != 200 && !strings.Contains(target, "%3C") {
			t.Errorf("%s = %d, want it to contain %q:\n%s", target, code, says, body)
		}
		if strings.Contains(body, "<b>\"") {
			t.Errorf("%s is not escaped:\n%s", target, body)
		}
	}
}

func TestDebugIsForThisHostOnly(t *testing.T) {
	p := New(prometheus.NewRegistry(), quiet)
	tests := []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"from here", nil, 200},
		{"from here, IPv6", func(r *http.Request) { r.RemoteAddr, r.Host = "[::1]:5", "[::1]:7272" }, 200},
		{"IPv6 without a port", func(r *http.Request) { r.RemoteAddr, r.Host = "[::1]:5", "[::1]" }, 200},
		{"from elsewhere", func(r *http.Request) { r.RemoteAddr = "192.0.2.1:5" }, 403},
		{"through a proxy", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }, 403},
		{"through another proxy", func(r *http.Request) { r.Header.Set("Forwarded", "for=192.0.2.1") }, 403},
		{"a page whose name points here", func(r *http.Request) { r.Host = "evil.example:7272" }, 403},
	}
	for _, tt := range tests {
		if code, _ := ask(p, "/debug/", tt.change); code != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, code, tt.want)
		}
		if tt.want == 403 {
			if code, _ := ask(p, "/debug/pprof/heap", tt.change); code != 403 {
				t.Errorf("%s: pprof answers %d", tt.name, code)
			}
			if code, _ := ask(p, "/healthz", tt.change); code != 200 {
				t.Errorf("%s: healthz answers %d", tt.name, code)
			}
		}
	}
}

// Every family is registered, gathered, and as promtool wants it.
func TestMetrics(t *testing.T) {
	registry := NewRegistry(buildinfo.Read("v1"))
	journal, err := store.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	table, selector := world(t, store.Config{Journal: journal, OnAppend: NewAppends(registry, quiet).Observe})
	p := New(registry, quiet)
	p.SetReady(nil)

	dir := t.TempDir()
	ca, err := tlstest.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := ca.Write(dir+"/c", dir+"/k", tlstest.Leaf{}); err != nil {
		t.Fatal(err)
	}
	files, err := tlsconf.Open(tlsconf.Paths{Cert: dir + "/c", Key: dir + "/k"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var requests Requests
	h := requests.Count("agent", func(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(404) })
	for range 3 {
		h(&fasthttp.RequestCtx{})
	}
	requests.CountErrors("agent", func(ctx *fasthttp.RequestCtx, _ error) { ctx.SetStatusCode(431) })(&fasthttp.RequestCtx{}, io.EOF)
	listening := []Listening{{Plane: "agent", Listener: &tlsconf.Listener{}, Open: func() int { return 7 }, Rejected: func() int { return 2 }}}
	centers := NewCenters(answering(ksc.Capacity{URL: "https://a.example:1", Used: 100, Limit: 500}), quiet)
	centers.ask(t.Context())
	for _, families := range [][]Family{
		p.ReadyFamilies(), TableFamilies(table), TaskFamilies(table), centers.Families(), SelectorFamilies(selector), TLSFamilies(files),
		requests.Families(), ListenerFamilies(listening), DiskFamilies(func() store.DiskStats {
			return store.DiskStats{LogBytes: 1234, SnapshotBytes: 5678, SnapshotTime: time.Now().Add(-time.Hour), Snapshots: 7, SnapshotFailures: 2}
		}),
	} {
		registry.MustRegister(NewSource(families...))
	}

	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "svmgate_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
	_, body := ask(p, "/metrics", nil)
	for _, want := range []string{
		`svmgate_build_info{commit="`, "svmgate_ready 1", "svmgate_svms 1", "svmgate_vms 1", `svmgate_svms_by_state{state="ready"} 1`,
		`svmgate_http_requests_total{code="404",plane="agent"} 3`, `svmgate_http_requests_total{code="431",plane="agent"} 1`,
		`svmgate_connections{plane="agent"} 7`, `svmgate_connections_rejected_total{plane="agent"} 2`,
		`svmgate_tls_reloads_total{result="ok"} 1`, "svmgate_tls_files_usable 1", "svmgate_candidate_sets",
		"svmgate_journal_append_seconds_count 1", "svmgate_journal_records_total", "go_goroutines", "process_open_fds",
		"svmgate_log_bytes 1234", "svmgate_snapshot_bytes 5678", "svmgate_snapshot_age_seconds 3600.", "svmgate_snapshots_total 7",
		`svmgate_ksc_remaining_virtual_servers{ksc="https://a.example:1"} 400`, `svmgate_tasks{state="running"} 0`,
		"svmgate_snapshot_failures_total 2", "svmgate_journal_full 0", "svmgate_journal_broken 0",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if t.Failed() {
		fmt.Println(body)
	}
}

func TestServerHasLimits(t *testing.T) {
	s := New(prometheus.NewRegistry(), quiet).Server(quiet)
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.IdleTimeout == 0 || s.WriteTimeout < time.Minute || s.MaxHeaderBytes == 0 {
		t.Errorf("a limit is missing: %+v", s)
	}
}

func BenchmarkCount(b *testing.B) {
	var r Requests
	h := r.Count("agent", func(*fasthttp.RequestCtx) {})
	b.RunParallel(func(pb *testing.PB) {
		var ctx fasthttp.RequestCtx
		for pb.Next() {
			h(&ctx)
		}
	})
}
