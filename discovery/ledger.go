package discovery

import (
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/store"
)

// The numbers of store.Balanced; the package comment says what they mean.
const (
	SoftCap        = 108 // percent of the fair share
	RebalanceAbove = 125 // percent of the fair share
	LookDeep       = 8   // SVMs

	SlowStart      = 5 * time.Minute
	slowStartSteps = 8

	// PulseEvery is how often a selector brings its estimates up to date.
	PulseEvery = 100 * time.Millisecond
)

// A ledger is what a selector thinks of its SVMs' loads: what questions read, in
// few cache lines, and only the selector's goroutine writes. Picks are beside it, in
// the table, because questions write those.
type ledger struct {
	accounts [store.MaxSVMs]account

	pulse    atomic.Uint32 // how many there were; also says which shares are up to date
	gateways atomic.Int32  // that answer agents, this one included: at least 1
	now      atomic.Int64  // nanoseconds since the selector was made, at the last pulse
	window   atomic.Uint32 // of 300 seconds, since 1970
	calm     atomic.Bool   // no mass reconnect is under way
}

// An account is what a ledger has of an SVM.
type account struct {
	offset  atomic.Int32  // the estimate is offset + gateways * picks
	ceiling atomic.Int32  // picks may come up to it, if the SVM is capped
	then    atomic.Int32  // the estimate at the last pulse
	weight  atomic.Int32  // capacity; 0 if there is no SVM
	traits  atomic.Uint32 // see below
}

// Traits of an account.
const (
	traitCapped  = 1 << iota // it has a hard cap
	traitSettled             // usable without a pause for Config.ReturnAfter
	traitUsable              // at the last pulse: ready (or held), not suspect, not at its hard cap
	traitHeld                // down, but used as if it were not: see guard.go
	traitSuspect             // by what agents, probes and peers say, whatever the table says

	traitOpenShift    = 8  // 4 bits: to how many eighths of agents it is open, 1 to 8
	traitLeavingShift = 16 // 16 bits: the part of its agents whose turn to leave has come, while it drains; 65535 is all
)

// agents is the estimate of an SVM's agents. It may be negative for a moment.
func (s *Selector) agents(i int) int {
	return int(s.ledger.accounts[i].offset.Load() + s.ledger.gateways.Load()*s.table.Picks(i))
}

// full reports whether an SVM takes nobody beyond those that it has.
func (s *Selector) full(i int) bool {
	a := &s.ledger.accounts[i]
	return a.traits.Load()&traitCapped != 0 && s.table.Picks(i)-a.ceiling.Load() >= 0
}

// reserve counts a pick of an SVM, unless that would take it over its hard cap.
func (s *Selector) reserve(i int) bool {
	a := &s.ledger.accounts[i]
	picks := s.table.Pick(i, +1)
	if a.traits.Load()&traitCapped != 0 && picks-a.ceiling.Load() > 0 {
		s.table.Pick(i, -1)
		return false
	}
	return true
}
