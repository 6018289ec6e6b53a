// Package sim replays worlds of agents, SVMs and gateways through the real store and
// discovery code, in virtual time, and measures how well agents are spread.
//
// A world is agents that ask, SVMs that report, and gateways that answer: each with a
// [store.Table] and a [discovery.Selector] of its own, as in a process. What is between
// them is modelled, because no public text says how it is; every number is a constant
// in this package:
//
//   - An agent asks a gateway at random, as behind a balancer. It connects to the first
//     SVM of the answer within 2 seconds; one that is down costs it a second, then it
//     takes the next of the answer, and when none is left it asks again and says which
//     failed. It asks again when the answer says, and says what it is connected to,
//     unless the world says that some do not.
//   - An agent whose SVM vanishes notices within 5 seconds, tries the other SVMs of its
//     last answer, and then asks. One that is told [discovery.OverCapacity] does not
//     connect, and asks again as told.
//   - An SVM reports to one gateway at random, at the same interval as the others and
//     at a moment of its own. A gateway passes on what is news to it every 200 ms, to
//     every other, which has it 0.1 to 1 second later; 1 of 100 messages is lost, but
//     for configuration, which is repaired until it has arrived. What selectors tell
//     each other goes the same way. An SVM is down once nothing was heard of it for a
//     minute, or for three intervals if that is longer.
//
// A run is a scenario, a policy and a seed. It happens in a bubble of testing/synctest,
// so that an hour takes seconds and all of it is the same the next time. That is why
// the simulator is a test:
//
//	go test ./bench/sim -run TestSim -sim.seeds 10 -sim.report sim.html
//
// All policies see the same worlds: of one seed the SVMs, the agents and the moments
// are the same, up to what the answers change.
package sim
