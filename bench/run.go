package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
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

// order is what a step is to do.
type order struct {
	purpose    string
	rate       float64
	ofCapacity float64
	lasts      time.Duration
	count      int
	recovering bool // after an overload
	churn      bool // while the table changes
}

// step is one under way.
type step struct {
	order
	start       time.Time
	calm, polls context.Context // of requests that are waited for; of those that are not
}

// measure runs a step and adds it to the result.
func (r *run) measure(ctx context.Context, a order) *Step {
	r.result.Steps = append(r.result.Steps, r.step(ctx, a))
	return &r.result.Steps[len(r.result.Steps)-1]
}

func (r *run) step(ctx context.Context, a order) Step {
	r.tallies = make([]*tally, maxTallies)
	for i := range r.tallies {
		r.tallies[i] = newTally()
		if a.recovering {
			r.tallies[i].slow = &slowness{limit: orDefault(time.Duration(r.cfg.Limits.P99), DefaultP99)}
		}
	}
	before, cpu := r.scraper.scrape(ctx), clientCPU()
	s := &step{order: a, start: time.Now(), calm: context.WithoutCancel(ctx)}
	polls, cancel := ctx, context.CancelFunc(func() {})
	if a.lasts > 0 {
		polls, cancel = context.WithDeadline(ctx, s.start.Add(a.lasts))
	}
	defer cancel()
	s.polls = polls
	made := r.made()
	watch := r.watch(ctx, s)
	updates := r.churn.begin(ctx, a.churn)
	last := r.work(ctx, s)
	cpu = clientCPU() - cpu
	changed := updates()
	series, most := watch()
	after := r.scraper.scrape(context.WithoutCancel(ctx))
	out := r.tell(s, last)
	out.Updates, out.Series, out.ClientCPUSeconds = changed, series, cpu.Seconds()
	out.Server = after.since(before, most, out.Answered)
	out.Connects = r.made().minus(made)
	return out
}

// work runs all workers until the arrivals are over, and returns the last.
func (r *run) work(ctx context.Context, s *step) (last time.Duration) {
	var workers sync.WaitGroup
	for i, l := range r.lanes {
		var random *rand.Rand
		if r.cfg.Poisson {
			random = rand.New(rand.NewPCG(r.cfg.Seed, math.Float64bits(s.rate)+uint64(i)<<60+uint64(len(r.result.Steps))))
		}
		count := s.count
		if count > 0 {
			count = max(int(math.Round(float64(count)*l.share)), 1)
		}
		if l.kinds[0] == Poll {
			held := int(s.rate*l.share*r.cfg.PollWait.Seconds()*1.2) + 16
			r.grow(l, min(held, MaxConnections))
		}
		l.arrivals = newArrivals(s.rate*l.share, s.lasts, count, random)
		for n, w := range l.workers {
			w.tally = r.tallies[n%len(r.tallies)]
			workers.Go(func() { w.work(ctx, s, l.arrivals) })
		}
	}
	workers.Wait()
	for _, l := range r.lanes {
		last = max(last, l.arrivals.last)
	}
	return last
}

// sleep waits until a time of the step; false if ctx ended. alarm may be nil.
func (s *step) sleep(ctx context.Context, until time.Duration, alarm *alarm) bool {
	const short = 100 * time.Millisecond
	wait := until - time.Since(s.start)
	if wait > short {
		pause(ctx, wait-short/2)
		wait = until - time.Since(s.start)
	}
	switch {
	case wait <= 0 || ctx.Err() != nil:
	case alarm != nil:
		alarm.sleep(wait)
	default:
		time.Sleep(wait)
	}
	return ctx.Err() == nil
}

// made is what connections took so far.
func (r *run) made() (sum Connects) {
	for _, l := range r.lanes {
		for _, w := range l.workers {
			if w.conn != nil {
				sum.Dialed += w.conn.made.Dialed
				sum.Full += w.conn.made.Full
				sum.Resumed += w.conn.made.Resumed
			}
		}
	}
	return sum
}

func (c Connects) minus(o Connects) Connects {
	return Connects{Dialed: c.Dialed - o.Dialed, Full: c.Full - o.Full, Resumed: c.Resumed - o.Resumed}
}

// tell makes a step's result of what all workers saw.
func (r *run) tell(s *step, last time.Duration) Step {
	sum := newTally()
	for _, t := range r.tallies {
		sum.add(t)
	}
	out := Step{
		Purpose: s.purpose, Asked: s.rate, OfCapacity: s.ofCapacity, At: s.start.Sub(r.start).Seconds(), Seconds: sum.last.Seconds(),
		Errors: sum.errors, Service: percentiles(sum.service), Lag: percentiles(sum.lag), Kinds: map[string]KindResult{},
		Results: map[string]int{},
	}
	all, good := histogram(3), 0
	for kind := range numKinds {
		k := &sum.kinds[kind]
		if k.scheduled == 0 {
			continue
		}
		told := KindResult{Scheduled: k.scheduled, Answered: k.answered, Good: k.good, Decisions: k.decisions, Changed: k.changed, Unfinished: k.unfinished}
		if k.latency != nil {
			told.Latency = percentiles(k.latency)
			all.Merge(k.latency)
		}
		out.Kinds[kind.String()] = told
		out.Scheduled += k.scheduled - k.unfinished
		out.Answered += k.answered
		good += k.good
	}
	for i, name := range results {
		if n := sum.results[i+1]; n > 0 {
			out.Results[name] = n
		}
	}
	out.Latency, out.Curve = percentiles(all), curve(all)
	out.Offered = rateOf(out.Scheduled, max(s.lasts, last))
	out.RateAchieved, out.Goodput = rateOf(out.Answered, max(sum.last, s.lasts)), rateOf(good, max(sum.last, s.lasts))
	if s.count > 0 {
		out.Offered, out.RateAchieved, out.Goodput = rateOf(out.Scheduled, last), rateOf(out.Answered, sum.last), rateOf(good, sum.last)
	}
	if sum.slow != nil {
		recovered := -1.0
		if took, ok := sum.slow.recovery(); ok {
			recovered = took.Seconds()
		}
		out.RecoverySeconds = &recovered
	}
	return out
}

func rateOf(n int, in time.Duration) float64 {
	if in <= 0 {
		return 0
	}
	return float64(n) / in.Seconds()
}
