// Command peers puts one question to a gateway and to others that could be asked it:
// an instance of a service, out of the same table, in an answer of the same size.
//
//	make bench-peers                                             # all of it; about ten minutes
//	go -C bench/peers build -o ../../bin/peers . && bin/peers -groups plain -peers net/http -rounds 15 -slice 300ms   # a minute
//	make bench-latency                                           # how long answers take; three minutes
//
// The figure is processor time of the server for each answer, in user and system mode,
// as the kernel accounts it, beside that of fasthttp with a constant answer: what
// remains of a server in Go when nothing is to be done. Requests a second say less,
// since the client may be what is slow.
//
// # Who is asked
//
//   - svmgate: the daemon, with a table that package bench made, in its data directory.
//     Every tenant has a token, and each request its tenant's. No authentication is a
//     row of its own, where the token is sent and not looked at.
//   - fasthttp and net/http: their servers as they are, with no setting but the handler,
//     which returns a constant body ("stock"). A gateway has time limits, bounds and
//     checks besides, and they are in its figure.
//   - nginx: one worker, no log, the body in its configuration ("return 200").
//   - Redis: GET of one of as many keys as there are VMs; nothing is saved to disk.
//   - etcd: a range of one key, serializable, which needs no other member; by gRPC and by
//     its JSON gateway. The gRPC client is the library's, and slower than the one below.
//   - CoreDNS: a TXT record of that size from a zone file, and an address from a hosts
//     file, which is a shorter answer; over UDP.
//
// A gateway's answers lie between some sizes; all others have the mean of them.
//
// # How
//
// All servers are up at once, bound to one processor; this program has another. In each
// round every server is asked for a slice of time, in an order that is shuffled anew;
// between slices it has nothing to do. Ratios are taken within a round, and the median of
// those is told: the same program is faster in one minute than in the next by more than
// servers differ. Every answer is checked: its status, its size, and of a gateway that
// SVMs are in it.
//
// Connections stay open, and each has one request under way: a closed loop, which would
// hide how long answers take, but not what they cost. All of HTTP, Redis and DNS is asked
// by the same client, one thread that waits for all connections at once; all HTTP servers
// get the same bytes. TLS and gRPC need a goroutine for each connection. Agents that ask
// every few minutes keep no connection: for them are the groups where each question has a
// connection of its own, with a full handshake and with the ticket of the one before.
//
// # How long answers take
//
// With -latency, a gateway and fasthttp are asked in an open loop, at some parts of what
// the gateway can answer: questions fall due at exponential times, the same for both, and
// a latency counts from then. On a machine that others use, its pauses are most of a
// high percentile, so how long it is says little; both are asked in turn, in short
// slices, and how the percentiles are to each other is told, by the median of the rounds.
// This program does not sleep meanwhile, so that it is never late of itself; how late it
// was, because its processor was taken away or no connection was free, is in the table.
//
// # What is not there
//
// Programs that are not installed are unpacked from Debian's packages or built from their
// modules, into the directory of -tools; no service of the system is touched. What can
// not be had is skipped, with a line that says why. Linux only.
//
// It is a module of its own so that what others need stays out of the gateway.
package main
