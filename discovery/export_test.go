package discovery

import "github.com/svmgate/svmgate/store"

// The arithmetic of law.go is not exported: it is a promise between gateways,
// not to callers. Tests compare it with their own, number by number, because
// worlds do not reach its edges.
var (
	NegLog2   = negLog2
	Cost      = cost
	Inverse   = inverse
	Probe     = probe
	Slot      = slot
	SlotCount = slotCount
	ScaleFor  = scaleFor
)

// StopBuilding makes s answer every question by scanning from here on: it still
// follows the table and its pulse goes on, but it builds no candidate sets. Tests need
// it because a selector that builds leaves no time to see it scan.
func (s *Selector) StopBuilding() {
	close(s.stop)
	s.built.Wait()
	s.stop = make(chan struct{})
	s.built.Go(func() { s.work(nil) })
}

// Words returns how many words the selector has numbered.
func (s *Selector) Words() int { return s.catalog.Load().words.size() }

// Pulse brings the ledger up to date, as the selector's goroutine does ten times a
// second. That must not be at it meanwhile.
func (s *Selector) Pulse() { s.beat() }

// Traits are what the ledger finds of an SVM.
type Traits struct {
	Usable, Settled, Held, Suspect bool
	Open                           int // eighths of agents
	Leaving                        int // of 65535
}

// Force makes the ledger find these traits of an SVM until the next pulse.
func (s *Selector) Force(id store.SVMID, t Traits) {
	i := s.catalog.Load().byID[id]
	traits := s.ledger.accounts[i].traits.Load()&traitCapped | uint32(t.Open)<<traitOpenShift | uint32(t.Leaving)<<traitLeavingShift
	traits |= uint32(b2u(t.Usable)*traitUsable | b2u(t.Settled)*traitSettled | b2u(t.Held)*traitHeld | b2u(t.Suspect)*traitSuspect)
	s.ledger.setTraits(i, traits)
}

// Leave takes an agent off an SVM as the SVM's next report does: it is no pick, and so makes
// up for none of those that came lately.
func (s *Selector) Leave(i int) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.crowd.picks++
	s.table.Pick(i, -1)
}

// ForceCalm makes the ledger find that many agents are new, or not, until the next pulse.
func (s *Selector) ForceCalm(calm bool) { s.ledger.calm.Store(calm) }
