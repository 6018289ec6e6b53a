package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/svmgate/svmgate/store"
)

// maxReporters bounds the reports that are sent at once, and maxSwitches the
// tenants that are not as they were found.
const (
	maxReporters = 16
	maxSwitches  = 4
)

// settle is how long a run rests after a step that asked too much.
const settle = time.Second

// run is one run under way.
type run struct {
	cfg       Config
	questions *questions
	lanes     []*lane
	tallies   []*tally // of the step
	scraper   *scraper
	reports   []store.SVMID
	tenants   chan store.TenantID // those that nobody is switching
	churn     *churner
	start     time.Time
	result    *Result
}

// Run makes requests until the steps are over or ctx ends, waits for the answers
// that are under way, puts back what it changed, and returns what it measured. An
// error without a result means that nothing was sent; with one, that the gateway
// is not as it was found.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r, err := newRun(cfg)
	if err != nil {
		return nil, err
	}
	defer r.close()
	err = errors.Join(r.plan(ctx), r.restore(ctx))
	r.result.Verdicts = r.result.judge(cfg.Limits)
	return r.result, err
}

func newRun(cfg Config) (*run, error) {
	d, err := cfg.dialer()
	if err != nil {
		return nil, err
	}
	r := &run{cfg: cfg, scraper: newScraper(&cfg), start: time.Now()}
	if r.questions, err = newQuestions(&cfg, d); err != nil {
		return nil, err
	}
	if cfg.Churn != nil {
		r.churn = &churner{Churn: *cfg.Churn}
	}
	if cfg.Admin != nil {
		for id := range cfg.Admin.Reports {
			r.reports = append(r.reports, id)
		}
		r.tenants = make(chan store.TenantID, len(cfg.Admin.Toggles))
		for id := range cfg.Admin.Toggles {
			r.tenants <- id
		}
	}
	r.addLane(d, cfg.Connections, Ask, Batch)
	r.addLane(d, 0, Poll)
	r.addLane(nil, min(cfg.Connections, maxReporters), Report)
	r.addLane(nil, min(maxSwitches, len(r.tenants)), Activate)
	r.result = &Result{Tool: tool, Started: r.start, Machine: ThisMachine(), Asked: cfg.asked()}
	return r, nil
}

func (c *Config) asked() Asked {
	a := Asked{
		Target: c.Target, Arrivals: "constant", Connections: c.Connections, Profile: c.profile(), Agents: len(c.Agents),
		Tokens: c.Token != nil, Query: c.Query, Mix: c.Mix.named(), Within: Millis(c.Within), Limits: c.Limits, Seed: c.Seed,
	}
	if c.Poisson {
		a.Arrivals = "poisson"
	}
	if c.Mix[Batch] > 0 {
		a.BatchLines = c.BatchLines
	}
	if c.Mix[Poll] > 0 {
		a.PollWait = c.PollWait.Seconds()
	}
	return a
}

// addLane adds connections for some kinds of requests, if the mix has any.
func (r *run) addLane(d *dialer, workers int, kinds ...Kind) {
	l := &lane{dialer: d, share: r.cfg.Mix.share(kinds...)}
	if l.share == 0 {
		return
	}
	for _, kind := range kinds {
		if r.cfg.Mix[kind] > 0 {
			l.kinds = append(l.kinds, kind)
		}
	}
	r.lanes = append(r.lanes, l)
	r.grow(l, workers)
}

// grow adds workers to a lane up to a number.
func (r *run) grow(l *lane, workers int) {
	for len(l.workers) < workers {
		stream := uint64(len(l.workers))<<8 | uint64(l.kinds[0]) + 1
		w := &worker{r: r, kinds: l.kinds, random: rand.New(rand.NewPCG(r.cfg.Seed, stream))}
		sum := 0.0
		for _, kind := range l.kinds {
			sum += r.cfg.Mix.share(kind) / l.share
			w.weights = append(w.weights, sum)
		}
		if l.dialer != nil {
			w.conn = newConn(l.dialer, !r.cfg.FullHandshakes)
		}
		if l.kinds[0] == Ask || l.kinds[0] == Batch { // not of thousands of polls
			w.alarm = newAlarm()
		}
		l.workers = append(l.workers, w)
	}
}

func (r *run) close() {
	for _, l := range r.lanes {
		for _, w := range l.workers {
			if w.conn != nil {
				w.conn.close()
			}
			if w.alarm != nil {
				w.alarm.close()
			}
		}
	}
	r.scraper.client.CloseIdleConnections()
}

// restore puts back what was changed, whatever became of ctx.
func (r *run) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), MaxLatency)
	defer cancel()
	errs := []error{r.churn.restore(ctx)}
	for _, l := range r.lanes {
		for _, w := range l.workers {
			errs = append(errs, w.restore(ctx))
		}
	}
	return errors.Join(errs...)
}

// plan runs the steps.
func (r *run) plan(ctx context.Context) error {
	if r.cfg.Warmup > 0 {
		r.step(ctx, order{purpose: "warmup", rate: r.firstRate(), lasts: r.cfg.Warmup})
	}
	capacity := r.cfg.Capacity
	if capacity > 0 {
		r.result.Capacity = &Capacity{RequestsPerSecond: capacity, Told: true}
	}
	if r.cfg.Search != nil {
		if err := r.search(ctx); err != nil {
			return err
		}
		capacity = r.result.Capacity.RequestsPerSecond
	}
	overloaded := false
	for _, rate := range r.cfg.Rates {
		a := order{purpose: "rate", rate: rate.PerSecond, count: r.cfg.Count, lasts: orDefault(rate.Duration, r.cfg.Duration)}
		if rate.OfCapacity > 0 {
			a.rate = rate.OfCapacity * capacity
		}
		if capacity > 0 {
			a.ofCapacity = a.rate / capacity
		}
		if a.rate <= 0 || a.rate > MaxRate {
			return fmt.Errorf("bench: %v requests a second can not be asked: the capacity is %v", a.rate, capacity)
		}
		a.recovering = overloaded && a.ofCapacity <= 1
		if r.churn != nil {
			r.churned(ctx, a)
		} else {
			r.measure(ctx, a)
		}
		if ctx.Err() != nil {
			break
		}
		overloaded = a.ofCapacity > 1
	}
	return nil
}

func (r *run) firstRate() float64 {
	if len(r.cfg.Rates) > 0 && r.cfg.Search == nil {
		return max(r.cfg.Rates[0].PerSecond, r.cfg.Rates[0].OfCapacity*r.cfg.Capacity)
	}
	return r.cfg.Search.From
}
