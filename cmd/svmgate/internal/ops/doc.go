// Package ops is the operations plane: health, metrics and debug pages.
//
//	/healthz   200 as long as the process answers
//	/readyz    200 while the gateway can be sent agents, else 503 and the reason;
//	           what is refused because the disk is full is said, too
//	/metrics   Prometheus text; every name begins with svmgate_, go_ or process_
//	/debug/    pages for people on this host: profiles, the table, one decision
//
// The plane answers from the first moment, before the table is loaded, so that
// whoever waits for readiness can tell a gateway that loads from one that is not
// there. It changes nothing and needs no account; what is under /debug/ is for
// requests from loopback alone, under a loopback host name, that no proxy passed
// on, so that neither another host nor a page in a browser on this one can read
// it.
//
// Counters of requests are kept in shards, one cache line per shard and code,
// because the hot path counts.
package ops
