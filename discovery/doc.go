// Package discovery decides which SVM an agent should connect to.
//
// A [Selector] reads a [store.Table] and answers a [Query] with an [Answer].
// [Selector.Select] is called once per agent request: it takes no lock,
// allocates nothing, reads no clock and does no I/O. [Selector.Explain] tells
// for every SVM why it was removed or where it ranks.
//
// # The rules
//
// The tenant decides first. An agent of a complete tenant that is inactive is
// given the address of an SVM that does not exist; to a simple tenant its
// status makes no difference (Kaspersky Security for Virtualization Light
// Agent, online help, topic 259237).
//
// Then filters remove SVMs. An SVM that fails one is never used:
//
//	F1 version      agent and SVM are compatible by the [Matrix]
//	F2 protection   an agent with connection protection needs encryption; one
//	                without needs encryption off, or unprotected connections allowed
//	F3 tag          a tagged agent needs an SVM that lists its tag; an SVM that
//	                lists tags takes no untagged agent
//	F4 updates      the SVM has updates for the agent's kind
//	F5 scope        extended algorithm: the SVM's path equals the VM's at the level
//	F6 state        the SVM is up, not draining, and not among those that failed
//	F7 dedication   an SVM that lists tenants takes only their agents
//
// Then preferences order what is left. The first that differs decides:
//
//	P1 licence      SVMs with a valid licence come before the rest
//	P2 key type     a server key suits a server guest, a desktop key a desktop
//	                guest, a key per core any guest; matching SVMs come first. If
//	                the guest is unknown no SVM matches
//	P3 locality     standard algorithm: SVMs local to the VM come before all
//	                others, except those that protect a large infrastructure
//	P4 load         within what is equal so far, see below
//
// SVMs that are suspect come after all others, in the same order. SVMs at their
// hard cap are passed over; only if all that is left are at theirs is the answer
// [OverCapacity], the least loaded first.
//
// A fact about the agent (version, guest, kind) comes from the query, else from
// the VM's record, else, for the version, from the tenant's settings. A value
// that can not be read counts as not given, and a fact that nobody gives passes
// its filter. An SVM whose own version is unknown suits only agents whose
// version is unknown too.
//
// Local means: on hypervisor platforms, the same host; on OpenStack platforms,
// the same value at [Config.OpenStackLocality]. An empty level equals nothing.
//
// # Load
//
// An SVM's load is the count of its last report plus this gateway's own picks
// since. [store.Fewest] picks the SVM with the smallest load of the best class
// that has one; of equals, the first in rendezvous order. [store.Balanced] picks
// the first in rendezvous order. The alternatives follow in rendezvous order,
// class by class.
//
// # Rendezvous order
//
// Each agent has its own order of all SVMs, the same on every gateway, in which
// SVMs come first in proportion to their capacity, and from which an SVM can
// vanish without changing the order of the rest: its agents alone move, and
// spread over the others (Thaler and Ravishankar, "Using Name-Based Mappings to
// Increase Hit Rates", 1998; weighted by Schindelhauer and Schomaker, 2005). It
// is the order by (first probe, cost, id):
//
//   - cost(agent, svm) = -log2(u) / capacity, where u is a uniform hash of both
//     in (0, 1]: an exponential variable with the capacity as its rate, so that
//     the least cost falls to each SVM in proportion to its capacity.
//   - The first probe is 0 for all SVMs of a class that has up to [SmallClass]
//     members. In larger classes each SVM owns slots of a fixed circle, in
//     proportion to its capacity, and the agent probes slots in an order of its
//     own: the first probe that meets a slot of the SVM. That too depends on the
//     agent and the SVM alone (given the scale of slots), and is found in constant
//     time, where costs would have to be computed for all. Shares are rounded to
//     1/64 of the scale, and no SVM has less than that. An SVM not met in
//     [MaxProbes] probes comes last.
//
// Two things reorder agents that have lost nothing, and both need a change of
// configuration: a class that grows beyond SmallClass, or shrinks to it; and a
// greatest capacity that crosses a power of two, which is the scale of slots.
//
// A class, for counting its members, is all SVMs that pass F1 to F4 and F7 and are
// equal in P1 and P2; state does not count: an SVM that goes down or comes up
// again moves no agent but its own. Under the extended algorithm with a scope, F5
// counts too. Under the standard algorithm the local SVMs of a class, which come
// first, are counted and ordered by themselves; the rest is ordered as if the
// local ones were among them, by the size of the whole class.
//
// If every usable SVM is at its hard cap they are ordered by (load / capacity,
// cost, id), whatever their class: load (not under 0) times 2^32 divided by the
// capacity, rounded down.
//
// All arithmetic is on integers: floating point may be fused on some processors,
// and then two gateways would disagree.
//
// # How this is checked
//
// oracle_test.go decides the same questions slowly and plainly, from the rules
// above alone. TestOracle compares both over random worlds:
//
//	go test ./discovery -run TestOracle -oracle.cases 1000000
package discovery
