package bench

import (
	"context"
	"time"
)

// moment is how long a slot of a step is: a second, or a tenth of a short step.
func moment(lasts time.Duration) time.Duration {
	if lasts == 0 {
		return time.Second
	}
	return min(max(lasts/10, 100*time.Millisecond), time.Second)
}

// maxMoments bounds the series of a step; a longer one has longer moments.
const maxMoments = 3600

// watch notes what happens, moment by moment, until the function that it returns
// is called, which returns it.
func (r *run) watch(ctx context.Context, s *step) (stop func() ([]Moment, *ServerUse)) {
	every := max(moment(s.lasts), s.lasts/maxMoments)
	quit, gone := make(chan struct{}), make(chan struct{})
	var (
		series []Moment
		most   *ServerUse
	)
	go func() {
		defer close(gone)
		tick := time.NewTicker(every)
		defer tick.Stop()
		from, before, cpus := s.start, r.scraper.last, 0.0
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			if time.Since(from) < every/2 {
				continue // the one before was late
			}
			now := r.scraper.often(ctx)
			m := r.moment(time.Since(from))
			from = time.Now()
			m.At = from.Sub(r.start).Seconds()
			if now != nil {
				m.Resident = now.use.ResidentBytes
				most = now.use.most(most)
				if before != nil && now.at.After(before.at) {
					cpus = (now.cpu - before.cpu) / now.at.Sub(before.at).Seconds()
				}
				m.CPU = cpus
			}
			before = now
			if len(series) < maxMoments { // a step without a duration may take longer
				series = append(series, m)
			}
			if r.cfg.Progress != nil {
				r.cfg.Progress(Progress{
					Step: len(r.result.Steps), Purpose: s.purpose, Asked: s.rate, Done: from.Sub(s.start), Of: s.lasts, Moment: m,
				})
			}
		}
	}()
	return func() ([]Moment, *ServerUse) {
		close(quit)
		<-gone
		return series, most
	}
}

// moment takes what happened since it was called last.
func (r *run) moment(in time.Duration) Moment {
	all := histogram(2)
	var m Moment
	answered := 0
	for _, t := range r.tallies {
		s := t.take(histogram(2))
		all.Merge(s.latency)
		answered += s.answered
		m.Errors += s.errors
	}
	m.Rate = rateOf(answered, in)
	m.P50, m.P99 = all.ValueAtQuantile(50), all.ValueAtQuantile(99)
	return m
}
