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

	// Rate is the least part of the rate that must be achieved, from 0 to 1.
	Rate float64 `json:"rate,omitempty"`

	// Goodput is, of steps beyond the capacity, the least part of the capacity
	// that must still be answered in time.
	Goodput float64 `json:"goodput,omitempty"`

	// Recovery bounds how long a step after an overload may take to recover.
	Recovery time.Duration `json:"recoveryNanoseconds,omitempty"`

	// Churn is the least part of the throughput that must remain under changes.
	Churn float64 `json:"churn,omitempty"`
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
	verb := "is"
	if !v.Holds {
		verb = "is not"
	}
	return fmt.Sprintf("%s %s %s: %s", v.Limit, verb, v.Want, v.Got)
}
