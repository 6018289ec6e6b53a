package clustertest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// window is how much of a stream may be on its way: a writer that is further ahead
// of the reader waits.
const window = 64 << 10

// resend is how long a stream is held up where a packet would have been lost.
const resend = 200 * time.Millisecond

// A stream is a connection, as both its ends have it.
type stream struct {
	net              *Network
	from, to         string
	dialed, accepted *conn
}

func newStream(n *Network, from, to *host) *stream {
	s := &stream{net: n, from: from.name, to: to.name}
	there, back := newPipe(), newPipe()
	s.dialed = &conn{stream: s, local: from, remote: to, in: back, out: there}
	s.accepted = &conn{stream: s, local: to, remote: from, in: there, out: back}
	return s
}

// reset breaks both directions.
func (s *stream) reset() {
	s.dialed.in.end(syscall.ECONNRESET, true)
	s.dialed.out.end(syscall.ECONNRESET, true)
	s.done()
}

func (s *stream) done() {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	delete(s.net.streams, s)
}

// A conn is one end of a stream.
type conn struct {
	stream        *stream
	local, remote *host
	in, out       *pipe
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b, func() <-chan struct{} { return c.stream.net.pause(c.local.name) })
	if err != nil && !errors.Is(err, io.EOF) {
		err = opError("read", "tcp", err)
	}
	return n, err
}

func (c *conn) Write(b []byte) (n int, err error) {
	for n < len(b) {
		if paused := c.stream.net.pause(c.local.name); paused != nil {
			<-paused
		}
		part := b[n:min(len(b), n+window)]
		if err := c.out.write(part, c.stream.net.passage(c.local.name, c.remote.name)); err != nil {
			return n, opError("write", "tcp", err)
		}
		n += len(part)
	}
	return n, nil
}

// Close lets the other end read what is on its way, and then the end.
func (c *conn) Close() error {
	c.out.end(io.EOF, false)
	c.in.end(net.ErrClosed, true)
	c.stream.done()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *conn) SetReadDeadline(t time.Time) error  { c.in.setDeadline(&c.in.readBy, t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.out.setDeadline(&c.out.writeBy, t); return nil }

// passage is how long a part of a stream takes from one host to another.
func (n *Network) passage(from, to string) time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	chance := n.chanceLocked(from, to)
	d := n.faults.Delay + time.Duration(chance.Float64()*float64(n.faults.Jitter))
	if chance.Float64() < n.faults.Loss {
		d += resend
	}
	return d
}

// A pipe is one direction of a stream.
type pipe struct {
	mu              sync.Mutex
	changed         chan struct{} // closed, and made anew, whenever something below changes
	parts           []part
	size            int
	ended           error // what a reader gets after the parts, and a writer at once
	readBy, writeBy time.Time
}

type part struct {
	at time.Time // when it arrives
	b  []byte
}

func newPipe() *pipe { return &pipe{changed: make(chan struct{})} }

func (p *pipe) changeLocked() {
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *pipe) setDeadline(which *time.Time, t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*which = t
	p.changeLocked()
}

// end is the last change; what is on its way may be lost by it.
func (p *pipe) end(err error, lose bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended == nil {
		p.ended = err
	}
	if lose {
		p.parts, p.size = nil, 0
	}
	p.changeLocked()
}

// write sends a part that takes so long, when there is room.
func (p *pipe) write(b []byte, takes time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.ended != nil && !errors.Is(p.ended, io.EOF):
			return syscall.EPIPE
		case p.ended != nil:
			return net.ErrClosed
		case expired(p.writeBy):
			return os.ErrDeadlineExceeded
		case p.size == 0 || p.size+len(b) <= window:
			at := time.Now().Add(takes)
			if n := len(p.parts); n > 0 && at.Before(p.parts[n-1].at) {
				at = p.parts[n-1].at
			}
			p.parts = append(p.parts, part{at, bytes.Clone(b)})
			p.size += len(b)
			p.changeLocked()
			return nil
		}
		p.waitLocked(p.writeBy)
	}
}

// read reads what has arrived, unless the host of the reader is paused.
func (p *pipe) read(b []byte, pause func() <-chan struct{}) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if paused := pause(); paused != nil {
			p.mu.Unlock()
			<-paused
			p.mu.Lock()
		}
		arrived := len(p.parts) > 0 && !p.parts[0].at.After(time.Now())
		switch {
		case arrived:
			n := copy(b, p.parts[0].b)
			if p.parts[0].b = p.parts[0].b[n:]; len(p.parts[0].b) == 0 {
				p.parts = p.parts[1:]
			}
			p.size -= n
			p.changeLocked()
			return n, nil
		case len(p.parts) == 0 && p.ended != nil:
			return 0, p.ended
		case expired(p.readBy):
			return 0, os.ErrDeadlineExceeded
		}
		until := p.readBy
		if len(p.parts) > 0 && (until.IsZero() || p.parts[0].at.Before(until)) {
			until = p.parts[0].at
		}
		p.waitLocked(until)
	}
}

// waitLocked waits for a change, or a moment.
func (p *pipe) waitLocked(until time.Time) {
	changed := p.changed
	p.mu.Unlock()
	defer p.mu.Lock()
	if until.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

func expired(deadline time.Time) bool {
	return !deadline.IsZero() && !deadline.After(time.Now())
}
