package discovery

import (
	"time"

	"github.com/svmgate/svmgate/store"
)

// beat brings the ledger up to date: a pulse. Only the selector's goroutine calls it.
func (s *Selector) beat() {
	l, view := s.ledger, s.catalog.Load().view
	for i := range view.NumSVMs() {
		a, e := &l.accounts[i], view.SVM(i)
		if e == nil {
			a.weight.Store(0)
			continue
		}
		agents := s.table.Agents(i)
		a.offset.Store(int32(agents) - s.table.Picks(i))
		a.ceiling.Store(int32(e.HardCap) - int32(agents) + s.table.Picks(i))
		a.then.Store(int32(agents))
		a.weight.Store(int32(e.Weight()))
		traits := uint32(8<<traitOpenShift | traitSettled)
		if e.HardCap > 0 {
			traits |= traitCapped
		}
		state := s.table.Load(i).State()
		if state == store.Draining {
			traits |= (1<<16 - 1) << traitLeavingShift
		}
		if state == store.Ready && (e.HardCap == 0 || agents < e.HardCap) {
			traits |= traitUsable
		}
		a.traits.Store(traits)
	}
	now := time.Now()
	l.now.Store(int64(now.Sub(s.start)))
	l.window.Store(uint32(now.Unix() / 300))
	l.calm.Store(true)
	l.pulse.Add(1)
}
