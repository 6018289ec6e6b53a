package bench

import (
	"fmt"
	"time"
)

// Limits are what a run must keep to. A zero field is no limit.
type Limits struct {
	// P99 bounds the 99th percentile of the latency.
	P99 Millis `json:"p99Milliseconds,omitempty"`

	// Errors bounds the share of requests that fail, from 0 to 1.
	Errors *float64 `json:"errors,omitempty"`

	// Rate is the least part of the offered rate that must be answered, from 0 to 1.
	Rate float64 `json:"rate,omitempty"`

	// Goodput is, of steps beyond the capacity, the least part of the capacity
	// that must still be answered in time.
	Goodput float64 `json:"goodput,omitempty"`

	// Recovery bounds how long a step after an overload may take to recover.
	Recovery Millis `json:"recoveryMilliseconds,omitempty"`

	// Churn is the least part of the throughput that must remain under changes.
	Churn float64 `json:"churn,omitempty"`
}

func (l *Limits) check() error {
	part := func(v float64) bool { return v >= 0 && v <= 1 }
	switch {
	case l.P99 < 0 || l.P99 > Millis(MaxLatency) || l.Recovery < 0 || l.Recovery > Millis(slowFor):
		return fmt.Errorf("bench: Limits: P99 must be at most %v, Recovery %v", MaxLatency, slowFor)
	case l.Errors != nil && !part(*l.Errors), !part(l.Rate), !part(l.Goodput), !part(l.Churn):
		return fmt.Errorf("bench: Limits: shares must be from 0%% to 100%%")
	}
	return nil
}

// A Verdict says how a step did by one limit.
type Verdict struct {
	Step  int    `json:"step"` // from 0; -1 if it is of the whole run
	Limit string `json:"limit"`
	Got   string `json:"got"`
	Want  string `json:"want"`
	Holds bool   `json:"holds"`
}

func (v Verdict) String() string {
	if v.Holds {
		return fmt.Sprintf("%s is %s, %s", v.Limit, v.Got, v.Want)
	}
	return fmt.Sprintf("%s is %s, not %s", v.Limit, v.Got, v.Want)
}

// Holds tells whether all limits were kept.
func (r *Result) Holds() bool {
	for _, v := range r.Verdicts {
		if !v.Holds {
			return false
		}
	}
	return true
}

// judge holds the steps against limits, except those of a search, which are
// meant to fail in the end.
func (r *Result) judge(l Limits) []Verdict {
	var out []Verdict
	for i := range r.Steps {
		if r.Steps[i].Purpose == "rate" {
			out = append(out, r.Steps[i].judgeRate(i, l, r.Capacity)...)
		}
	}
	if r.Churn != nil && l.Churn > 0 {
		out = append(out, Verdict{
			Step: -1, Limit: "throughput under changes", Got: percent(r.Churn.Throughput),
			Want: "at least " + percent(l.Churn) + " of that without", Holds: r.Churn.Throughput >= l.Churn,
		})
	}
	return out
}

// judgeRate knows that a step beyond the capacity can not be answered in full,
// and that one after it recovers first.
func (s *Step) judgeRate(i int, l Limits, c *Capacity) (out []Verdict) {
	switch {
	case s.OfCapacity > 1 && c != nil:
		if l.Goodput > 0 {
			part := s.Goodput / c.RequestsPerSecond
			out = append(out, Verdict{i, "goodput", percent(part), "at least " + percent(l.Goodput) + " of the capacity", part >= l.Goodput})
		}
		return out
	case s.RecoverySeconds != nil:
		if l.Recovery > 0 {
			took := *s.RecoverySeconds
			got := fmt.Sprintf("%.1f s", took)
			if took < 0 {
				got = "never"
			}
			out = append(out, Verdict{i, "recovery", got, "at most " + time.Duration(l.Recovery).String(), took >= 0 && took <= time.Duration(l.Recovery).Seconds()})
		}
		return out
	}
	return s.judge(i, l)
}

// judge holds a step against latency, errors and rate.
func (s *Step) judge(i int, l Limits) (out []Verdict) {
	if l.P99 > 0 {
		p99 := time.Duration(s.Latency.P99) * time.Microsecond
		out = append(out, Verdict{i, "p99", p99.String(), "at most " + time.Duration(l.P99).String(), s.Latency.Count > 0 && p99 <= time.Duration(l.P99)})
	}
	if l.Errors != nil {
		share := s.ErrorShare()
		out = append(out, Verdict{i, "the share of errors", percent(share), "at most " + percent(*l.Errors), share <= *l.Errors})
	}
	if l.Rate > 0 {
		part := 0.0
		if s.Offered > 0 {
			part = s.RateAchieved / s.Offered
		}
		out = append(out, Verdict{i, "the rate", percent(part), "at least " + percent(l.Rate) + " of what was offered", part >= l.Rate})
	}
	return out
}

// ErrorShare is the part of the requests that failed, from 0 to 1.
func (s *Step) ErrorShare() float64 {
	failed := 0
	for _, n := range s.Errors {
		failed += n
	}
	return float64(failed) / float64(max(s.Scheduled, 1))
}

func percent(v float64) string { return fmt.Sprintf("%.4g%%", v*100) }
