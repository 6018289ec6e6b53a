// Package fence stands between the network and the handlers of an HTTP plane.
//
// A request that two parsers could read in two ways is not served: a proxy in
// front that reads it the other way would let a client smuggle a second request
// past it, under somebody else's name. [Wrap] refuses, and closes the connection
// after the refusal, so that nothing that follows on it is taken for a request:
//
//   - any Transfer-Encoding, except on the routes that take a stream, and there
//     any together with a Content-Length, or other than "chunked"
//   - header lines that are folded, that end in a bare line feed, or whose name
//     contains white space
//   - a path with an empty, "." or ".." segment, a backslash, a fragment, a byte
//     outside ASCII, or an escape of anything that needs none, of a slash, a
//     percent sign or a control character
//   - a target in absolute form whose host is not that of the Host header, with
//     user information, or of another scheme than http and https; the asterisk
//     and authority forms
//   - a body of a GET or HEAD request
//   - an HTTP version other than 1.0 and 1.1; the methods CONNECT and TRACE
//
// What fasthttp refuses by itself (two Content-Length or Host headers, a length
// that is not a number, control characters) it refuses before Wrap; the
// [Server]'s error handler answers those with the status that fits and closes
// likewise. TestRefusals sends each over a socket, with a second request behind
// it, and counts the answers.
//
// A body is bounded: [MaxBody] for what a handler gets as a whole, and before that it takes
// memory as it arrives; behind [Guard] only that of who may have one. Streams have
// no bound here but an hour ([StreamTimeout]); the handler that reads one bounds
// its size. A stream that the handler left unread does not become the next
// request: a small rest is skipped, otherwise the connection is closed.
package fence
