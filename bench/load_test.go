package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/store"
)

// must runs a load that can be run.
func must(t *testing.T, cfg Config) *Result {
	t.Helper()
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Connections are as many as the profile says: counted where they arrive.
func TestConnections(t *testing.T) {
	for _, fresh := range []bool{false, true} {
		var made atomic.Int64
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				made.Add(1)
			}
		}
		s.Start()
		res := must(t, Config{Target: s.URL, Agents: someAgents(9), Rates: at(2000), Count: 100, Connections: 4, NewConnections: fresh})
		s.Close()
		step := res.Steps[0]
		if int64(step.Connects.Dialed) != made.Load() || step.Answered != 100 {
			t.Errorf("new=%v: says %d connections, made %d; %+v", fresh, step.Connects.Dialed, made.Load(), step.Errors)
		}
		if n := made.Load(); fresh != (n == 100) || !fresh && n > 4 {
			t.Errorf("new=%v: %d connections for 100 requests", fresh, n)
		}
	}
}

// TLS sessions are resumed, or not: as the server sees it.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{false, true} {
		var resumed, anew atomic.Int64
		s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if r.TLS.DidResume {
				resumed.Add(1)
			} else {
				anew.Add(1)
			}
		}))
		cfg := Config{
			Target: s.URL, Agents: someAgents(9), Rates: at(500), Count: 40, Connections: 2, NewConnections: true, FullHandshakes: full,
			TLS: s.Client().Transport.(*http.Transport).TLSClientConfig,
		}
		res := must(t, cfg)
		s.Close()
		step := res.Steps[0]
		if diff := cmp.Diff(Connects{Dialed: 40, Full: int(anew.Load()), Resumed: int(resumed.Load())}, step.Connects); diff != "" {
			t.Errorf("full=%v: %s", full, diff)
		}
		if n := resumed.Load(); full && n > 0 || !full && n < 38 {
			t.Errorf("full=%v: %d of 40 resumed; %v", full, n, step.Errors)
		}
	}
	res := must(t, Config{Target: plainTLS(t), Agents: someAgents(1), Rates: at(100), Count: 3})
	if res.Steps[0].Errors["TLS handshake failed"] != 3 {
		t.Errorf("a certificate that nobody knows is taken: %v", res.Steps[0].Errors)
	}
}

func plainTLS(t *testing.T) string {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

// The shares of a mix are those that arrive; batches have their lines, all of
// agents with one token.
func TestMixArrives(t *testing.T) {
	var asks, batches atomic.Int64
	agents := someAgents(10)
	tokenOf := map[string]string{}
	for i, id := range agents {
		tokenOf[id.String()] = fmt.Sprint("token-", i%2)
	}
	cfg := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			asks.Add(1)
			_, _ = io.WriteString(w, `{"result":"no_svm","svms":[],"refreshSeconds":30,"revision":1}`)
			return
		}
		batches.Add(1)
		lines := 0
		for in := bufio.NewScanner(r.Body); in.Scan(); lines++ {
			var line struct{ BIOSID, Version string }
			if err := json.Unmarshal(in.Bytes(), &line); err != nil || line.Version != "12.0" {
				t.Errorf("%s: %v", in.Text(), err)
			}
			if "Bearer "+tokenOf[line.BIOSID] != r.Header.Get("Authorization") {
				t.Errorf("%s is asked for with %q", in.Text(), r.Header.Get("Authorization"))
			}
			fmt.Fprintf(w, `{"biosId":%q,"result":"assigned"}`+"\n", line.BIOSID)
		}
		if lines != 7 || r.URL.Path != "/v1/agents/svm" {
			t.Errorf("%s with %d lines", r.URL.Path, lines)
		}
	})
	cfg.Agents, cfg.Query, cfg.BatchLines, cfg.Rates, cfg.Count = agents, "version=12.0", 7, at(4000), 1000
	cfg.Token = func(i int) string { return fmt.Sprint("token-", i%2) }
	cfg.Mix = Mix{Ask: 80, Batch: 20}
	step := must(t, cfg).Steps[0]
	if n := batches.Load(); n < 150 || n > 250 || asks.Load()+n != 1000 {
		t.Errorf("%d batches and %d questions of 1000, want 200", n, asks.Load())
	}
	k := step.Kinds["batch"]
	if int64(k.Answered) != batches.Load() || k.Decisions != 7*k.Answered || len(step.Errors) > 0 || int64(step.Results["no_svm"]) != asks.Load() {
		t.Errorf("%+v, errors %v, results %v", k, step.Errors, step.Results)
	}
	if step.Kinds["ask"].Latency.Count != asks.Load() {
		t.Errorf("%d latencies of %d questions", step.Kinds["ask"].Latency.Count, asks.Load())
	}
}

// A poll that runs out, maybe a tenth early, has the latency that came on top of its wait;
// one whose answer changed has none; one under way at the end of a step is neither.
func TestPolls(t *testing.T) {
	t.Parallel()
	changed, hang := make(chan struct{}), make(chan struct{})
	cfg := serve(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.RawQuery != "" && (q.Get("wait") != "1s" || q.Get("tag") != "a b") {
			t.Errorf("asked for %v", r.URL)
		}
		revision := 7
		switch q.Get("revision") {
		case "7":
			select {
			case <-time.After(910 * time.Millisecond):
			case <-changed:
				revision = 8
			}
		case "8":
			<-hang
		}
		fmt.Fprintf(w, `{"result":"assigned","svms":[],"refreshSeconds":300,"revision":%d}`, revision)
	})
	defer close(hang)
	cfg.Mix, cfg.PollWait, cfg.Rates, cfg.Query = Mix{Poll: 1}, time.Second, at(10), ""
	if err := cfg.check(); err != nil {
		t.Fatal(err)
	}
	r, err := newRun(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	r.questions.poll += "&tag=a+b"
	r.grow(r.lanes[0], 1)
	w := r.lanes[0].workers[0]
	ctx, cancel := context.WithCancel(t.Context())
	s := &step{start: time.Now(), calm: t.Context(), polls: ctx}
	poll := func() *outcome {
		now := time.Now()
		o := &outcome{kind: Poll, due: now.Sub(s.start), sent: now.Sub(s.start)}
		w.poll(now, s, o)
		return o
	}

	if o := poll(); o.waited < 910*time.Millisecond || o.changed || o.err != nil || o.done-o.due-o.waited > 300*time.Millisecond {
		t.Errorf("ran out: %+v", o)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(changed) })
	if o := poll(); !o.changed || o.waited != 0 || w.revision != "8" {
		t.Errorf("changed: %+v, revision %s", o, w.revision)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if o := poll(); !o.unfinished {
		t.Errorf("at the end: %+v", o)
	}
	sum := newTally()
	for _, o := range []outcome{{waited: time.Second, done: time.Second + time.Millisecond, status: 200}, {changed: true, done: 5 * time.Second, status: 200}, {unfinished: true}} {
		o.kind = Poll
		sum.record(&o, time.Second, false)
	}
	if k := sum.kinds[Poll]; k.scheduled != 3 || k.answered != 2 || k.good != 2 || k.changed != 1 || k.unfinished != 1 || k.latency.TotalCount() != 1 || k.latency.Max() != 1000 {
		t.Errorf("%+v", k)
	}
}

// Long polls have connections of their own: questions do not wait for them, and
// a step ends although they wait.
func TestPollsHoldUpNothing(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	cfg := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			<-hang
		}
		_, _ = io.WriteString(w, `{"result":"assigned","revision":1}`)
	})
	defer close(hang)
	cfg.Mix, cfg.Rates, cfg.Duration, cfg.Connections = Mix{Ask: 1, Poll: 1}, at(300), 300*time.Millisecond, 1
	step := must(t, cfg).Steps[0]
	if ask := step.Kinds["ask"]; ask.Answered != ask.Scheduled || ask.Scheduled < 40 || len(step.Errors) > 0 {
		t.Errorf("questions: %+v, errors %v", ask, step.Errors)
	}
	if poll := step.Kinds["poll"]; poll.Unfinished != poll.Scheduled || poll.Scheduled < 40 {
		t.Errorf("polls: %+v", poll)
	}
}

// slowServer answers one request after the other, each after a while.
func slowServer(t *testing.T, each time.Duration) Config {
	var one sync.Mutex
	return serve(t, func(http.ResponseWriter, *http.Request) {
		one.Lock()
		defer one.Unlock()
		time.Sleep(each)
	})
}

// The search ends between a rate that held and one that did not; rates are parts
// of what it found; what an overload leaves behind is told.
func TestSearchAndOverload(t *testing.T) {
	t.Parallel()
	cfg := slowServer(t, 4*time.Millisecond)
	cfg.Patience, cfg.Connections = 100*time.Millisecond, 8
	cfg.Search = &Search{From: 80, Duration: 150 * time.Millisecond, Halvings: 1}
	cfg.Rates = []Rate{{OfCapacity: 6, Duration: 200 * time.Millisecond}, {OfCapacity: 0.3, Duration: 300 * time.Millisecond}}
	cfg.Limits = Limits{P99: Millis(80 * time.Millisecond), Rate: 0.7, Goodput: 0.2, Recovery: Millis(3 * time.Second)}
	res := must(t, cfg)
	c := res.Capacity
	if c.RequestsPerSecond <= 0 || c.RequestsPerSecond > 250 || c.FailedAt <= c.RequestsPerSecond || c.Why == "" {
		t.Fatalf("capacity %+v: want less than 250 requests a second", c)
	}
	n := len(res.Steps)
	over, after := res.Steps[n-2], res.Steps[n-1]
	if over.Asked != 6*c.RequestsPerSecond || over.RecoverySeconds != nil || after.RecoverySeconds == nil {
		t.Errorf("asked %v of %v; recovery %v, %v", over.Asked, c.RequestsPerSecond, over.RecoverySeconds, after.RecoverySeconds)
	}
	var names []string
	for _, v := range res.Verdicts {
		names = append(names, fmt.Sprint(v.Step-n, v.Limit))
	}
	if diff := cmp.Diff([]string{"-2goodput", "-1recovery"}, names); diff != "" {
		t.Errorf("verdicts: %s", diff)
	}
	for i := range n - 2 {
		if res.Steps[i].Purpose != "search" {
			t.Errorf("step %d is of %s", i, res.Steps[i].Purpose)
		}
	}

	cfg = serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	cfg.Rates, cfg.Search = nil, &Search{From: 100, Duration: 50 * time.Millisecond, Halvings: 1}
	if res, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "no rate held") || res == nil {
		t.Errorf("Run = %v, %v; want that no rate held", res, err)
	}
}

// What the gateways used is read from their metrics, all of them.
func TestServerUse(t *testing.T) {
	t.Parallel()
	var cpu atomic.Int64
	metrics := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprintf(w, "process_cpu_seconds_total %d\nprocess_resident_memory_bytes 1e+06\ngo_memstats_heap_alloc_bytes 5e+05\n"+
			"svmgate_vms 1000\nsvmgate_tenants 10\nsvmgate_svms 4\nsvmgate_build_info{version=\"1.2\",commit=\"x\"} 1\n"+
			"svmgate_connections{plane=\"agent\"} 3\nsvmgate_connections{plane=\"ops\"} 50\ngo_sched_gomaxprocs_threads 3\n"+
			"svmgate_cluster_sent_bytes_total{by=\"packet\"} %d\nsvmgate_cluster_sent_bytes_total{by=\"stream\"} 0\n", cpu.Add(1), 100*cpu.Load())
	}))
	defer metrics.Close()
	cfg := serve(t, func(http.ResponseWriter, *http.Request) {})
	cfg.Ops, cfg.Rates, cfg.Duration = []string{metrics.URL, metrics.URL}, at(500), 300*time.Millisecond
	if err := CheckOps(t.Context(), &cfg); err != nil {
		t.Fatal(err)
	}
	step := must(t, cfg).Steps[0]
	u := step.Server
	if u == nil || u.Gateways != 2 || u.Processors != 6 || u.Version != "1.2" || u.ResidentBytes != 2e6 || u.HeapBytes != 1e6 || u.Connections != 6 || u.VMs != 1000 || u.Tenants != 10 || u.SVMs != 4 {
		t.Fatalf("%+v", u)
	}
	if u.CPUSeconds < 4 || math.Abs(u.CPUMicrosecondsPerRequest-u.CPUSeconds*1e6/float64(step.Answered)) > 1 || u.GossipBytes != 100*u.CPUSeconds {
		t.Errorf("%+v of %d requests", u, step.Answered)
	}
	if len(step.Series) == 0 || step.Series[0].Resident != 2e6 || step.Series[0].Rate == 0 {
		t.Errorf("series %+v", step.Series)
	}
	cfg.Ops = []string{cfg.Target}
	if err := CheckOps(t.Context(), &cfg); err == nil || !strings.Contains(err.Error(), "not that of a gateway") {
		t.Errorf("CheckOps of another server = %v", err)
	}
}

// Reports and activations reach the management plane, and tenants are left as
// they were found, even if the run is ended.
func TestTenantsAreLeftAsFound(t *testing.T) {
	t.Parallel()
	w := World{Seed: 1}
	var mu sync.Mutex
	active := map[string]bool{}
	cfg := serve(t, func(http.ResponseWriter, *http.Request) {})
	cfg.Admin = &Admin{Reports: map[store.SVMID][]byte{w.SVM(0).ID: []byte("{}")}, Toggles: map[store.TenantID]bool{}}
	for i := range 5 {
		id := w.Tenant(i).ID
		cfg.Admin.Toggles[id], active[id.String()] = i != 3, i != 3
	}
	found := maps.Clone(active)
	ctx, cancel := context.WithCancel(t.Context())
	switches, reports := 0, 0
	cfg.Admin.Do = func(_ context.Context, method, path string, body []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		words := strings.Split(path, "/")
		switch verb := words[len(words)-1]; verb {
		case "report":
			reports++
			if string(body) != "{}" || method != http.MethodPost {
				t.Errorf("%s %s %s", method, path, body)
			}
		case "activate", "deactivate":
			if active[words[3]] == (verb == "activate") {
				t.Errorf("%s changes nothing", path)
			}
			active[words[3]] = verb == "activate"
			if switches++; switches == 101 {
				cancel()
			}
		}
		return 200, nil
	}
	cfg.Mix, cfg.Rates, cfg.Duration = Mix{Ask: 1, Report: 1, Activate: 1}, at(2000), time.Minute
	res, err := Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(found, active); diff != "" || reports == 0 {
		t.Errorf("%d reports; tenants are not as they were: %s", reports, diff)
	}
	if k := res.Steps[0].Kinds; k["activate"].Answered < 100 || k["report"].Answered != reports {
		t.Errorf("%+v", k)
	}
}

// Slices with and without changes take turns, and the VMs are put back.
func TestChurn(t *testing.T) {
	t.Parallel()
	w := World{Seed: 1, Tenants: 2, SVMs: 30}
	cfg := serve(t, func(http.ResponseWriter, *http.Request) {})
	var mu sync.Mutex
	places, found := map[store.BIOSID]store.Path{}, map[store.BIOSID]store.Path{}
	c := &Churn{PerSecond: 2000, Pairs: 2}
	for i := range 100 {
		c.VMs = append(c.VMs, w.VM(i))
		places[w.BIOS(i)], found[w.BIOS(i)] = w.VM(i).Path, w.VM(i).Path
	}
	moved := 0
	c.Put = func(_ context.Context, vms []store.VM) error {
		mu.Lock()
		defer mu.Unlock()
		for _, vm := range vms {
			if places[vm.BIOS] != vm.Path {
				moved++
			}
			places[vm.BIOS] = vm.Path
		}
		return nil
	}
	cfg.Churn, cfg.Rates, cfg.Duration = c, at(500), 150*time.Millisecond
	res := must(t, cfg)
	var updates []bool
	for i := range res.Steps {
		updates = append(updates, res.Steps[i].Updates > 0)
	}
	if !slices.Equal(updates, []bool{false, true, false, true}) {
		t.Errorf("changes in steps: %v", updates)
	}
	if moved < 100 || res.Churn == nil || res.Churn.UpdatesPerSecond < 100 || res.Churn.Throughput < 0.5 || res.Churn.Throughput > 2 {
		t.Errorf("%d moved, %+v", moved, res.Churn)
	}
	if diff := cmp.Diff(found, places); diff != "" {
		t.Errorf("not put back: %s", diff)
	}
}

// Where nobody answers there is nothing to compare, and the result can be written.
func TestChurnWithoutAnswers(t *testing.T) {
	t.Parallel()
	cfg := serve(t, func(http.ResponseWriter, *http.Request) {})
	w := World{Seed: 1, Tenants: 2, SVMs: 30}
	put := func(context.Context, []store.VM) error { return nil }
	cfg.Target = "http://127.0.0.1:1"
	cfg.Churn, cfg.Rates, cfg.Duration = &Churn{PerSecond: 10, Pairs: 1, VMs: []store.VM{w.VM(0), w.VM(1)}, Put: put}, at(100), 100*time.Millisecond
	res, err := Run(t.Context(), cfg)
	if err != nil || res.Churn == nil || res.Churn.Throughput != 0 {
		t.Fatalf("%+v, %v", res.Churn, err)
	}
	if err := res.WriteJSON(io.Discard); err != nil {
		t.Error(err)
	}
}
