// Package cluster keeps a table of records alike on any number of nodes. Each node
// has the whole table in memory, answers from it alone, and may change it at any
// time, with or without its peers: they agree as soon as they hear of each other.
//
// A record is a key, a version and bytes. What records mean, which of two wins, and
// where they last is the [Table]'s business, which the program brings along; [Map]
// is a simple one. All that is asked of a table is that merging is idempotent,
// commutative and associative: then whatever the network loses, repeats and
// reorders, tables that have heard the same records are equal.
//
// # How records spread
//
// Three ways, each making up for what the one before it loses.
//
// News goes out at once: a change is packed into packets for a few random peers, and
// whoever learns something from a packet passes it on. This reaches all of a
// hundred nodes in a handful of hops. News that nobody has confirmed is repeated
// with the membership protocol's own gossip. Of a key only the newest record waits
// to be sent, and at most so many wait: news is a hint, and dropping it is counted
// but costs no more than time.
//
// Repair makes it certain. A table has a fingerprint for each of its [Buckets], and
// two nodes exchange these [Digest]s at least every ten seconds, and when they meet.
// A bucket that differs twice running, or at all when a node joins, is pulled: the
// node sends what it has of it as finer fingerprints, the peer answers with the
// records of those that differ. Both do, so both end with the merged whole. Few
// pulls are under way at a time, each in chunks, and one is asked for while the
// last is applied: a donor is never flooded, nor is whoever asks.
//
// Fleeting records (such as counts that are told again every minute) go out in
// batches, are dropped first when there is too much to send, and are in no digest.
//
// # Questions
//
// What is not for everybody a program can ask one member: [Node.Ask] puts a question to
// it, and its [Config.Answer] answers. They go the way of the questions by which nodes
// compare tables, but have bounds of their own: however much a program asks or leaves
// unanswered, tables become alike meanwhile. Nothing is kept and nothing is repeated;
// beyond a bound, of a member that is not there, or without an answer in time, there is
// an error.
//
// # Membership
//
// hashicorp/memberlist (SWIM with Lifeguard: Das, Gupta and Motivala 2002; Dadgar,
// Phillips and Currey 2018) tells who is there and carries packets and streams. It
// never calls again on a node that it holds dead, so a partition that lasts would
// be for ever: a Node calls on every seed and every peer it ever knew, some five
// seconds apart, for as long as one is missing.
//
// # Clocks
//
// Versions are made of physical time, so one wrong clock could make a record that
// no later one replaces. A Node compares its clock with its peers' and offers the
// time that most of them agree on: [Clock]. A table takes its versions from there,
// and refuses records from too far in the future.
//
// # What was deleted
//
// A deleted record leaves a tombstone, and tombstones can not be kept for ever. All
// that are older than a floor go at once, on every node, and the floor travels with
// the digests. A node that was away for longer than its peers have kept tombstones
// may not take part: what they deleted would come back from it. It is told so by
// [Stale], and starts anew from its peers.
// Of two that did not see each other for so long, the one that was started first
// keeps its table. Two groups of nodes that were parted for so long are not found
// out, because each node has met others of its group all the time: what one group
// deleted comes back from the other, so do not let that happen.
//
// # Strangers
//
// Keys keep strangers from reading, from writing and from becoming members. They do
// not keep them from sending, nor from sending again what they heard earlier:
//
//   - Packets and streams that can not be decrypted cost a try of each key. Few streams
//     are read at a time, and of most only a part, because memberlist reads all of a
//     stream before it tries; so strangers can delay streams, but not fill memory.
//   - What is sent again merges as before. Clocks are believed only in answers to
//     questions that this node just asked, and keys change only for whoever holds a
//     permit that was just given. A program's question that is sent again is answered
//     again, by the member that it was put to, and the answer is believed by nobody.
//   - A node that holds a key is trusted. So is everybody where there are no keys:
//     thirty bytes make memberlist take 100 MiB then. Do that on one machine only.
//
// # Promises
//
//   - Nothing counts as received before the table has taken it.
//   - Nothing is ever deleted because a peer does not have it.
//   - Every queue has a bound; what is dropped is counted, and repaired.
//   - Messages name their format; a node skips those it does not know, and passes on
//     records of kinds it does not know.
//
// Package clustertest has a network to try all of this on, with faults and in
// virtual time.
package cluster
