package discovery

import (
	"context"
	"fmt"

	"github.com/svmgate/svmgate/store"
)

// A Change is what [Selector.WhatIf] is asked about. The zero value is no change: what
// comes anyway.
type Change struct {
	Lose []store.SVMID // SVMs that go down
	Add  []store.SVM   // SVMs that come; an id that is zero is made up

	// More SVMs come that are like one that is there, each on a host of its own: like
	// Like or, if that is zero, like the first of the kind of which there are most.
	More int
	Like store.SVMID

	Activate, Deactivate []store.TenantID

	// Newcomers are agents that come, spread over tenants, places and guests as the
	// VMs are that are there. NewcomersOf are further ones, of certain tenants.
	Newcomers   int
	NewcomersOf map[store.TenantID]int
}

// Bounds of a [Change].
const (
	MaxMore      = 10_000     // SVMs that come
	MaxNewcomers = 10_000_000 // agents that come
)

// A ChangeError reports a field of a [Change] that can not be.
type ChangeError struct {
	Field string // such as "Lose"
	Err   error
}

func (e *ChangeError) Error() string { return fmt.Sprintf("discovery: %s: %v", e.Field, e.Err) }

// Unwrap returns what is wrong with the field; it may be [store.ErrNotFound].
func (e *ChangeError) Unwrap() error { return e.Err }

// A Forecast says what a [Change] would lead to, at two moments: at once, when every
// agent has asked once, all of them within a minute; and in the end, when all that goes by
// time or by turns is through: slow starts, returns to better classes, drains, rebalancing.
// Lists have the [ForecastTop] that matter most, in order of their numbers, and counts of all.
type Forecast struct {
	Agents    int `json:"agents"`    // registered VMs and newcomers
	Newcomers int `json:"newcomers"` // of these

	Moves Moves `json:"moves"`

	// Where agents are: before the change (without newcomers), at once, in the end.
	Before   Outcome `json:"before"`
	AtOnce   Outcome `json:"atOnce"`
	InTheEnd Outcome `json:"inTheEnd"`

	Flows   []Flow           `json:"flows"`   // between SVMs, in the end
	Tenants []TenantForecast `json:"tenants"` // those without SVM first
	SVMs    []SVMForecast    `json:"svms"`    // all, in the order of their indexes

	FlowCount   int `json:"flowCount"`   // pairs of SVMs between which agents move
	TenantCount int `json:"tenantCount"` // tenants that have such agents, or some without SVM
	Stranded    int `json:"stranded"`    // tenants some of whose agents have no SVM at once
}

// ForecastTop is how long the lists of flows and of tenants in a [Forecast] may be.
const ForecastTop = 20

// Moves counts agents that have an SVM and are sent to another one.
type Moves struct {
	AtOnce   int `json:"atOnce"`
	InTheEnd int `json:"inTheEnd"` // agents that are elsewhere then
	Anyway   int `json:"anyway"`   // that would be elsewhere in the end without the change, too
}

// An Outcome counts agents by what they are answered.
type Outcome struct {
	Served       int `json:"served"`
	Inactive     int `json:"inactive"`
	NoSVM        int `json:"noSVM"`
	OverCapacity int `json:"overCapacity"`
}

// A Flow is agents that move from one SVM to another.
type Flow struct {
	From   SVMName `json:"from"`
	To     SVMName `json:"to"`
	Agents int     `json:"agents"`
}

// An SVMName is what an SVM is called.
type SVMName struct {
	ID   store.SVMID `json:"id"`
	Name string      `json:"name"`
}

// A TenantForecast is what a change leads to for the agents of a tenant; those of
// registered VMs without one have the zero id.
type TenantForecast struct {
	ID       store.TenantID `json:"id"`
	Name     string         `json:"name"`
	Agents   int            `json:"agents"`
	Moves    Moves          `json:"moves"` // Anyway is not told
	AtOnce   Outcome        `json:"atOnce"`
	InTheEnd Outcome        `json:"inTheEnd"`
}

// An SVMForecast is an SVM's load, in agents by estimate.
type SVMForecast struct {
	SVMName
	Change   string `json:"change"` // lost, added, or empty
	Capacity int    `json:"capacity"`
	HardCap  int    `json:"hardCap"` // 0: none
	Before   int    `json:"before"`
	AtOnce   int    `json:"atOnce"` // 0 for one that is lost
	InTheEnd int    `json:"inTheEnd"`

	// Fair is what it would have in the end if the agents of each class were spread
	// over that class's SVMs by capacity.
	Fair int `json:"fair"`
	// Full says that it is at its hard cap in the end.
	Full bool `json:"full"`
}

// WhatIf tells what a change would lead to, and makes none: nothing that Select or
// anybody else sees differs afterwards. It lets every registered VM ask twice, on a
// table of its own, and takes some seconds a million VMs and ten bytes of memory a
// VM. It ends early, with the context's error, if ctx is done.
//
// An agent is where Select last sent it; if that is not remembered, where it would be
// sent now, and it counts there even if it has never asked. Where several gateways share a table, the forecast is as if one answered
// all agents: a hard cap holds as a whole. The error is a [*ChangeError] or ctx's.
func (s *Selector) WhatIf(ctx context.Context, change Change) (Forecast, error) {
	f, err := s.forecast(ctx, &change)
	if err != nil {
		return Forecast{}, err
	}
	still, err := s.forecast(ctx, new(Change))
	if err != nil {
		return Forecast{}, err
	}
	f.Moves.Anyway = still.Moves.InTheEnd
	return f, nil
}
