package express

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// Answer appends a whole answer to dst, made by [Request.Append], and returns its status.
// A status of 0 leaves the request to the server: nothing must have come of it then. It
// is called from many goroutines; r and what it points to are valid until it returns.
type Answer func(dst []byte, r *Request) (answer []byte, status int)

// A Listener is what a server accepts its connections from. Create one with [Before].
type Listener struct {
	net.Listener
	server *fasthttp.Server
	log    *slog.Logger
	count  func(conn uint64, status int)

	answer atomic.Pointer[Answer]
	closed atomic.Bool
	conns  atomic.Uint64
	last   atomic.Uint64 // number of the connection that looked around last

	mu   sync.Mutex
	open map[*conn]struct{}
}

// Before returns a listener from which srv is to serve in the place of ln, and makes srv
// tell it of its connections. The server's timeouts apply. count is called with the
// number of a connection and the status of each answer that the server does not make.
func Before(srv *fasthttp.Server, ln net.Listener, count func(conn uint64, status int), log *slog.Logger) *Listener {
	srv.ConnState = track
	return &Listener{Listener: ln, server: srv, count: count, log: log, open: map[*conn]struct{}{}}
}

// Use makes a the one that answers from now on. If a is nil, the server answers all.
func (l *Listener) Use(a Answer) {
	if a == nil {
		l.answer.Store(nil)
		return
	}
	l.answer.Store(&a)
}

// Accept implements [net.Listener].
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.Wrap(c), nil
}

// Close implements [net.Listener]. From then on the server gets all requests: it says in
// its answers that the connection ends. Connections on which nobody asks end at once: the
// server would not end those of which it has heard nothing yet, as it takes them for ones
// with a request.
func (l *Listener) Close() error {
	l.closed.Store(true)
	err := l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if c.state.CompareAndSwap(idle, closed) {
			_ = c.Conn.SetReadDeadline(longAgo) // its Read returns, and the server closes it
		}
	}
	return err
}

var longAgo = time.Unix(1, 0)

// Wrap returns a connection that the server is to use in the place of inner.
func (l *Listener) Wrap(inner net.Conn) net.Conn {
	c := &tlsConn{conn: conn{Conn: inner, l: l, number: l.conns.Add(1), between: true}}
	l.mu.Lock()
	l.open[&c.conn] = struct{}{}
	l.mu.Unlock()
	if t, ok := inner.(secure); ok {
		c.tls = t
		return c
	}
	return &c.conn
}

// current returns who answers, or nil.
func (l *Listener) current() *Answer {
	if l.closed.Load() {
		return nil
	}
	return l.answer.Load()
}

// track is the ConnState of a server behind a [Listener].
func track(c net.Conn, state fasthttp.ConnState) {
	if c, ok := c.(interface {
		track(state fasthttp.ConnState)
	}); ok {
		c.track(state)
	}
}
