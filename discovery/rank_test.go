package discovery_test

import (
	"cmp"
	"math/big"
	"slices"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// This file is the oracle's own usual order: preferences, then rendezvous order.

// A candidate is an SVM that an agent may use, with what ranks it.
type candidate struct {
	svm                      *svm
	suspect, licensed, suits bool
	local, preferred         bool // preferred: local, and that counts
	probe                    int
	cost                     *big.Int
}

// candidate is what ranks s for a, but for its place in rendezvous order.
func (w *world) candidate(a agent, s *svm) *candidate {
	local := w.local(a, s)
	return &candidate{
		svm: s, suspect: w.suspect(s), licensed: w.licensed(s), suits: suits(a, s),
		local: local, preferred: local && a.algorithm == store.Standard,
	}
}

func (c *candidate) group() group { return group{c.licensed, c.suits, c.preferred} }

func (c *candidate) sameClass(o *candidate) bool {
	return c.suspect == o.suspect && c.licensed == o.licensed && c.suits == o.suits && c.preferred == o.preferred
}

// compare orders candidates as the rules do: preferences, then rendezvous order.
func (c *candidate) compare(o *candidate) int {
	return cmp.Or(
		yesFirst(!c.suspect, !o.suspect),
		yesFirst(c.licensed, o.licensed),
		yesFirst(c.suits, o.suits),
		yesFirst(c.preferred, o.preferred),
		cmp.Compare(c.probe, o.probe),
		c.cost.Cmp(o.cost),
		slices.Compare(c.svm.id[:], o.svm.id[:]),
	)
}

// A group is what is counted together to tell small classes from large ones.
type group struct{ licensed, suits, preferred bool }

// compare orders groups, the best first, and next is the one that follows.
func (g group) compare(o group) int {
	return cmp.Or(yesFirst(g.licensed, o.licensed), yesFirst(g.suits, o.suits), yesFirst(g.preferred, o.preferred))
}

func (g group) next() group {
	switch {
	case g.preferred:
		return group{g.licensed, g.suits, false}
	case g.suits:
		return group{g.licensed, false, true}
	default:
		return group{false, true, true}
	}
}

// rank returns every SVM that a may use, best first, whatever its load.
func (w *world) rank(a agent) []*candidate {
	// Members count whether they are up or not, so that an SVM that goes down
	// changes no other agent's order.
	members := map[group]int{}
	var usable []*candidate
	for _, s := range w.svms {
		if rule := w.unfit(a, s); w.meet(rule, rule != "") {
			continue
		}
		c := w.candidate(a, s)
		members[c.group()]++
		if w.meet("failed", slices.Contains(a.failed, s.id)) || w.meet(w.state(s).String(), !w.up(s)) {
			continue
		}
		w.meet("suspect", c.suspect)
		usable = append(usable, c)
	}
	var probes map[uint64]int
	scale := w.scale()
	for _, c := range usable {
		size := members[group{c.licensed, c.suits, true}]
		if !c.preferred {
			size += members[group{c.licensed, c.suits, false}]
		}
		w.meet("large class of locals", c.preferred && size > discovery.SmallClass)
		if w.meet("large class", size > discovery.SmallClass) {
			if probes == nil {
				probes = probesOf(a.bios)
			}
			c.probe = firstProbe(probes, slots(c.svm, scale))
		}
		c.cost = costOf(a.bios, c.svm)
	}
	slices.SortFunc(usable, (*candidate).compare)
	if len(usable) > 0 {
		best, worst := usable[0], usable[len(usable)-1]
		w.meet("P1", best.licensed != worst.licensed)
		w.meet("P2", best.suits != worst.suits)
		w.meet("P3", best.preferred != worst.preferred)
	}
	return usable
}

func yesFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}
