package discovery

import "github.com/svmgate/svmgate/store"

// What a ledger thinks is seen in answers only from afar, so its tests look at it.
var (
	Quota      = quota
	RankOf     = rankOf
	Free       = free
	Opened     = opened
	DoubtNeeds = doubtNeeds
	DoubtRoom  = doubtRoom
	NextFading = nextFading
)

// A Standing is an account as a test reads it.
type Standing struct {
	Agents, Then, Weight, Room             int // Room is what may still be picked under a hard cap
	Capped, Settled, Usable, Held, Suspect bool
	Open, Leaving                          int
}

// Standing returns the account of an SVM, which must be in the table.
func (s *Selector) Standing(id store.SVMID) Standing {
	return s.StandingAt(s.catalog.Load().byID[id])
}

// StandingAt returns the account with an index.
func (s *Selector) StandingAt(i int) Standing {
	a := &s.ledger.accounts[i]
	t := a.traits.Load()
	return Standing{
		Agents: s.agents(i), Then: int(a.then.Load()), Weight: int(a.weight.Load()),
		Room:   int(a.ceiling.Load() - s.table.Picks(i)),
		Capped: t&traitCapped != 0, Settled: t&traitSettled != 0, Usable: t&traitUsable != 0,
		Held: t&traitHeld != 0, Suspect: t&traitSuspect != 0,
		Open: int(t >> traitOpenShift & 15), Leaving: int(t >> traitLeavingShift),
	}
}

// Reserve picks an SVM, unless that would take it over its hard cap.
func (s *Selector) Reserve(id store.SVMID) bool { return s.reserve(s.catalog.Load().byID[id]) }

// Full reports whether an SVM takes nobody more.
func (s *Selector) Full(id store.SVMID) bool { return s.full(s.catalog.Load().byID[id]) }

// Blame says that a VM could not reach an SVM.
func (s *Selector) Blame(id store.SVMID, agent uint64) {
	s.blame(s.catalog.Load().byID[id], agent)
}

// Calm reports whether no mass reconnect is under way.
func (s *Selector) Calm() bool { return s.ledger.calm.Load() }

// Beat is a pulse.
func (s *Selector) Beat() { s.beat() }
