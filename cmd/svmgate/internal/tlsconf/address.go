package tlsconf

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// addresses counts the open connections of each address. Its zero value is ready for use.
type addresses struct {
	mu    sync.Mutex
	count map[netip.Addr]int
}

// ofOne is what counts as one address: of IPv6 all that a host may choose from by itself.
func ofOne(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	prefix, err := a.Prefix(64)
	if err != nil { // the zero address
		return a
	}
	return prefix.Addr()
}

// take counts one more, unless there are most already.
func (s *addresses) take(a netip.Addr, most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[a] >= most {
		return false
	}
	if s.count == nil {
		s.count = map[netip.Addr]int{}
	}
	s.count[a]++
	return true
}

func (s *addresses) give(a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count[a]--; s.count[a] == 0 {
		delete(s.count, a)
	}
}

// A countedConn is one of its address's connections until it is closed.
type countedConn struct {
	net.Conn
	of     *addresses
	addr   netip.Addr
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.of.give(c.addr)
	}
	return c.Conn.Close()
}

// NetConn returns the connection below, as [tls.Conn.NetConn] does.
func (c *countedConn) NetConn() net.Conn { return c.Conn }

// bound counts a connection to its address. It returns nil, and closes the connection, if
// there are as many as may be.
func (l *Listener) bound(c net.Conn, peer netip.Addr) net.Conn {
	if l.PerAddress <= 0 {
		return c
	}
	addr := ofOne(peer)
	if l.addresses.take(addr, l.PerAddress) {
		return &countedConn{Conn: c, of: &l.addresses, addr: addr}
	}
	l.crowded.Add(1)
	if l.TLS == nil {
		const body = "too many connections from this address\n"
		// It fits into what the system holds for a new connection, so it waits for nobody. If
		// it fails the client has gone.
		_, _ = io.WriteString(c, "HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\nRetry-After: 10\r\nContent-Type: text/plain\r\nContent-Length: 39\r\n\r\n"+body)
	}
	_ = c.Close()
	return nil
}
