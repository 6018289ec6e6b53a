// Package journals holds the two finalists for the journal behind a table
// against each other: the project's own log and hashicorp/raft-wal, both as a
// [store.Journal].
//
// The tests put both through the same failures: torn tails, flipped bits, a full
// disk, an fsync that fails, kill -9. They fail where the project's own log breaks a
// promise; what raft-wal does is logged (go test -v), and docs/journal.md tells
// what came of it. The benchmarks measure both in alternating slices of one run,
// because a disk drifts more over minutes than these two differ, and print a
// table at the end.
//
// It is a module of its own so that raft-wal and what that needs stay out of the
// gateway.
package journals
