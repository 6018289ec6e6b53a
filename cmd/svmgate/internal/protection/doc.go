// Package protection knows on which days VMs were protected, and reports it: the
// "protection report" of the vendor's documents (Kaspersky Security for Virtualization
// Light Agent, online help, topics 259256 and 259242). It collects nothing unless it is
// told to ([Config].Collect), as the vendor's product does.
//
// A VM is protected while its agent is connected to an SVM [V 259256]. What is written
// down is coarser, since a report is accurate to a day [V]: the days of UTC on some
// moment of which the VM was protected ([store.Protection]). A period of a report is a
// run of such days.
//
// # What proves a day
//
// What agents say ([Book.Said]), and the sessions that SVMs tell of ([Book.Take]):
//
//   - An agent that says it is connected was protected at that moment.
//   - Of two statements of an agent in a row, of which the first says that it is
//     connected and the second comes within [ProofGap], the time between is proven too,
//     the moment of the second not: so who says shortly after midnight that it is not
//     connected any more was protected that day, too.
//   - A longer silence proves nothing. An agent that disappears is not counted on: its
//     end is its last statement.
//   - A session proves the time from its begin to its end, the end not included. One that
//     has no length is a moment.
//
// A statement's time is that of the gateway that heard it, in whole seconds; a gateway
// knows of the statements that it heard since it started. A day is a member of a set: if
// a clock is set back, if sessions overlap, if two gateways hear the same, nothing is
// counted twice, and what was written stays.
//
// A day counts for the tenant to which the VM belongs when it is written down, within a
// second after it was proven; a VM that moves has such a day with both. What was proven
// of a VM that is not registered is not written.
//
// # What a report tells
//
// Whatever happened up to [Reliable] ago: until then agents, SVMs and other gateways may
// have something to say ([V 259256]: the end of a period is reliable 60 minutes later).
// Periods are cut to the days that were asked for, and to those that are kept
// ([Config].Keep). Names are as they were on the last day. With collection off a report
// is empty, whatever is kept.
//
// TestOracle holds all of this to a model that goes through minutes one by one.
package protection
