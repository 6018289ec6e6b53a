// Package cluster will spread records between gateways. It is empty: replication
// has not arrived, and a gateway stands alone until it does.
//
// Two promises are made already, because everything else is built around them.
// The package knows a record as a key, a version and bytes, through interfaces
// of its own, and never learns what a tenant or an SVM is; and it alone imports
// the gossip library. The tests at the root of the repository hold both.
package cluster
