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

	// Doubt is why a limit that was missed says little of the gateway, empty if
	// nothing is known against it.
	Doubt string `json:"doubt,omitempty"`
}

func (v Verdict) String() string {
	switch {
	case v.Holds:
		return fmt.Sprintf("%s is %s, %s", v.Limit, v.Got, v.Want)
	case v.Doubt != "":
		return fmt.Sprintf("%s is %s, not %s (in doubt: %s)", v.Limit, v.Got, v.Want, v.Doubt)
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
			out = append(out, Verdict{Step: i, Limit: "goodput", Got: percent(part), Want: "at least " + percent(l.Goodput) + " of the capacity", Holds: part >= l.Goodput})
		}
		return out
	case s.RecoverySeconds != nil:
		if l.Recovery > 0 {
			took := *s.RecoverySeconds
			got := fmt.Sprintf("%.1f s", took)
			if took < 0 {
				got = "never"
			}
			v := Verdict{Step: i, Limit: "recovery", Got: got, Want: "at most " + time.Duration(l.Recovery).String(), Holds: took >= 0 && took <= time.Duration(l.Recovery).Seconds()}
			if !v.Holds {
				v.Doubt = s.doubt(orDefault(time.Duration(l.P99), DefaultP99)) // what recovered is p99
			}
			out = append(out, v)
		}
		return out
	}
	return s.judge(i, l)
}

// judge holds a step against latency, errors and rate.
func (s *Step) judge(i int, l Limits) (out []Verdict) {
	if l.P99 > 0 {
		out = append(out, s.judgeP99(i, time.Duration(l.P99)))
	}
	if l.Errors != nil {
		share := s.ErrorShare()
		out = append(out, Verdict{Step: i, Limit: "the share of errors", Got: percent(share), Want: "at most " + percent(*l.Errors), Holds: share <= *l.Errors})
	}
	if l.Rate > 0 {
		part := 0.0
		if s.Offered > 0 {
			part = s.RateAchieved / s.Offered
		}
		out = append(out, Verdict{Step: i, Limit: "the rate", Got: percent(part), Want: "at least " + percent(l.Rate) + " of what was offered", Holds: part >= l.Rate})
	}
	return out
}

// judgeP99 takes what failed for slower than any answer: where that is more than a
// hundredth there is no p99, however quick the others.
func (s *Step) judgeP99(i int, limit time.Duration) Verdict {
	p99, failed := time.Duration(s.Latency.P99)*time.Microsecond, s.ErrorShare()
	v := Verdict{Step: i, Limit: "p99", Got: p99.String(), Want: "at most " + limit.String()}
	switch {
	case s.Latency.Count == 0 || failed > 0.01:
		v.Got = "none, for " + percent(failed) + " failed"
	case p99 <= limit:
		v.Holds = true
	default:
		v.Doubt = s.doubt(limit)
	}
	return v
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
