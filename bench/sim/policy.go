package sim

import (
	"math"
	"sync/atomic"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A Policy is a way to choose among SVMs that are equally good.
type Policy struct {
	Name string
	Rule store.Load
	Pick func() discovery.Policy // makes one for a run; nil: what Rule says

	// Settled agents keep their SVM without asking. [store.Fewest] needs it: by that rule
	// whoever asks is sent to the least loaded.
	Settled bool
}

// The policies that are compared. Ours is [store.Balanced]; Fewest is [store.Fewest],
// which is the vendor's rule with a gateway's own picks added to the counts; Stale is
// that rule by the counts alone. The others show what each part of ours is for.
var (
	Ours   = Policy{Name: "svmgate", Rule: store.Balanced}
	Fewest = Policy{Name: "fewest", Rule: store.Fewest, Settled: true}
	Stale  = Policy{Name: "vendor's rule", Pick: func() discovery.Policy { return stale{} }}
	Random = Policy{Name: "random", Pick: func() discovery.Policy { return &random{} }}
	Two    = Policy{Name: "two choices", Pick: func() discovery.Policy { return twoChoices{} }}
	Plain  = Policy{Name: "rendezvous", Pick: func() discovery.Policy { return rendezvous{} }}
)

// random draws an SVM, in proportion to capacity. It breaks the laws of a policy, on
// purpose: no two answers need be the same.
type random struct{ drawn atomic.Uint64 }

// Pick implements [discovery.Policy].
func (r *random) Pick(agent uint64, class []discovery.Choice) int {
	total := 0
	for i := range class {
		total += class[i].Capacity
	}
	left := int(mix(agent+r.drawn.Add(1)) % uint64(total))
	for i := range class {
		if left -= class[i].Capacity; left < 0 {
			return i
		}
	}
	return 0
}

// stale picks the SVM with the fewest agents by the last reports; of equals the one
// with the least hash, as any fixed order would.
type stale struct{}

// Pick implements [discovery.Policy].
func (stale) Pick(_ uint64, class []discovery.Choice) int {
	least := 0
	for i := range class {
		a, b := &class[i], &class[least]
		if a.Reported < b.Reported || a.Reported == b.Reported && a.Hash < b.Hash {
			least = i
		}
	}
	return least
}

// rendezvous picks the first of the agent's order, whatever the loads.
type rendezvous struct{}

// Pick implements [discovery.Policy].
func (rendezvous) Pick(agent uint64, class []discovery.Choice) int {
	first, _ := firstTwo(agent, class)
	return first
}

// twoChoices picks the less loaded of the first two of the agent's order, by the counts
// of the last reports.
type twoChoices struct{}

// Pick implements [discovery.Policy].
func (twoChoices) Pick(agent uint64, class []discovery.Choice) int {
	a, b := firstTwo(agent, class)
	if class[b].Reported*class[a].Capacity < class[a].Reported*class[b].Capacity {
		return b
	}
	return a
}

// firstTwo returns the first two of an agent's rendezvous order; of a class of one, that
// one twice.
func firstTwo(agent uint64, class []discovery.Choice) (first, second int) {
	least, next := uint64(math.MaxUint64), uint64(math.MaxUint64)
	for i := range class {
		switch cost := class[i].Cost(agent); {
		case i == 0 || cost < least:
			first, second, least, next = i, first, cost, least
		case i == 1 || cost < next:
			second, next = i, cost
		}
	}
	return first, second
}
