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
// SVMs that are suspect come after all others, in the same order. What agents say makes
// no more than 30 % of those suspect that take agents and are dedicated to one tenant, or
// to none, rounded down, but one if there are several; and none while so many are, if not
// by probes of this gateway. What they say beyond is kept for a minute. SVMs at their
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
// [store.Fewest] is the vendor's documented rule: of the best class that has a
// usable SVM, the one with the smallest count by its last report plus this
// gateway's own picks since; of equals, the first in rendezvous order. The
// alternatives follow in rendezvous order, class by class.
//
// [store.Balanced] is what the rest of this section is about. It goes by an
// estimate of each SVM's agents: the count of its last report, plus the agents
// that this gateway has sent there since, less those that it has sent elsewhere,
// plus what the other gateways have told of theirs ([Config.Tell], [Selector.Hear]).
// What this gateway has not told yet counts once for each gateway, as if all did the
// same meanwhile. "Since" means since the moment of the report, not of its arrival.
// What stands beside the count of a report is halved with every [store.Config.SVMTTL]
// that passes without a new one; not so of a pinned SVM with a hard cap, which would take
// others for them. Agents that leave that one for good are taken off only when they are
// unregistered or ask elsewhere: let it report, or do without a cap.
//
// An agent keeps the SVM that it has, if it may (see "Keeping"). Else the first SVM
// is the first, in rendezvous order, of the best class's usable SVMs that is open to
// the agent and below the soft cap. Only the first [LookDeep] are looked at; if none
// of them is both, it is, of those that are open (if none is, of all), the one with
// the smallest load for its capacity, and of equals the first. So most agents get the
// first of their order, no SVM is far above its share, and no gateway has to ask
// another. Among suspects it is the first.
//
//   - The fair share of a class is (load + 1) / capacity, summed over its members
//     that are usable, with loads as they were at the last pulse: ten times a second
//     a selector brings its estimates up to date. An SVM is below the soft cap while
//     it has nobody, or its load and one more agent are at most [SoftCap] percent of
//     its fair share. As for the order, local SVMs count among the rest of their
//     class, too; a share is in units of 2^-20, rounded down.
//   - An SVM that has come up among SVMs that have been up for longer than
//     [SlowStart] is open to an eighth of agents at first and to one eighth more
//     with every eighth of SlowStart: by a hash of agent and SVM, so that those
//     to whom it was open once it stays open to. An SVM that is there when the
//     selector starts is open to all.
//
// The alternatives follow in rendezvous order, class by class, whatever their load:
// also those of better classes than that of an SVM that is kept.
//
// # Keeping
//
// The SVM that an agent has is the one that it says ([Query.Current]), if that is in
// the table, else the one that it was given last, if that is remembered. One that it says
// is remembered, too, but not counted: another gateway has sent the agent there and tells
// of it, or the report has it. When an agent is sent to another SVM it leaves the one that
// is remembered; if none is, the one that it says, if F1 to F5 and F7 admit it. It keeps
// what it has unless
//
//   - a filter removes it, or it is down, or among those that failed;
//   - it is suspect, and the agent does not say that it is connected to it. If it does,
//     suspicion makes no difference: were it wrong, thousands would move for nothing;
//   - it is draining, and it is the agent's turn: they leave evenly over
//     [store.Drain], in an order by a hash of agent and SVM;
//   - its load is above its hard cap, with what this gateway has not told counted once;
//   - there is a better class (P1 to P3) with an SVM that is settled, which the agent
//     could reach: that has been usable without a pause for [Config.ReturnAfter]. A
//     flapping SVM drags nobody to and fro; an administrator's change of a tenant does
//     at once;
//   - it is above [RebalanceAbove] percent of its fair share, and by more than one
//     agent, and it is the agent's turn: in every 300 seconds it is the turn of
//     so many agents of such SVMs that at most one percent of the class's agents a
//     minute move, or one if that is more, by a hash of agent and time; and of nobody
//     while many agents are new ("mass reconnect"). It moves within its class, to the
//     first SVM that is open to it and below the soft cap. If there is none among those
//     that it looks at, it moves to the one of them that has the smallest load for its
//     capacity, as above, if that is open to it, does not get so far above its share
//     thereby, and has no more agents for its capacity then than are left where it was.
//     Else it stays.
//
// All turns are by hashes: every gateway comes to the same end without asking
// another. With 5 % of the class's agents, at least 5, for m, and a for the agents of SVMs
// above the line, it is the turn of m / (a + m) of them: those that may have left already
// count as if they had not, or the part would grow as they leave. As a move to an SVM that
// is not below the soft cap makes the sum of load²/capacity less, they come to an end.
//
// Who does not say what it has may have been sent elsewhere, if there are other gateways,
// and would be one more where it was. So its SVM counts with one agent more when it is asked
// whether it is above the line, and what would be left on it; if it is above the line by
// that one alone, no turn is needed. Where SVMs have many agents, that hardly ever decides.
//
// # Hard caps
//
// An SVM at its hard cap is not usable for agents that do not have it. One gateway
// never sends it more: picks are counted before the answer is given, and a question
// that finds the last place taken meanwhile is decided again. Several share what is
// left: each may send its part before they have told each other, and gets a new one when
// all have. So they do not cross a cap together either, as long as what one tells
// arrives before the next one tells and all have the same report; what arrives later
// lets them cross it by no more than what was not known. Less than one agent for each
// gateway may stay free. Agents that were sent within [Connecting] before a report are
// counted beside it, because they may not have been connected yet.
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
// # Policies
//
// With [Config.Policy] the first SVM for agents that keep none is what that picks of
// the best class's usable SVMs (for an agent that moves because too many have its SVM:
// of its class's). All else is as above.
//
// # Admission
//
// With [Config.Admission] a gateway sends so many agents of each tenant to another SVM
// than they have. It is the generic cell rate algorithm (ITU-T I.371), on the clock of
// pulses. Agents beyond it are told to come again: each gets the next place in a queue
// that moves on at the rate, so that they come back at about the rate, and its hash
// delays it by up to a tenth. Who keeps its SVM, or asks again for the one that it was
// given, is always served; so is who is not registered, of whom nothing is remembered.
//
// # How this is checked
//
// oracle_test.go and balance_test.go decide the same questions slowly and plainly, from
// the rules above alone. TestOracle compares both over random worlds:
//
//	go test ./discovery -run TestOracle -oracle.cases 1000000
package discovery
