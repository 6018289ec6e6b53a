package discovery

import "github.com/svmgate/svmgate/store"

// A Cover is what the best licence is, for the agent of a VM, among the SVMs that the
// filters admit, whatever their state and load.
type Cover uint8

// Covers, the worst first: the order of P1 and P2.
const (
	CoverNone       Cover = iota // the filters admit no SVM
	CoverUnlicensed              // none of the SVMs has a valid licence
	CoverOtherKey                // one has, with a key for other guests, or it is not known what the guest is
	CoverMatching                // one has, with a key that matches the guest

	// NumCovers is how many there are.
	NumCovers = iota
)

// coverOf is the cover by SVMs of a class; see classOf.
var coverOf = [classes]Cover{CoverMatching, CoverOtherKey, CoverUnlicensed, CoverUnlicensed}

// Covers tells covers from the table as it was when it was made. It works out one for each
// combination of settings and facts that tells VMs apart, and remembers it, so that a
// million VMs cost little more than walking over them. It is for one goroutine.
type Covers struct {
	s     *Selector
	c     *catalog
	q     Query // that wants nothing else
	known map[setKey]Cover
}

// Covers returns what tells the covers of VMs as the table is now.
func (s *Selector) Covers() *Covers {
	return &Covers{s: s, c: s.catalog.Load(), known: map[setKey]Cover{}}
}

// Of returns the cover of the VM with the given slot, whose agent wants nothing else than
// its tenant's settings, whether the tenant is active or not. It is false for one of a
// tenant that is gone, and for one that is newer than the Covers.
func (v *Covers) Of(slot store.Slot) (cover Cover, ok bool) {
	if !v.c.knows(slot) || v.c.tenants[slot.Tenant()].gone {
		return CoverNone, false
	}
	w := walk{s: v.s, c: v.c, q: &v.q, agent: slot.Hash()}
	w.prepare(&v.c.tenants[slot.Tenant()], slot, true)
	cover, ok = v.known[w.area]
	if !ok {
		cover = w.cover()
		v.known[w.area] = cover
	}
	return cover, true
}

// cover looks at every SVM, until there is none better.
func (w *walk) cover() (best Cover) {
	for i := range w.c.members {
		f := &w.c.svms[w.c.members[i].index]
		if cover := coverOf[f.classOf(w.os)]; cover > best && f.admits(w.area, w.c.words) == passes {
			if best = cover; best == CoverMatching {
				break
			}
		}
	}
	return best
}
