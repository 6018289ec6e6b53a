package discovery

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/store"
)

// The numbers of store.Balanced; the package comment says what they mean.
const (
	SoftCap        = 106 // percent of the fair share
	RebalanceAbove = 125 // percent of the fair share
	LookDeep       = 8   // SVMs

	SlowStart      = 5 * time.Minute
	slowStartSteps = 8

	// PulseEvery is how often a selector brings its estimates up to date.
	PulseEvery = 100 * time.Millisecond

	// Connecting is how long an agent may take to connect to the SVM that it was sent to.
	// Under a hard cap, agents sent for as long before a report count beside it.
	Connecting = 5 * time.Second
)

// A ledger is what a selector thinks of its SVMs' loads. Questions read accounts, in
// few cache lines, and never wait; picks are beside them, in the table, because questions
// write those. All else is for the pulse, for changes of the table and for what other
// gateways tell, which wait for each other.
type ledger struct {
	accounts [store.MaxSVMs]account

	// suspects has a bit for each account with traitSuspect. Most of what a question asks of
	// SVMs is whether they have that, and thousands of bits lie in a few cache lines.
	suspects [store.MaxSVMs / 64]atomic.Uint64

	pulse    atomic.Uint32 // how many there were; also says which shares are up to date
	gateways atomic.Int32  // that answer agents, this one included: at least 1
	now      atomic.Int64  // nanoseconds since the selector was made, at the last pulse
	window   atomic.Uint32 // of 300 seconds, since 1970
	calm     atomic.Bool   // no mass reconnect is under way
	due      bool          // it is everybody's turn to move: in forecasts

	evidence

	// mu is held by nobody who waits for anything: changes of the table wait for it.
	mu      sync.Mutex
	marks   []mark // by index of the SVM
	books   []book // the same
	history history
	peers   peers
	pools   pools
	crowd   crowd
	moment  moment
}

func newLedger(s *Selector) *ledger {
	l := &ledger{}
	l.gateways.Store(1)
	l.peers.epoch = uint64(s.start.UnixNano())
	if s.node != "" {
		l.peers.own = xxhash.Sum64String(s.node)
	}
	l.peers.tellAt = TellEvery
	return l
}

// An account is what questions read of an SVM. Whoever has the ledger's mu writes it, and
// only what has changed: readers have it in their caches.
type account struct {
	estimate atomic.Uint64 // gateways << 32 | offset: the estimate is offset + gateways * picks
	told     atomic.Int32  // own picks that the other gateways know of
	ceiling  atomic.Int32  // picks may come up to it, if the SVM is capped
	then     atomic.Int32  // the estimate at the last pulse
	weight   atomic.Int32  // capacity; 0 if there is no SVM
	traits   atomic.Uint32 // see below
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

// A moment is the time of a pulse: by the clock that reports are dated with, and by one
// that nobody sets.
type moment struct {
	wall  int64         // milliseconds since 1970
	since time.Duration // since the selector was made
}

// A mark is what an account was worked out from. It is worked out anew when one of these
// differs, or when it is due. They lie apart from the books because every pulse looks at
// all of them.
type mark struct {
	report store.Report
	due    time.Duration // 0: now
	picks  int32
	state  store.SVMState
}

// touch makes an account due.
func (l *ledger) touch(i int) { l.marks[i].due = 0 }

// A book is what the ledger has beside an SVM's account. Its counts of agents wrap around
// as picks do: only differences mean something.
type book struct {
	report store.Report
	picks  int32
	state  store.SVMState

	// There are report.Agents + (picks - base) + (heard - heardBase) - faded agents, as
	// far as one can know. Picks beyond told count for the other gateways too.
	base      int32         // own picks that the report has
	told      int32         // own picks that the others know of, or base
	heard     int32         // picks that other gateways have told of
	heardBase int32         // those that the report has
	faded     int32         // what was taken off because no report comes
	early     int32         // sent so shortly before the report that it may not have them
	due       time.Duration // when it changes by itself, see wake
	fadeAt    int64         // when half of it fades: milliseconds since 1970
	origin    int32         // picks when the selector was made
	id        store.SVMID   //
	hash      uint64        // of id
	present   bool          // there is such an SVM
	came      time.Duration // when it did
	admin     bool          // took it away: it drains, or is written to be down
	drain     drain         //
	hardCap   int32         //
	pinned    bool          // it needs no reports
	weight    int32         //
	rank      int32         // of this gateway among those that share what is left
	unread    bool          // the report was not looked at yet
	most      int32         // that was left under the cap since the last telling
	retold    bool          // there was a telling just now
	fresh     bool          // the ceiling may rise whatever it was
	up        bool          // it takes agents, suspect or not
	takes     bool          // it is up or held
	upSince   time.Duration //
	ramp      bool          // it came up among elders less than SlowStart ago
	elder     bool          // up for longer than SlowStart
	goodSince time.Duration // usable, but for its cap; less than 0 if it is not
	pools     []*pool       // it belongs to
	quiet
	doubt
	sent // see sighting.go
}

// suspect reports whether an account has traitSuspect.
func (l *ledger) suspect(i uint32) bool {
	return l.suspects[i/64%uint32(len(l.suspects))].Load()>>(i%64)&1 == 1
}

// setTraits writes the traits of an account, if they have changed.
func (l *ledger) setTraits(i int, traits uint32) {
	if l.accounts[i].traits.Load() != traits {
		l.accounts[i].traits.Store(traits)
	}
	switch bit, is := uint64(1)<<(i%64), traits&traitSuspect != 0; {
	case is == l.suspect(uint32(i)):
	case is:
		l.suspects[i/64].Or(bit)
	default:
		l.suspects[i/64].And(^bit)
	}
}

// agents is the estimate of an SVM's agents. It may be negative for a moment.
func (s *Selector) agents(i int) int {
	return int(s.ledger.accounts[i].agents(s.table.Picks(i)))
}

func (a *account) agents(picks int32) int32 {
	estimate := a.estimate.Load()
	return int32(estimate) + int32(estimate>>32)*picks
}

// over reports whether an SVM has more agents than its hard cap. What this gateway has
// not told yet counts once: that the others did the same is a guess, which must cost
// nobody the place that he has.
func (s *Selector) over(i, hardCap int) bool {
	return hardCap > 0 && int(s.ledger.accounts[i].known(s.table.Picks(i))) > hardCap
}

// known is how many agents there are if the other gateways have told of all of theirs.
func (a *account) known(picks int32) int32 {
	estimate := a.estimate.Load()
	gateways := int32(estimate >> 32)
	return int32(estimate) + gateways*picks - (gateways-1)*(picks-a.told.Load())
}

// full reports whether an SVM takes nobody beyond those that it has.
func (s *Selector) full(i int) bool {
	return s.ledger.accounts[i].full(s.table.Picks(i))
}

func (a *account) full(picks int32) bool {
	return a.traits.Load()&traitCapped != 0 && picks-a.ceiling.Load() >= 0
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
