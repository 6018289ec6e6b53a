// Package store holds the table that every gateway keeps in memory: tenants,
// SVMs, VMs, agent tokens and accounts; and what has happened to them.
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
// Most kinds keep the record with the greater version. Four do not: a tenant's
// activation is a flag that deactivation wins, of two registrations of one BIOS ID
// and of two events of one id the earlier holds, and days of protection are added
// up. merge.go has them, with their reasons. The laws
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
// # What happened
//
// An [Event] is written once, in one change with what it tells of ([Tx.Emit]), so that
// neither is without the other after a crash; and read in the order of versions from
// any one on ([Table.Events]), which is where a reader of all gateways' events goes on.
// An [Observation] is what was told last of a VM or an SVM: with it, in the same change,
// whoever watches next knows what not to tell again. A [Protection] is on which days a VM
// was protected while it belonged to a tenant; it outlives both.
//
// What is old is dropped on all gateways alike: how far is a record, too, a floor, of
// which the greatest holds ([Table.ForgetEvents], [Table.ForgetProtection]). There are no
// tombstones of events; what comes from below a floor is not taken.
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
// Of events, observations and days of protection there may be as many. They, too, are
// without pointers, in one piece of memory for each bucket. Of a million an event of 107
// bytes takes 192 in all, an observation 69, a protection of 400 days with names of some
// ten bytes 190; a cycle of the garbage collector takes less than 4 ms of processor time
// (BenchmarkBulkMemory, 2-core AMD EPYC).
//
// # Bounds
//
// A table holds at most [MaxTenants] tenants, [MaxSVMs] SVMs, [MaxPaths]
// distinct placements, as many distinct names of path levels, and [MaxVersions]
// distinct agent versions. Reaching a bound is an error that names it. What was
// deleted counts, too, even when its tombstone is forgotten: see [Table.Forget]. Of
// events there are at most [MaxEvents], of observations and protections together
// [MaxHistory]: from then on [Tx.Emit] and the like fail until some are forgotten.
package store
