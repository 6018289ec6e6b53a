package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"time"

	"github.com/svmgate/svmgate/store"
)

// Bounds of a run. Latencies of more than [MaxLatency] count as that.
const (
	MaxRate        = 1_000_000 // requests a second
	MaxConnections = 20_000
	MaxDuration    = 24 * time.Hour // of a step
	MaxSteps       = 100
	MaxLatency     = 2 * time.Minute
	MaxPollWait    = 10 * time.Minute
	MaxBatchLines  = 10_000
	MaxUpdates     = 1_000_000 // changes to the table a second

	// DefaultDuration is for callers who ask for no other.
	DefaultDuration = 10 * time.Second
)

// Config says what to ask, and how often. Target and Agents are required, and one
// of Rates and Search; the zero value of every other field selects the default
// that its comment names.
type Config struct {
	// Target is the agent plane to ask, such as http://127.0.0.1:7270.
	Target string

	// AllowRemote permits a Target, or Ops, that is not on this machine.
	AllowRemote bool

	// Ops are the operations planes of the gateways behind Target, such as
	// http://127.0.0.1:7272. If empty, nothing is known of what they used.
	Ops []string

	// TLS is used for https targets. If nil, the system's certificates are.
	TLS *tls.Config

	// NewConnections makes a connection for each request, as agents do that ask
	// every few minutes; else connections are kept alive.
	NewConnections bool

	// FullHandshakes resumes no TLS session. Without it a connection resumes the
	// session of the one before it, where the gateway lets it.
	FullHandshakes bool

	// Agents are those that ask, chosen at random for each request.
	Agents []store.BIOSID

	// Token, if not nil, returns the bearer token of the i-th agent; it is called
	// by many goroutines.
	Token func(i int) string

	// Query is added to each question, such as "version=12.0&os=server".
	Query string

	// Mix is how often each kind of request is made; nil means questions only.
	Mix Mix

	// BatchLines is the number of agents in a batch; 0 means 100.
	BatchLines int

	// PollWait is how long a long poll asks the gateway to wait; 0 means 60 s.
	PollWait time.Duration

	// Admin is needed for reports and activations.
	Admin *Admin

	// Rates are those of the steps, one after the other.
	Rates []Rate

	// Search, if not nil, looks for the capacity first.
	Search *Search

	// Capacity is what Rates may be parts of, in requests a second; 0 means what
	// Search finds.
	Capacity float64

	// Poisson makes the times between requests exponential, as those of many
	// independent agents are, rather than equal.
	Poisson bool

	// Duration and Count end a step: whichever is reached first, of those that
	// are not zero. If both are, Duration is 10 s.
	Duration time.Duration
	Count    int

	// Warmup is asked at the rate of the first step before anything is measured.
	Warmup time.Duration

	// Connections is the number of connections for questions; 0 means 64. A request
	// that is due while all are busy waits, and its latency grows. Long polls have
	// as many of their own as they need.
	Connections int

	// Timeout is how long one answer may take; 0 means 10 s.
	Timeout time.Duration

	// Patience is how long a request that is due may wait for a connection before
	// it is given up unsent, as an agent would; 0 means Timeout. It bounds what a
	// step leaves for the next one.
	Patience time.Duration

	// Within is how late, after it was due, an answer may be and still be counted
	// as goodput; 0 means Timeout.
	Within time.Duration

	// Limits are judged in [Result.Verdicts].
	Limits Limits

	// Churn, if not nil, runs each of Rates in slices with and without changes.
	Churn *Churn

	// Progress, if not nil, is called every second or more often, by one goroutine
	// at a time.
	Progress func(Progress)

	// Seed makes agents and Poisson times the same in each run; 0 means random.
	Seed uint64
}

// A Progress is how far a run is.
type Progress struct {
	Step    int    // from 0
	Purpose string // of the step; warmup before the first
	Asked   float64
	Done    time.Duration // of the step
	Of      time.Duration
	Moment  Moment
}

// An Admin reaches the management plane.
type Admin struct {
	// Do makes a request and returns its status. It is called by many goroutines.
	Do func(ctx context.Context, method, path string, body []byte) (status int, err error)

	// Reports are the bodies of SVMs' reports, sent at random; they had better say
	// what the gateway knows already.
	Reports map[store.SVMID][]byte

	// Toggles are tenants and whether they are active. They are switched to and
	// fro, and left as given here.
	Toggles map[store.TenantID]bool
}

// check sets defaults and returns what is wrong.
func (c *Config) check() error {
	if c.Duration == 0 && c.Count == 0 {
		c.Duration = DefaultDuration
	}
	c.Connections = orDefault(c.Connections, 64)
	c.Timeout = orDefault(c.Timeout, 10*time.Second)
	c.Patience = orDefault(c.Patience, c.Timeout)
	c.Within = orDefault(c.Within, c.Timeout)
	c.BatchLines = orDefault(c.BatchLines, 100)
	c.PollWait = orDefault(c.PollWait, time.Minute)
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Mix == nil {
		c.Mix = Mix{Ask: 1}
	}
	between := func(name string, d, least, most time.Duration) error {
		if d < least || d > most {
			return fmt.Errorf("bench: %s must be from %v to %v", name, least, most)
		}
		return nil
	}
	if len(c.Agents) == 0 {
		return errors.New("bench: Agents must name at least one BIOS ID")
	}
	err := errors.Join(
		between("Duration", c.Duration, 0, MaxDuration), between("Warmup", c.Warmup, 0, MaxDuration),
		between("Timeout", c.Timeout, time.Millisecond, MaxLatency), between("Patience", c.Patience, time.Millisecond, MaxLatency),
		between("Within", c.Within, time.Microsecond, MaxLatency), between("PollWait", c.PollWait, time.Second, MaxPollWait),
		c.checkNumbers(), c.Mix.check(), c.Limits.check(), c.checkRates(), c.checkAdmin())
	if err != nil {
		return err
	}
	return c.checkTargets()
}

func (c *Config) checkNumbers() error {
	switch {
	case c.Count < 0:
		return errors.New("bench: Count must not be negative")
	case c.Connections < 1 || c.Connections > MaxConnections:
		return fmt.Errorf("bench: Connections must be from 1 to %d", MaxConnections)
	case c.BatchLines < 1 || c.BatchLines > MaxBatchLines:
		return fmt.Errorf("bench: BatchLines must be from 1 to %d", MaxBatchLines)
	case c.Churn != nil && c.Search != nil && len(c.Rates) == 0:
		return errors.New("bench: Churn needs Rates to compare: 200% of the capacity tells of the throughput")
	}
	return nil
}

func (c *Config) checkAdmin() error {
	switch {
	case c.Mix[Report]+c.Mix[Activate] > 0 && c.Admin == nil:
		return errors.New("bench: reports and activations need Admin: they go to the management plane")
	case c.Mix[Report] > 0 && len(c.Admin.Reports) == 0:
		return errors.New("bench: the mix has reports, but there is no SVM to report")
	case c.Mix[Activate] > 0 && len(c.Admin.Toggles) == 0:
		return errors.New("bench: the mix has activations, but there is no tenant to switch")
	}
	return c.Churn.check()
}

func orDefault[T int | time.Duration](v, otherwise T) T {
	if v == 0 {
		return otherwise
	}
	return v
}

func (c *Config) checkTargets() error {
	if _, err := c.plane("Target", c.Target); err != nil {
		return err
	}
	for _, ops := range c.Ops {
		if _, err := c.plane("Ops", ops); err != nil {
			return err
		}
	}
	return nil
}

// plane parses the address of a plane.
func (c *Config) plane(field, text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("bench: %s %q must be a URL such as http://127.0.0.1:7270", field, text)
	}
	if !c.AllowRemote && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("bench: %s %q is not on this machine: a load test can take a gateway down; set AllowRemote (--allow-remote) if that is meant", field, text)
	}
	return u, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
