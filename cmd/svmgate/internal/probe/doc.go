// Package probe finds out which SVMs can not be reached, before their agents do.
//
// Every five seconds, give or take one, a gateway opens a TCP connection to each SVM
// that falls to it, and closes it. An SVM falls to two of the gateways that are there,
// chosen by a hash of both, so that each is looked at from two places, and none by
// all. Two failures in a row make an SVM suspect: it is used last. One success ends
// that, and so does its falling to others. What one gateway suspects, it tells the
// others; that is the selector's business.
//
//   - A connection that is refused, reset or not there within two seconds is a failure.
//   - SVMs that are down are not probed: nobody is sent there. Those that drain are,
//     because some agents are still theirs.
//   - The address may be a name. One that can not be looked up here says nothing of the
//     SVM: agents may have another name server. It is no failure, and no success.
//   - A gateway that reaches none of three SVMs or more suspects nobody: either its own
//     network is gone, or all SVMs are equally bad.
//
// At most [Concurrency] connections are opened at a time. While very many SVMs do not
// answer, a round takes longer than five seconds, and the next follows at once.
package probe
