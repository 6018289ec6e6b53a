package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/store"
)

// Bounds of a run. Latencies of more than [MaxLatency] count as that.
const (
	MaxRate        = 1_000_000 // requests a second
	MaxConnections = 10_000
	MaxDuration    = 24 * time.Hour
	MaxLatency     = 2 * time.Minute

	// DefaultDuration is for callers who ask for no other.
	DefaultDuration = 10 * time.Second
)

// Config says what to ask, and how often. Target, Agents, Rate and one of
// Duration and Count are required; the zero value of every other field selects
// the default that its comment names.
type Config struct {
	// Target is the agent plane to ask, such as http://127.0.0.1:7270.
	Target string

	// AllowRemote permits a Target that is not on this machine.
	AllowRemote bool

	// TLS is used for https targets. If nil, the system's certificates are.
	TLS *tls.Config

	// Agents are those that ask, chosen at random for each request.
	Agents []store.BIOSID

	// Query is added to each request, such as "version=12.0&os=server".
	Query string

	// Token, if not empty, is sent as the bearer token.
	Token string

	// Rate is the number of requests that fall due each second.
	Rate float64

	// Poisson makes the times between requests exponential, as those of many
	// independent agents are, rather than equal.
	Poisson bool

	// Duration and Count end the run: whichever is reached first, of those that
	// are not zero.
	Duration time.Duration
	Count    int

	// Connections is the number of connections, all kept alive; 0 means 64. A
	// request that is due while all are busy waits, and its latency grows.
	Connections int

	// Timeout is how long one answer may take; 0 means 10 s.
	Timeout time.Duration

	// Backlog is the number of due requests that may wait for a connection; 0
	// means 100,000. Beyond it they are dropped, and counted as such.
	Backlog int

	// Seed makes agents and Poisson times the same in each run; 0 means random.
	Seed uint64
}

// check sets defaults and returns what is wrong.
func (c *Config) check() error {
	c.Connections = orDefault(c.Connections, 64)
	c.Timeout = orDefault(c.Timeout, 10*time.Second)
	c.Backlog = orDefault(c.Backlog, 100_000)
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	switch {
	case len(c.Agents) == 0:
		return errors.New("bench: Agents must name at least one BIOS ID")
	case !(c.Rate > 0 && c.Rate <= MaxRate):
		return fmt.Errorf("bench: Rate %v must be more than 0 and at most %d requests a second", c.Rate, MaxRate)
	case c.Duration < 0 || c.Duration > MaxDuration || c.Count < 0:
		return fmt.Errorf("bench: Duration must be from 0 to %v, Count not negative", MaxDuration)
	case c.Duration == 0 && c.Count == 0:
		return errors.New("bench: one of Duration and Count must be set: a run ends")
	case c.Connections < 0 || c.Connections > MaxConnections:
		return fmt.Errorf("bench: Connections must be from 1 to %d", MaxConnections)
	case c.Timeout < 0 || c.Timeout > MaxLatency:
		return fmt.Errorf("bench: Timeout must be at most %v", MaxLatency)
	case c.Backlog < 0:
		return errors.New("bench: Backlog must not be negative")
	}
	return nil
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

// client returns a client for the target, and the URL that questions begin with.
func (c *Config) client() (*fasthttp.HostClient, string, error) {
	u, err := url.Parse(c.Target)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" {
		return nil, "", fmt.Errorf("bench: Target %q must be a URL such as http://127.0.0.1:7270", c.Target)
	}
	if !c.AllowRemote && !loopback(u.Hostname()) {
		return nil, "", fmt.Errorf("bench: Target %q is not on this machine: a load test can take a gateway down; set AllowRemote (-allow-remote) if that is meant", c.Target)
	}
	address := u.Host
	if u.Port() == "" {
		address += map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	}
	return &fasthttp.HostClient{
		Addr:                      address,
		IsTLS:                     u.Scheme == "https",
		TLSConfig:                 c.TLS,
		MaxConns:                  c.Connections,
		ReadTimeout:               c.Timeout,
		WriteTimeout:              c.Timeout,
		MaxIdemponentCallAttempts: 1, // a retry would hide an error, and send what was not due
		NoDefaultUserAgentHeader:  true,
	}, strings.TrimSuffix(u.String(), "/") + "/v1/agents/", nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Run sends requests until the run ends or ctx does, waits for the answers that
// are under way, and returns what it measured. An error means that nothing was
// sent.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	client, base, err := cfg.client()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	r := &run{cfg: cfg, client: client, base: base, due: make(chan time.Duration, cfg.Backlog), start: time.Now()}
	tallies := make([]*tally, min(cfg.Connections, maxTallies))
	for i := range tallies {
		tallies[i] = newTally()
	}
	var workers sync.WaitGroup
	for i := range cfg.Connections {
		random := rand.New(rand.NewPCG(cfg.Seed, uint64(i)+1))
		workers.Go(func() { r.work(tallies[i%len(tallies)], random) })
	}
	total := r.schedule(ctx)
	close(r.due)
	workers.Wait()
	for _, t := range tallies {
		total.add(t)
	}
	return r.result(total), nil
}

// run is one run under way.
type run struct {
	cfg    Config
	client *fasthttp.HostClient
	base   string
	start  time.Time
	due    chan time.Duration // since start
}

// schedule lets requests fall due, and returns a tally of those that found the
// backlog full. Sleeping is coarser than the times between requests; those that
// fell due meanwhile are handed over at once, each with its own time.
func (r *run) schedule(ctx context.Context) *tally {
	t := newTally()
	random := rand.New(rand.NewPCG(r.cfg.Seed, 0))
	gap := float64(time.Second) / r.cfg.Rate
	timer := time.NewTimer(0)
	defer timer.Stop()
	at := 0.0
	for n := 0; r.cfg.Count == 0 || n < r.cfg.Count; n++ {
		due := time.Duration(at)
		if r.cfg.Duration > 0 && due >= r.cfg.Duration {
			break
		}
		if wait := due - time.Since(r.start); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return t
			}
		} else if ctx.Err() != nil {
			return t
		}
		t.scheduled++
		select {
		case r.due <- due:
		default:
			t.errors["dropped: backlog full"]++
		}
		if r.cfg.Poisson {
			at += gap * random.ExpFloat64()
		} else {
			at = gap * float64(n+1)
		}
	}
	return t
}

// work sends requests over one connection, one at a time, until there are no
// more.
func (r *run) work(t *tally, random *rand.Rand) {
	var req fasthttp.Request
	var res fasthttp.Response
	if r.cfg.Token != "" {
		req.Header.Set("Authorization", "Bearer "+r.cfg.Token)
	}
	suffix := "/svm"
	if r.cfg.Query != "" {
		suffix += "?" + r.cfg.Query
	}
	var uri []byte
	for due := range r.due {
		uri = store.AppendID(append(uri[:0], r.base...), r.cfg.Agents[random.IntN(len(r.cfg.Agents))])
		req.SetRequestURIBytes(append(uri, suffix...))
		sent := time.Since(r.start)
		err := r.client.Do(&req, &res)
		done := time.Since(r.start)
		t.record(due, sent, done, res.StatusCode(), err)
	}
}

// record notes one request: its status, or err. Times are since the start.
func (t *tally) record(due, sent, done time.Duration, status int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// RecordValue fails for values out of range, which micros does not return.
	_ = t.latency.RecordValue(micros(done - due))
	_ = t.service.RecordValue(micros(done - sent))
	_ = t.lag.RecordValue(micros(sent - due))
	t.last = max(t.last, done)
	switch {
	case err != nil:
		t.errors[kindOf(err)]++
		return
	case status != fasthttp.StatusOK:
		t.errors[fmt.Sprint("status ", status)]++
	}
	t.answered++
}

// micros is a duration in the histograms' unit, within their range.
func micros(d time.Duration) int64 {
	return min(max(d.Microseconds(), 1), MaxLatency.Microseconds())
}

// kindOf names an error by what it is, not by its addresses and ports, so that
// equal ones are counted together.
func kindOf(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, fasthttp.ErrTimeout), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, fasthttp.ErrConnectionClosed):
		return "connection closed"
	}
	var dial *fasthttp.ErrDialWithUpstream
	if errors.As(err, &dial) {
		return "connection refused"
	}
	return "connection failed"
}

// maxTallies bounds what histograms take: a tally has half a megabyte of them,
// so connections share these.
const maxTallies = 16

// tally is what some of the connections saw.
type tally struct {
	mu                    sync.Mutex
	scheduled, answered   int
	errors                map[string]int
	latency, service, lag *hdrhistogram.Histogram // microseconds
	last                  time.Duration           // the last answer, since the start
}

func newTally() *tally {
	histogram := func() *hdrhistogram.Histogram {
		return hdrhistogram.New(1, MaxLatency.Microseconds(), 3)
	}
	return &tally{errors: map[string]int{}, latency: histogram(), service: histogram(), lag: histogram()}
}

func (t *tally) add(o *tally) {
	t.scheduled += o.scheduled
	t.answered += o.answered
	for kind, n := range o.errors {
		t.errors[kind] += n
	}
	t.latency.Merge(o.latency)
	t.service.Merge(o.service)
	t.lag.Merge(o.lag)
	t.last = max(t.last, o.last)
}

func (r *run) result(t *tally) *Result {
	arrivals := "constant"
	if r.cfg.Poisson {
		arrivals = "poisson"
	}
	step := Step{
		Purpose: "rate", Asked: r.cfg.Rate, Scheduled: t.scheduled, Answered: t.answered, Seconds: t.last.Seconds(), Errors: t.errors,
		Latency: percentiles(t.latency), Service: percentiles(t.service), Lag: percentiles(t.lag),
	}
	if t.last > 0 {
		step.RateAchieved = float64(t.answered) / t.last.Seconds()
	}
	return &Result{
		Tool: tool, Started: r.start, Machine: ThisMachine(), Steps: []Step{step},
		Asked: Asked{
			Target: r.cfg.Target, Arrivals: arrivals, Connections: r.cfg.Connections,
			Profile: Profile{Connections: "keepAlive", TLS: "none"}, Agents: len(r.cfg.Agents), Query: r.cfg.Query, Seed: r.cfg.Seed,
		},
	}
}
