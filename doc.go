// Package svmgate is the root of a gateway that tells the security agents in
// virtual machines which SVM (scan server) to connect to.
//
// There is nothing to import here. The parts, from the bottom up:
//
//   - [github.com/svmgate/svmgate/store]: the table of tenants, SVMs and VMs
//   - [github.com/svmgate/svmgate/discovery]: the decision, for use in any program
//   - github.com/svmgate/svmgate/cmd/svmgate: the daemon and its command line
//   - github.com/svmgate/svmgate/bench: the load generator
//
// The tests of this package hold the rules of the repository: which package may
// import which, what every package and page must have. ARCHITECTURE.md says why.
package svmgate
