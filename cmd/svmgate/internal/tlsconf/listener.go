package tlsconf

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// handshakeTimeout ends a handshake that the client does not finish.
	handshakeTimeout = 5 * time.Second
	// maxPause is the longest wait when the process is out of descriptors.
	maxPause = time.Second
)

// errBusy ends a handshake that has not got its turn in time.
var errBusy = errors.New("tlsconf: too many handshakes at once")

// errNoHandshake refuses to write to a client that has not proved to speak TLS.
var errNoHandshake = errors.New("tlsconf: no handshake yet")

// turns bounds the handshakes that are computed at once in this process. Each
// takes some 280 µs of a processor; more at once than there are processors would
// only make each of them late.
var turns = make(chan struct{}, max(4, 2*runtime.GOMAXPROCS(0)))

// A Listener accepts connections of one plane. Its fields are set before the
// first Accept and not changed afterwards.
type Listener struct {
	net.Listener

	// TLS, if not nil, is spoken with every client that is not in Plain.
	TLS *tls.Config

	// Plain are clients that speak plain HTTP: proxies that ended TLS.
	Plain []netip.Prefix

	// Guarded refuses, on a listener without TLS, whoever is neither in Plain
	// nor on this host.
	Guarded bool

	// PerAddress bounds the connections that one IPv4 address, or one IPv6 network of 64
	// bits, has open at once; those beyond it are closed. Those in Plain and in Unbounded
	// have no bound: they speak for many. If 0, nobody has.
	PerAddress int
	Unbounded  []netip.Prefix

	// Log is told when connections can not be accepted. Required.
	Log *slog.Logger

	addresses                            addresses
	handshakes, failed, refused, crowded atomic.Uint64
}

// ListenerStats counts connections since the start.
type ListenerStats struct {
	Handshakes uint64 // TLS handshakes that ended well
	Failed     uint64 // TLS handshakes that did not
	Refused    uint64 // plain connections from where none is allowed
	Crowded    uint64 // connections beyond those of one address
}

// Stats returns the counts.
func (l *Listener) Stats() ListenerStats {
	return ListenerStats{l.handshakes.Load(), l.failed.Load(), l.refused.Load(), l.crowded.Load()}
}

// Accept returns the next connection that may speak. Its handshake has not begun:
// it runs when the connection is first used. Unlike the listener within, Accept
// does not fail when the process is short of file descriptors or memory: a server
// takes such an error for the end, and clients that go away make room.
func (l *Listener) Accept() (net.Conn, error) {
	pause := time.Duration(0)
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if !passing(err) {
				return nil, err
			}
			pause = min(max(2*pause, 5*time.Millisecond), maxPause)
			l.Log.Warn("connections can not be accepted for the moment", "reason", err.Error())
			time.Sleep(pause)
			continue
		}
		pause = 0
		if c := l.admit(c); c != nil {
			return c, nil
		}
	}
}

// admit returns the connection as the plane should use it, or nil if it is
// refused.
func (l *Listener) admit(c net.Conn) net.Conn {
	peer := peerOf(c)
	if contains(l.Plain, peer) {
		return c
	}
	if !contains(l.Unbounded, peer) {
		if c = l.bound(c, peer); c == nil {
			return nil
		}
	}
	switch {
	case l.TLS != nil:
		raw := &gatedConn{Conn: c}
		return &tlsConn{Conn: tls.Server(raw, l.TLS), raw: raw, listener: l}
	case !l.Guarded || peer.IsLoopback():
		return c
	}
	l.refused.Add(1)
	_ = c.Close()
	return nil
}

// passing reports whether an error of accept says nothing about the listener.
func passing(err error) bool {
	for _, e := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func peerOf(c net.Conn) netip.Addr {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// A tlsConn is the server's side of a TLS connection.
type tlsConn struct {
	*tls.Conn
	raw      *gatedConn
	listener *Listener

	ready  atomic.Bool // the handshake ended well
	failed atomic.Bool // it did not, and has been counted
}

// Handshake runs the handshake within its time. fasthttp calls it first; net/http
// begins to read, which runs it, too.
func (c *tlsConn) Handshake() error {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return err
	}
	err := c.Conn.Handshake()
	c.raw.leave()
	c.settle(err)
	if err != nil {
		explain(err)
		return err
	}
	return c.SetDeadline(time.Time{})
}

func (c *tlsConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if !c.ready.Load() {
		c.settle(err)
	}
	return n, err
}

// Write fails before the handshake rather than run it: fasthttp writes to a
// connection that is over the limit from the goroutine that accepts, and a client
// that never answers would stop it from accepting.
func (c *tlsConn) Write(b []byte) (int, error) {
	if !c.ready.Load() {
		return 0, errNoHandshake
	}
	return c.Conn.Write(b)
}

// settle counts how the handshake ended, once.
func (c *tlsConn) settle(err error) {
	switch {
	case err == nil && c.ready.CompareAndSwap(false, true):
		c.listener.handshakes.Add(1)
	case err != nil && !c.ready.Load() && c.failed.CompareAndSwap(false, true):
		c.listener.failed.Add(1)
	}
}

// explain tells a client that speaks plain HTTP to a TLS port so, in plain HTTP.
func explain(err error) {
	var e tls.RecordHeaderError
	if !errors.As(err, &e) || e.Conn == nil {
		return
	}
	switch string(e.RecordHeader[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "DELET", "PATCH", "OPTIO":
		const body = "this port speaks TLS: use https://\n"
		// If it fails the client has gone.
		_, _ = io.WriteString(e.Conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 35\r\n\r\n"+body)
	}
}

// A gatedConn is what a TLS connection reads from and writes to. It holds a turn
// from the moment the client's hello has been read (enter) until our answer to
// it is written: exactly while the handshake computes, never while it waits for
// the client.
type gatedConn struct {
	net.Conn
	holds atomic.Bool
}

func (c *gatedConn) enter() error {
	if c.holds.Load() {
		return nil
	}
	timer := time.NewTimer(handshakeTimeout)
	defer timer.Stop()
	select {
	case turns <- struct{}{}:
		c.holds.Store(true)
		return nil
	case <-timer.C:
		return errBusy
	}
}

func (c *gatedConn) leave() {
	if c.holds.CompareAndSwap(true, false) {
		<-turns
	}
}

func (c *gatedConn) Write(b []byte) (int, error) {
	c.leave()
	return c.Conn.Write(b)
}

// NetConn returns the connection below, as [tls.Conn.NetConn] does.
func (c *gatedConn) NetConn() net.Conn { return c.Conn }

func (c *gatedConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
