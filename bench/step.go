package bench

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

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
	paused := Pauses()
	last := r.work(ctx, s)
	pauses := paused()
	cpu = clientCPU() - cpu
	changed := updates()
	series, most := watch()
	after := r.scraper.scrape(context.WithoutCancel(ctx))
	out := r.tell(s, last)
	out.Updates, out.Series, out.ClientCPUSeconds, out.Pauses = changed, series, cpu.Seconds(), pauses
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
