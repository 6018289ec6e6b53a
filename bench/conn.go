package bench

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// maxAnswer bounds an answer, in bytes: a batch has at most 10,000 lines.
const maxAnswer = 64 << 20

// maxIdle is how long a connection may rest until a gateway may have closed it
// by right. A request that finds it closed then is sent again on a new one.
const maxIdle = time.Second

// A dialer makes connections to one address.
type dialer struct {
	network net.Dialer
	address string
	host    string      // the header
	path    string      // what paths begin with
	tls     *tls.Config // nil without TLS
	fresh   bool        // one connection for each request
}

func (c *Config) dialer() (*dialer, error) {
	u, err := c.plane("Target", c.Target)
	if err != nil {
		return nil, err
	}
	d := &dialer{address: address(u), host: u.Host, path: u.EscapedPath(), fresh: c.NewConnections, network: net.Dialer{Timeout: c.Timeout, KeepAlive: -1}}
	for len(d.path) > 0 && d.path[len(d.path)-1] == '/' {
		d.path = d.path[:len(d.path)-1]
	}
	if u.Scheme == "http" {
		return d, nil
	}
	d.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		d.tls = c.TLS.Clone()
	}
	if d.tls.ServerName == "" {
		d.tls.ServerName = u.Hostname()
	}
	d.tls.ClientSessionCache = nil
	return d, nil
}

func address(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	return net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}

// profile is how connections are used, in words.
func (c *Config) profile() Profile {
	p := Profile{Connections: "keepAlive", TLS: "none"}
	if c.NewConnections {
		p.Connections = "new"
	}
	if len(c.Target) >= 6 && c.Target[:6] == "https:" {
		p.TLS = "resumed"
		if c.FullHandshakes {
			p.TLS = "full"
		}
	}
	return p
}

// A conn is a connection that is made when it is needed, again and again. It is
// used by one goroutine, but for interrupt.
type conn struct {
	*dialer
	tls *tls.Config // with a session cache of its own: an agent has no other's sessions

	nc       net.Conn
	live     atomic.Pointer[net.Conn] // the last one, for interrupt
	in       *bufio.Reader
	answer   fasthttp.Response
	deadline time.Time
	used     time.Time
	made     Connects
}

func newConn(d *dialer, resume bool) *conn {
	c := &conn{dialer: d, in: bufio.NewReaderSize(nil, 4096)}
	c.answer.Header.DisableNormalizing()
	if d.tls != nil {
		c.tls = d.tls.Clone()
		if resume {
			c.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		}
	}
	return c
}

// errDial is of a connection that could not be made.
type errDial struct{ error }

func (e errDial) Unwrap() error { return e.error }

func (c *conn) dial(ctx context.Context, timeout time.Duration) error {
	nc, err := c.network.DialContext(ctx, "tcp", c.address)
	if err != nil {
		return errDial{err}
	}
	if c.made.Dialed++; c.tls != nil {
		_ = nc.SetDeadline(time.Now().Add(timeout))
		secure := tls.Client(nc, c.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return errHandshake{err}
		}
		if secure.ConnectionState().DidResume {
			c.made.Resumed++
		} else {
			c.made.Full++
		}
		nc = secure
	}
	c.nc, c.deadline = nc, time.Time{}
	c.live.Store(&nc)
	c.in.Reset(nc)
	return nil
}

type errHandshake struct{ error }

func (e errHandshake) Unwrap() error { return e.error }

// exchange sends a request and reads its answer, which stays valid until the
// next. A timeout may be a quarter late, because setting one for every request
// would cost too much. ctx ends it only together with interrupt.
func (c *conn) exchange(ctx context.Context, now time.Time, request []byte, timeout time.Duration) (int, error) {
	kept := c.nc != nil
	rested := kept && now.Sub(c.used) > maxIdle
	status, err := c.try(ctx, now, request, timeout)
	if err != nil && rested && isClosed(err) {
		status, err = c.try(ctx, now, request, timeout)
	}
	c.used = now
	return status, err
}

func (c *conn) try(ctx context.Context, now time.Time, request []byte, timeout time.Duration) (int, error) {
	if c.nc == nil {
		if err := c.dial(ctx, timeout); err != nil {
			return 0, err
		}
	}
	if c.deadline.Before(now.Add(timeout)) {
		c.deadline = now.Add(timeout + timeout/4)
		_ = c.nc.SetDeadline(c.deadline) // an error of it is one of the next write
	}
	if err := ctx.Err(); err != nil { // after the deadline is set: interrupt comes later
		return 0, err
	}
	_, err := c.nc.Write(request)
	if err == nil {
		err = c.answer.ReadLimitBody(c.in, maxAnswer)
	}
	if err != nil || c.fresh || c.answer.ConnectionClose() {
		c.close()
	}
	return c.answer.StatusCode(), err
}

// interrupt ends an exchange whose ctx has ended.
func (c *conn) interrupt() {
	if nc := c.live.Load(); nc != nil {
		_ = (*nc).SetDeadline(time.Unix(1, 0))
	}
}

func (c *conn) close() {
	if c.nc != nil {
		_ = c.nc.Close()
		c.nc = nil
	}
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// kindOf names an error by what it is, not by its addresses and ports, so that
// equal ones are counted together.
func kindOf(err error) string {
	var (
		timeout   interface{ Timeout() bool }
		dial      errDial
		handshake errHandshake
	)
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no local port is free"
	case errors.Is(err, syscall.EMFILE):
		return "too many open files"
	case errors.As(err, &dial):
		return "connection refused"
	case errors.As(err, &handshake):
		return "TLS handshake failed"
	case isClosed(err):
		return "connection closed"
	}
	return "malformed answer"
}
