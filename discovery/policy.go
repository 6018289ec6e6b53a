package discovery

import "github.com/svmgate/svmgate/store"

// A Policy picks an agent's SVM among SVMs that are equally good for it: the usable
// SVMs of the best class. It is asked for agents that have no SVM, or may not keep the
// one that they have ("Keeping" in the package comment). The alternatives follow in
// rendezvous order.
//
// These laws hold for every Policy; package policytest checks them:
//
//   - Pick returns a position in class, which has at least one SVM.
//   - It is a function of its arguments: the same agent and the same class give the
//     same SVM, at any time and on any gateway. It reads no clock and draws no random
//     numbers; the agent is random enough.
//   - The order of the class does not matter: it differs from gateway to gateway.
//   - An SVM that was not picked can leave the class without changing the pick, as long
//     as loads are far from every bound: so a lost SVM moves its own agents only.
//   - It does not allocate, keeps and changes nothing of class, and may be called by any
//     number of goroutines.
//
// A Policy costs time in proportion to the class.
type Policy interface {
	Pick(agent uint64, class []Choice) int
}

// A Choice is an SVM among which a [Policy] picks.
type Choice struct {
	SVM      *store.SVM // shared; not to be modified
	Hash     uint64     // XXH64 of its id, with seed 0
	Capacity int        // agents; at least 1
	Agents   int        // estimate; see "Load" in the package comment
	Reported int        // connected agents by its last report
}

// Cost is the agent's cost of the SVM: the first in rendezvous order is the one of least
// cost (of equals, the one with the lesser id), and it falls to each SVM in proportion to
// its capacity. A policy that goes by it, as far as loads allow, keeps the laws. The
// order of the package comment puts first probes before costs where classes are large.
func (c *Choice) Cost(agent uint64) uint64 { return cost(agent, c.Hash, inverse(max(1, c.Capacity))) }
