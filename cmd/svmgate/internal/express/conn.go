package express

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// slack is how much shorter than its timeout a deadline may be.
	slack = time.Second

	// lastCall is how long there may be another request, which then is told that it was the
	// last, on a connection on which one was being answered when accepting ended.
	lastCall = 100 * time.Millisecond

	// lookAround is after how many answers a connection looks whether it is the only one
	// that asks: what all write to, all wait for.
	lookAround = 16
)

// A conn is a connection whose Read answers what it can. Only the server's goroutine
// uses it, but for Close.
type conn struct {
	net.Conn
	l      *Listener
	number uint64

	between  bool // the server has read nothing of the next request
	again    bool // and has served one
	answered bool // something has been answered here

	request Request // the one that is being answered
	answers uint    // made here
	others  bool    // were answered, too, when it last looked

	// Deadlines as they are set, in Unix nanoseconds; 0 is unknown.
	readEnd, writeEnd int64

	state atomic.Uint32
}

// States of a conn.
const (
	waiting   = iota // for the first request, or in the server's hands
	idle             // between an answer from here and the next request
	answering        // here: closing it has to wait
	closed
)

// Read implements [net.Conn]. The server never hears of requests that are answered here.
func (c *conn) Read(p []byte) (int, error) {
	for c.between {
		n, err := c.Conn.Read(p)
		if n == 0 {
			if err != nil && c.answered {
				err = io.EOF // an idle connection ends without a word
			}
			return 0, err
		}
		if !c.state.CompareAndSwap(waiting, answering) && !c.state.CompareAndSwap(idle, answering) {
			return 0, io.EOF
		}
		next := uint32(waiting)
		if err == nil && c.answer(p, n) {
			next = idle
		}
		if !c.state.CompareAndSwap(answering, next) {
			_ = c.Conn.Close() // as Close would have
			return 0, io.EOF
		}
		if next != idle {
			c.between = false
			return n, err
		}
		c.answered, c.request.again = true, true
		if c.l.closed.Load() { // perhaps too late for Listener.Close to see that it is idle
			_ = c.SetReadDeadline(time.Now().Add(lastCall))
		}
		c.giveWay()
	}
	return c.Conn.Read(p)
}

// giveWay lets other connections go first. The next request is hardly there yet: reading
// now would find nothing, and the goroutine would be put aside and fetched again. Behind
// the others it mostly finds one, which saves a twentieth of a request's time where 64
// connections are busy, and a tenth where 1,024 are ("make bench-peers"). A connection that
// is alone has nobody to wait for, and would wake a processor for nothing, which costs 2 µs.
func (c *conn) giveWay() {
	if c.answers++; c.answers%lookAround == 0 {
		c.others = c.l.last.Swap(c.number) != c.number
	}
	if c.others {
		runtime.Gosched()
	}
}

// answer answers the request that p[:n] is, and reports whether it did. What is left of p
// is room for the answer.
func (c *conn) answer(p []byte, n int) bool {
	now := time.Now()
	status := 0
	var out []byte
	if answer := c.l.current(); answer != nil && c.request.parse(p[:n:n]) {
		c.request.now = now
		out, status = c.ask(*answer, p[n:n])
	}
	if status == 0 {
		// The server sets a deadline itself but for the first request that it hears of.
		if end := now.Add(c.l.server.ReadTimeout); c.answered && !c.again || c.readEnd > end.UnixNano() {
			_ = c.SetReadDeadline(end) // an error says that the connection is gone; so does reading
		}
		return false
	}
	if end := now.Add(c.l.server.WriteTimeout); end.UnixNano()-c.writeEnd >= int64(slack) {
		_ = c.SetWriteDeadline(end)
	}
	if _, err := c.Conn.Write(out); err != nil {
		_ = c.Conn.Close() // and the next read says so
	}
	c.l.count(c.number, status)
	if end := now.Add(c.l.server.IdleTimeout); end.UnixNano()-c.readEnd >= int64(slack) || c.readEnd > end.UnixNano() {
		_ = c.SetReadDeadline(end)
	}
	return true
}

// ask calls an Answer; one that panics has not answered.
func (c *conn) ask(answer Answer, dst []byte) (out []byte, status int) {
	defer func() {
		if reason := recover(); reason != nil {
			c.l.log.Error("an answer panicked, the server gets the request; this is a bug, please report it",
				"panic", fmt.Sprint(reason), "stack", string(debug.Stack()))
			status = 0
		}
	}()
	return answer(dst, &c.request)
}

// track hears how far the server is. It calls a connection idle between two requests; if
// then its buffer has something of the next one, it calls it active before it reads more.
// The first request's beginning it does not tell apart.
func (c *conn) track(state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateIdle:
		c.between, c.again = true, true
	case fasthttp.StateActive:
		c.between = c.between && !c.again
	}
}

// Close implements [net.Conn]. A request that is being answered gets its answer first.
func (c *conn) Close() error {
	c.l.mu.Lock()
	delete(c.l.open, c)
	c.l.mu.Unlock()
	if c.state.Swap(closed) == answering {
		return nil
	}
	return c.Conn.Close()
}

// NetConn returns the connection below, as [tls.Conn.NetConn] does.
func (c *conn) NetConn() net.Conn { return c.Conn }

// SetDeadline implements [net.Conn].
func (c *conn) SetDeadline(t time.Time) error {
	c.readEnd, c.writeEnd = t.UnixNano(), t.UnixNano()
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline implements [net.Conn].
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readEnd = t.UnixNano()
	return c.Conn.SetReadDeadline(t)
}

// SetWriteDeadline implements [net.Conn].
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeEnd = t.UnixNano()
	return c.Conn.SetWriteDeadline(t)
}

// secure is what a server asks of a connection with TLS.
type secure interface {
	Handshake() error
	ConnectionState() tls.ConnectionState
}

// A tlsConn is a conn over TLS.
type tlsConn struct {
	conn
	tls secure
}

// Handshake runs the handshake, which may move the deadlines.
func (c *tlsConn) Handshake() error {
	err := c.tls.Handshake()
	c.readEnd, c.writeEnd = 0, 0
	return err
}

// ConnectionState returns what the handshake came to.
func (c *tlsConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }
