// Package tlsconf gives the listeners of a gateway their TLS, and keeps it
// current: certificate, key and client authorities are read again when their
// files change and on request, without dropping a connection.
//
// Files that can not be used, because they do not belong together, can not be
// read or have expired, never replace files that can: the old ones stay, the log
// says why, and [Files.Stats] counts it. At the start there are no old ones, so
// the start fails with the reason.
//
// A [Listener] accepts for one plane. It speaks TLS 1.2 or newer, or plain HTTP
// to those who may. It bounds how long a handshake takes and how many are being
// computed at once: of both, the part that costs memory or processors, not the
// part that waits for the client, so that slow clients take no one's turn. When
// the process runs out of file descriptors it waits and goes on.
package tlsconf
