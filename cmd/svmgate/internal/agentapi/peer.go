package agentapi

import (
	"net"
	"syscall"
)

// A peer is the client's side of a connection; its zero value is there for ever.
type peer struct{ raw syscall.RawConn }

// peerOf finds the TCP connection in c, which may be TLS.
func peerOf(c net.Conn) peer {
	for c != nil {
		if s, ok := c.(syscall.Conn); ok {
			raw, err := s.SyscallConn()
			if err != nil {
				return peer{}
			}
			return peer{raw}
		}
		layered, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		c = layered.NetConn()
	}
	return peer{}
}

// gone reports whether the client has closed its side. One that has, and still reads, gets
// its answer early: it is answered like the others whose wait ends.
func (p peer) gone() bool { return p.raw != nil && isShut(p.raw) }
