// Package plan says what a provider needs for its agents: gateways, processors,
// memory, bandwidth between gateways, SVMs; and how long it takes until all agents
// have an SVM again.
//
// [Make] computes a [Plan] from an [Input], what agents do and what must be survived,
// and [Costs], what a gateway costs. Costs come from results of svmgate bench that
// [Learn] reads. What no result tells is assumed, from measurements of the reference
// machine in docs/capacity.md.
//
// A plan is a list of figures, and each says where it comes from: given, measured
// (which file, at which rates), assumed (why this value), or computed, with the
// arithmetic. So whoever doubts a result sees which figure to measure.
//
// # The cost of a question
//
// It depends on how the agent is connected ([bench.Profile]): a TLS handshake costs a
// multiple of the question. And it depends on the load: the more there is to do, the
// less often a processor goes to sleep between two questions. Costs are therefore
// curves over the rate at one processor; between the measured rates they are straight
// lines, and beyond them the nearest value holds.
package plan
