package bench

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// serve answers h on loopback, and returns a Config that asks it.
func serve(t *testing.T, h http.HandlerFunc) Config {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return Config{Target: s.URL, Agents: someAgents(100), Rates: at(1000), Connections: 4}
}

// at is steps of these rates.
func at(rates ...float64) (out []Rate) {
	for _, r := range rates {
		out = append(out, Rate{PerSecond: r})
	}
	return out
}

func someAgents(n int) (ids []store.BIOSID) {
	for i := range n {
		ids = append(ids, World{Seed: 1}.BIOS(i))
	}
	return ids
}

// A server that stalls for 300 ms in a second keeps the requests of that time
// waiting, 30 % of all: the 99th percentile says so. A closed loop, which
// measures from when it got round to sending, sees one slow request for each
// connection and calls the 99th percentile good.
func TestStallShows(t *testing.T) {
	t.Parallel()
	const stall, connections, requests = 300 * time.Millisecond, 4, 1000
	var asked atomic.Int64
	var gate sync.RWMutex
	cfg := serve(t, func(http.ResponseWriter, *http.Request) {
		if n := asked.Add(1); n == requests/4 {
			gate.Lock()
			defer gate.Unlock()
			time.Sleep(stall) // the stall itself
			return
		}
		gate.RLock() // all wait who come meanwhile
		defer gate.RUnlock()
	})
	cfg.Count, cfg.Connections = requests, connections
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Steps[0].Answered != requests || len(res.Steps[0].Errors) > 0 {
		t.Fatalf("answered %d of %d, errors %v", res.Steps[0].Answered, requests, res.Steps[0].Errors)
	}
	if got := time.Duration(res.Steps[0].Latency.P99) * time.Microsecond; got < stall*2/3 {
		t.Errorf("p99 of the latency = %v: a stall of %v is hidden", got, stall)
	}
	if res.Steps[0].Service.P99 >= res.Steps[0].Latency.P99/2 {
		t.Errorf("p99 as a closed loop has it = %d µs, from the time due %d µs: want less than half", res.Steps[0].Service.P99, res.Steps[0].Latency.P99)
	}
	if got := time.Duration(res.Steps[0].Service.Max) * time.Microsecond; got < stall {
		t.Errorf("the slowest request took %v, want %v", got, stall)
	}
}

// The rate asked for is the rate that arrives, with equal and with exponential
// times between requests, and agents are asked for at random.
func TestRate(t *testing.T) {
	t.Parallel()
	for _, poisson := range []bool{false, true} {
		const seed = 1 // with which the number of exponential gaps in the time is not that of equal ones
		var mu sync.Mutex
		paths, early := map[string]int{}, 0
		start := time.Now()
		cfg := serve(t, func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			paths[r.URL.Path]++
			if time.Since(start) < time.Second/4 {
				early++
			}
			mu.Unlock()
			if r.URL.RawQuery != "version=12.0" || r.Header.Get("Authorization") != "Bearer secret" {
				t.Errorf("asked for %v with %v", r.URL, r.Header)
			}
		})
		cfg.Seed = seed
		cfg.Poisson, cfg.Duration, cfg.Rates, cfg.Query = poisson, time.Second/2, at(2000), "version=12.0"
		cfg.Token = func(int) string { return "secret" }
		res, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if n := res.Steps[0].Scheduled; n < 850 || n > 1150 || poisson == (n == 1000) {
			t.Errorf("poisson=%v: %d requests in half a second, want 1000", poisson, n)
		}
		if res.Steps[0].Answered != res.Steps[0].Scheduled || len(res.Steps[0].Errors) > 0 || res.Steps[0].RateAchieved < 500 {
			t.Errorf("poisson=%v: %+v", poisson, res)
		}
		if early > 650 { // fewer on a machine that is busy
			t.Errorf("poisson=%v: %d requests in the first quarter of a second, want 500", poisson, early)
		}
		if len(paths) < 90 {
			t.Errorf("poisson=%v: %d agents of 100 asked", poisson, len(paths))
		}
		for path := range paths {
			if !strings.HasPrefix(path, "/v1/agents/") || !strings.HasSuffix(path, "/svm") {
				t.Errorf("asked for %s", path)
			}
		}
	}
}

func TestErrorsByKind(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	var n atomic.Int64
	cfg := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) % 4 {
		case 0:
			w.WriteHeader(http.StatusNotFound)
		case 1:
			panic(http.ErrAbortHandler)
		case 2:
			<-hang
		}
	})
	defer close(hang)
	cfg.Count, cfg.Timeout, cfg.Patience, cfg.Connections = 40, 50*time.Millisecond, time.Minute, 1
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n := res.Steps[0].Latency.Count; n != 10 || res.Steps[0].Service.Count != n || res.Steps[0].Kinds["ask"].Latency.Count != n {
		t.Errorf("%d latencies; want those of the 10 that did not fail", n)
	}
	if res.Steps[0].Errors["status 404"] != 10 || res.Steps[0].Errors["timeout"] != 10 || res.Steps[0].Errors["connection closed"] != 10 || res.Steps[0].Answered != 20 {
		t.Errorf("answered %d, errors %v; want 20 and 10 of each of status 404, timeout, connection closed", res.Steps[0].Answered, res.Steps[0].Errors)
	}
}

// A target that nobody serves is an error of each request, not of the run.
func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	res, err := Run(t.Context(), Config{Target: "http://" + l.Addr().String(), Agents: someAgents(1), Rates: at(1000), Count: 20})
	if err != nil {
		t.Fatal(err)
	}
	if res.Steps[0].Errors["connection refused"] != 20 || res.Steps[0].Answered != 0 || res.Steps[0].Scheduled != 20 {
		t.Errorf("%+v", res)
	}
}

// Who waits too long for a connection gives up, as an agent does: so what a step
// leaves behind is bounded.
func TestPatience(t *testing.T) {
	release := make(chan struct{})
	cfg := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	cfg.Count, cfg.Rates, cfg.Connections, cfg.Patience = 500, at(100_000), 1, 20*time.Millisecond
	time.AfterFunc(100*time.Millisecond, func() { close(release) })
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	step := res.Steps[0]
	if unsent := step.Errors["given up unsent"]; unsent < 400 || step.Answered+unsent != 500 || step.Scheduled != 500 {
		t.Errorf("gave up %d, answered %d of 500", unsent, step.Answered)
	}
	if step.Latency.Count != int64(step.Answered) {
		t.Errorf("%d latencies of %d answers: what was not sent has none", step.Latency.Count, step.Answered)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var n atomic.Int64
	cfg := serve(t, func(http.ResponseWriter, *http.Request) {
		if n.Add(1) == 50 {
			cancel()
		}
	})
	cfg.Duration = time.Hour
	res, err := Run(ctx, cfg)
	if err != nil || res.Steps[0].Answered < 50 || res.Steps[0].Answered != res.Steps[0].Scheduled {
		t.Errorf("Run = %+v, %v", res, err)
	}
}

// The end of the context is noticed between requests that are far apart.
func TestCancelBetweenRequests(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cfg := serve(t, func(http.ResponseWriter, *http.Request) { cancel() })
	cfg.Duration, cfg.Rates = time.Hour, at(0.001)
	start := time.Now()
	res, err := Run(ctx, cfg)
	if err != nil || res.Steps[0].Scheduled != 1 || time.Since(start) > time.Minute {
		t.Errorf("Run = %+v, %v after %v", res, err, time.Since(start))
	}
}

func TestRefusedConfig(t *testing.T) {
	good := Config{Target: "http://127.0.0.1:1", Agents: someAgents(1), Rates: at(1), Count: 1}
	for want, change := range map[string]func(*Config){
		"--allow-remote":   func(c *Config) { c.Target = "http://192.0.2.7:7270" },
		"not on this":      func(c *Config) { c.Target = "http://gateway.example:7270" },
		"must be a URL":    func(c *Config) { c.Target = "127.0.0.1:7270" },
		"Agents":           func(c *Config) { c.Agents = nil },
		"Rate":             func(c *Config) { c.Rates = at(0) },
		"Rate 2e":          func(c *Config) { c.Rates = at(2e6) },
		"must be set":      func(c *Config) { c.Rates = nil },
		"--capacity":       func(c *Config) { c.Rates = []Rate{{OfCapacity: 0.8}} },
		"Patience":         func(c *Config) { c.Patience = time.Hour },
		"Mix":              func(c *Config) { c.Mix = Mix{Ask: -1} },
		"need Admin":       func(c *Config) { c.Mix = Mix{Report: 1} },
		"held at once":     func(c *Config) { c.Mix, c.Rates = Mix{Ask: 1, Poll: 1}, at(10_000) },
		"BatchLines":       func(c *Config) { c.BatchLines = 20_000 },
		"shares":           func(c *Config) { c.Limits.Rate = 98 },
		"Search":           func(c *Config) { c.Search = &Search{From: 2, To: 1} },
		"Ops":              func(c *Config) { c.Ops = []string{"127.0.0.1:7272"} },
		"two VMs":          func(c *Config) { c.Churn = &Churn{PerSecond: 1} },
		"Duration must be": func(c *Config) { c.Duration = -1 },
		"Connections":      func(c *Config) { c.Connections = MaxConnections + 1 },
		"Timeout":          func(c *Config) { c.Timeout = time.Hour },
	} {
		cfg := good
		change(&cfg)
		if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Run = %v, want an error that says %q", err, want)
		}
	}
	for _, target := range []string{"http://localhost:1", "http://[::1]:1", "http://127.9.9.9:1"} {
		cfg := good
		cfg.Target = target
		if err := cfg.check(); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
}

// The result is JSON that says where and what was measured.
func TestResultJSON(t *testing.T) {
	cfg := serve(t, func(http.ResponseWriter, *http.Request) {})
	cfg.Count, cfg.Seed = 10, 7
	res, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(res)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"go":"go1.`, `"cpus":`, `"askedRate":1000`, `"arrivals":"constant"`, `"seed":7`, `"scheduled":10`,
		`"answered":10`, `"errors":{}`, `"latencyMicroseconds":{"count":10,"min":`, `"p99.9":`, `"rateAchieved":`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
