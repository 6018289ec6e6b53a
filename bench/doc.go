// Package bench measures a gateway, and what it is made of.
//
// [Run] is an open-loop load generator: requests are due at times that do not
// depend on how the gateway fares, and a request's latency counts from the time
// it was due. A generator that waits for an answer before it sends the next
// request stops asking while the server stalls, and so hides the stall: for one
// of 300 ms among fast answers such a closed loop reports a good 99th percentile,
// while of those who would have asked, many waited ("coordinated omission").
// TestStallShows holds both figures against each other. The command svmgate bench
// is Run with flags; docs/bench.md says how to read a [Result].
//
// A [Result] has a [Step] for each rate. Everything that a plan needs of one is in
// it: the rate that was asked, what was answered and in what time, how connections
// were used, and what the gateways used meanwhile, from their metrics.
//
// What a run changes (tenants that are switched, VMs that move) it puts back, also
// if it is ended early.
//
// [World] makes tenants, SVMs and VMs of any number from a seed, for a table in
// this process or as an inventory that a gateway imports.
//
// The Go benchmarks use random keys everywhere: one fixed key measures the
// processor's cache. BenchmarkMemoryLoad runs beside them as the reference,
// because what a lookup costs on a machine follows from what a load from its
// memory costs. README.md has the commands, and figures with the machine.
package bench
