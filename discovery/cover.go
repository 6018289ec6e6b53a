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

// Covers tells covers from the table as it was when it was made. It looks at every SVM
// once for each combination of settings and facts that tells VMs apart, whatever their
// places, so that a million VMs cost little more than walking over them. It is for one
// goroutine.
type Covers struct {
	s      *Selector
	c      *catalog
	q      Query            // that wants nothing else
	known  map[setKey]Cover // by what the filters compare; what is not there has no SVM
	looked map[setKey]bool  // combinations that are known, the place left out
}

// Covers returns what tells the covers of VMs as the table is now.
func (s *Selector) Covers() *Covers {
	return &Covers{s: s, c: s.catalog.Load(), known: map[setKey]Cover{}, looked: map[setKey]bool{}}
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
	if cover, ok = v.known[w.area]; ok {
		return cover, true
	}
	anywhere := w.area
	anywhere.paths = 0
	if !v.looked[anywhere] {
		v.looked[anywhere] = true
		v.look(anywhere, w.os)
	}
	return v.known[w.area], true
}

// look works out the covers for a combination at all places where there are SVMs.
func (v *Covers) look(anywhere setKey, os store.GuestOS) {
	for i := range v.c.members {
		f, key := &v.c.svms[v.c.members[i].index], anywhere
		if p := anywhere.part(); p >= scoped {
			key = anywhere.in(p, f.entry.Symbols.At(store.PathLevel(p-scoped)), 0)
		}
		if f.admits(key, v.c.words) == passes {
			v.known[key] = max(v.known[key], coverOf[f.classOf(os)])
		}
	}
}
