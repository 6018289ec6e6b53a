package plan

import (
	"fmt"
	"math"
	"time"
)

// Input says what agents do, what must be survived, and how large a gateway is. Agents
// is required; [Defaults] has the rest.
type Input struct {
	Agents int // all VMs that ask

	// Interval is how often an agent asks that has an SVM, as refreshSeconds tells
	// it. WithoutSVM is the part of the agents that have none, which ask every
	// WithoutInterval.
	Interval        time.Duration
	WithoutSVM      float64
	WithoutInterval time.Duration

	// Waiting is the part of the agents that ask with wait=, and so hold a
	// connection all the time; each waits for Wait.
	Waiting float64
	Wait    time.Duration

	// Reconnect is the time within which all agents ask at once after an outage of
	// a site: they start together, and no more slowly than that.
	Reconnect time.Duration

	// TLS is the part of the questions that come by TLS; New the part that open a
	// connection of their own, since connections that are idle for 75 s are closed;
	// Resumed the part of the new TLS connections that resume a session; Closed the
	// part of the questions behind whose answer the agent closes its connection, which
	// otherwise lies idle until the gateway does.
	TLS, New, Resumed, Closed float64

	// Updates is how many changes to the table there are a second: registrations,
	// placements, tenants. ReportEvery is how often an SVM reports.
	Updates     float64
	ReportEvery time.Duration

	// SVMCapacity is how many agents an SVM takes. FailedSVMs and FailedGateways are
	// how many may fail with everything still within its bounds.
	SVMCapacity, FailedSVMs, FailedGateways int

	// Processors are those of a gateway, and Load the part of them that may be busy
	// in the worst case.
	Processors int
	Load       float64
}

// Defaults returns the Input that holds where nothing else is said. Agents is 0.
func Defaults() Input {
	return Input{
		Interval: 5 * time.Minute, WithoutSVM: 0.01, WithoutInterval: 30 * time.Second, Wait: time.Minute,
		Reconnect: 5 * time.Minute, TLS: 1, New: 1, Resumed: 0,
		ReportEvery: time.Minute, SVMCapacity: 1000, FailedSVMs: 1, FailedGateways: 1, Processors: 4, Load: 0.6,
	}
}

// An InputError says which field of an [Input] can not be, and what can.
type InputError struct {
	Field  string // as in Input
	Reason string
}

func (e *InputError) Error() string { return "plan: " + e.Field + " " + e.Reason }

// check returns what is wrong with the input.
func (in *Input) check() error {
	for _, f := range []struct {
		name        string
		value       int
		least, most int
	}{
		{"Agents", in.Agents, 1, 1_000_000_000},
		{"SVMCapacity", in.SVMCapacity, 1, 1_000_000},
		{"FailedSVMs", in.FailedSVMs, 0, 100_000},
		{"FailedGateways", in.FailedGateways, 0, 1000},
		{"Processors", in.Processors, 1, 1024},
	} {
		if f.value < f.least || f.value > f.most {
			return &InputError{f.name, fmt.Sprintf("is %d: want from %d to %d", f.value, f.least, f.most)}
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"Interval", in.Interval}, {"WithoutInterval", in.WithoutInterval}, {"Wait", in.Wait},
		{"Reconnect", in.Reconnect}, {"ReportEvery", in.ReportEvery},
	} {
		if f.value < time.Second || f.value > 24*time.Hour {
			return &InputError{f.name, fmt.Sprintf("is %s: want from 1s to 24h", f.value)}
		}
	}
	for _, f := range []struct {
		name  string
		value float64
	}{
		{"WithoutSVM", in.WithoutSVM}, {"Waiting", in.Waiting}, {"TLS", in.TLS}, {"New", in.New}, {"Resumed", in.Resumed}, {"Closed", in.Closed},
	} {
		if !(f.value >= 0 && f.value <= 1) {
			return &InputError{f.name, fmt.Sprintf("is %v: want a part from 0 to 1", f.value)}
		}
	}
	switch {
	case !(in.Load >= 0.05 && in.Load <= 0.95):
		return &InputError{"Load", fmt.Sprintf("is %v: want from 0.05 to 0.95; beyond that waiting times have no bound", in.Load)}
	case !(in.Updates >= 0 && in.Updates <= 1_000_000) || math.IsNaN(in.Updates):
		return &InputError{"Updates", fmt.Sprintf("is %v: want from 0 to 1000000 a second", in.Updates)}
	}
	return nil
}
