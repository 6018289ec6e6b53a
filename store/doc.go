// Package store holds the table that every gateway keeps in memory: tenants,
// SVMs, VMs, agent tokens and accounts.
//
// A [Table] is a set of [Record]s. A record is a key, a version and bytes; its
// [Kind] says who writes it, and no two kinds of writer share a record: an
// SVM's load report can never overwrite what an administrator configured.
// Records merge by rules that do not depend on the order of arrival (see
// "Merging"), so gateways may send them to each other in any order, any number
// of times, and still agree.
//
// # One way in
//
// [Table.Apply] is the only function that changes a table. It stamps or checks
// versions, drops what is old, writes the journal, publishes a new [View] and
// hands the news to subscribers. [Table.Update] is Apply with a transaction in
// front of it, for callers that think in tenants and SVMs rather than in
// records. A change is on disk before any reader sees it, and visible to every
// reader before Apply returns. Changes that are made at the same time reach the
// disk together: one fsync serves all who wait for it.
//
// # Two ways out
//
// Questions read a [View], an immutable picture of tenants and SVMs, and look
// up a VM with [Table.Lookup]: both take no lock, allocate nothing and read no
// clock. Administrators read whole objects with [Table.Tenant], [Table.SVM],
// [Table.VM] and their lists.
//
// # Merging
//
// For all tables a, b and c, with + for merging all records of one into the
// other:
//
//   - a + a = a (a repeated message is harmless)
//   - a + b = b + a (the order of arrival does not matter)
//   - (a + b) + c = a + (b + c) (batching does not matter)
//
// Most kinds keep the record with the greater version. Two do not: a tenant's
// activation is a flag that deactivation wins, and of two registrations of one
// BIOS ID the earlier holds. merge.go has both, with their reasons. The laws
// need one promise from writers: a version is never used twice for different
// contents. TestMergeLaws checks the laws over random records.
//
// # Versions
//
// A [Version] is a hybrid logical clock (Kulkarni et al., "Logical Physical
// Clocks", 2014) and the node that wrote. A record from more than [MaxSkew] in
// the future is refused and counted: one bad clock must never make a record
// immortal.
//
// # Gateways that agree
//
// Tables are compared by [Table.Digest], a fingerprint of each of [Buckets] parts,
// and what differs is read with [Table.ScanBucket] and brought in with a lenient
// [Batch]. [News] is what is to be passed on; its conflicts are what merging had to
// give up. This package knows nothing of the network: it is all that a program needs
// to keep tables alike.
//
// # What lasts
//
// A table with a [Dir] keeps its records on disk: every change in a log, and now
// and then all records in a snapshot, behind which the log is shortened. It is
// read back by merging: what is told twice does no harm, so a snapshot is scanned
// while writers go on. What was acknowledged survives the end of the process at
// any moment; damage is found by checksums and named, never served. A full disk
// refuses changes until there is space; a failed fsync refuses them until a
// restart ([Table.Fault]). SVMs' loads are not kept.
//
// # Memory
//
// VMs lie in flat arrays without pointers: slots of 32 bytes, which questions
// read, and packed records with names and dates, which they do not. Ten million
// VMs cost the garbage collector nothing (BenchmarkMemoryPerVM, BenchmarkGC).
//
// # Bounds
//
// A table holds at most [MaxTenants] tenants, [MaxSVMs] SVMs, [MaxPaths]
// distinct placements, as many distinct names of path levels, and [MaxVersions]
// distinct agent versions. Reaching a bound is an error that names it. What was
// deleted counts, too, even when its tombstone is forgotten: see [Table.Forget].
package store
