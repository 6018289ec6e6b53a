// Package express answers the form of request that agents send, on its connection,
// before the server behind it reads one byte of it.
//
// A general HTTP server spends as much on a request as a decision and its answer cost
// together. Nearly all requests of the agent plane look alike, so a [Listener] reads
// them itself. It is strict rather than clever: what it takes is a small, fixed subset
// of what the server and the fence before its handlers take, and means the same there.
// Everything else, down to a byte in an unusual place, it hands to the server as it
// came, which goes on as if nobody stood before it:
//
//	GET /v1/agents/{36 bytes}/svm[?query] HTTP/1.1
//
// with one Host header of letters, digits, dots, hyphens and a port, at most one
// Authorization header, and otherwise only headers that change nothing; each line
// "Name: value" of visible ASCII with CR LF behind it; the whole of it in one read, and
// nothing behind it. A query has no byte that needs decoding. TestSameAnswers and
// FuzzSameAnswers of package agentapi hold both ways to the same answers, byte for byte.
//
// A connection remembers the last request that was not its first. One that differs from
// it only in the agent and the value of Authorization, as most do, is compared, not read.
//
// Limits are those of the server: its goroutines, its bound on connections, its
// buffers (the request lies in the server's own, and the answer behind it), its
// timeouts and its end. A deadline is moved only when it would move by [slack], so it
// is that much shorter at most, and answers cost no timer.
package express
