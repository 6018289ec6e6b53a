package discovery

import (
	"slices"

	"github.com/svmgate/svmgate/store"
)

// A Chance is what an SVM is to an agent, loads aside.
type Chance uint8

// Chances, the worst first.
const (
	Refused Chance = iota // a filter that does not depend on its state removes it (F1 to F5, F7), or there is none
	Waiting               // no filter does, but it is down or draining
	Usable
	UsableLocal // it is local to the VM as well
)

// Chances tells what each SVM of the table is to the agent of a VM that wants nothing
// else than its tenant's settings, whether the tenant is active or not: an element for
// each index of an SVM. It writes into dst if that has room. It takes no lock, and some
// ten nanoseconds for an SVM; [Selector.Explain] tells more, and takes longer.
func (s *Selector) Chances(dst []Chance, slot store.Slot) []Chance {
	c := s.catalog.Load()
	dst = slices.Grow(dst[:0], len(c.svms))[:len(c.svms)]
	clear(dst)
	if !c.knows(slot) || c.tenants[slot.Tenant()].gone {
		return dst
	}
	w := walk{s: s, c: c, q: new(Query), agent: slot.Hash()}
	w.prepare(&c.tenants[slot.Tenant()], slot, true)
	for _, m := range c.members {
		f := &c.svms[m.index]
		switch state := s.table.Load(int(m.index)).State(); {
		case f.admits(w.area, c.words) != passes:
		case state == store.Draining, state == store.Down && s.ledger.accounts[m.index].traits.Load()&traitHeld == 0:
			dst[m.index] = Waiting
		case f.place.localTo(w.host, w.wide):
			dst[m.index] = UsableLocal
		default:
			dst[m.index] = Usable
		}
	}
	return dst
}
