package cluster

import (
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// Bounds of what strangers can make this node hold: memberlist itself would read up
// to 20 MiB of a stream before it asks whether the key is right, of any number of
// streams.
const (
	maxStreams         = 64                   // that are read at a time
	maxStreamsFromHost = maxStreams / 2       // of those
	maxUnread          = 1024                 // streams that wait to be read: others are closed
	maxUnreadFromHost  = maxUnread / 2        // of those
	maxStream          = maxMessage + 256<<10 // bytes: a message, or all that push/pull tells
	maxDialed          = 10 * time.Second     // for all that is done with a stream of our own
)

var errStreamTooLong = errors.New("cluster: the stream is longer than any message")

// A guard bounds the streams of a transport. Of those that come, how many and how
// long they are; of those that go out, for how long a peer that reads nothing can
// hold up whoever writes.
type guard struct {
	memberlist.NodeAwareTransport
	refused func(host string) // is told of streams that are closed

	streams chan net.Conn
	over    chan *guarded // is told of streams that have been read
	closing chan struct{} // streams are not wanted any more
	closed  chan struct{} // nor do more come
	once    sync.Once
	wait    sync.WaitGroup

	// Only accept reads and writes these.
	reading int
	waiting []*guarded
	hosts   map[string]*struct{ reading, waiting int }
}

func newGuard(t memberlist.Transport, refused func(host string)) *guard {
	aware, ok := t.(memberlist.NodeAwareTransport)
	if !ok {
		aware = nameless{t}
	}
	g := &guard{
		NodeAwareTransport: aware, refused: refused,
		streams: make(chan net.Conn), over: make(chan *guarded),
		closing: make(chan struct{}), closed: make(chan struct{}),
		hosts: make(map[string]*struct{ reading, waiting int }),
	}
	g.wait.Go(g.accept)
	return g
}

// nameless makes do without the names of those it sends to.
type nameless struct{ memberlist.Transport }

func (t nameless) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, to.Addr)
}

func (t nameless) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(to.Addr, timeout)
}

// StreamCh implements [memberlist.Transport].
func (g *guard) StreamCh() <-chan net.Conn { return g.streams }

// DialTimeout implements [memberlist.Transport].
func (g *guard) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return g.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements [memberlist.NodeAwareTransport].
func (g *guard) DialAddressTimeout(to memberlist.Address, timeout time.Duration) (net.Conn, error) {
	conn, err := g.NodeAwareTransport.DialAddressTimeout(to, timeout)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(maxDialed))
}

// Shutdown implements [memberlist.Transport]. The transport may wait until its last
// stream is taken, so it ends first.
func (g *guard) Shutdown() error {
	g.once.Do(func() { close(g.closing) })
	err := g.NodeAwareTransport.Shutdown()
	select {
	case <-g.closed:
	default:
		close(g.closed)
	}
	g.wait.Wait()
	return err
}

func (g *guard) accept() {
	defer func() {
		for _, c := range g.waiting {
			_ = c.Conn.Close()
		}
	}()
	for {
		select {
		case conn := <-g.NodeAwareTransport.StreamCh():
			g.admit(&guarded{Conn: conn, guard: g, host: hostOf(conn.RemoteAddr()), left: maxStream})
		case c := <-g.over:
			g.reading--
			g.hosts[c.host].reading--
			g.forget(c.host)
		case <-g.closed:
			return
		}
		g.pass()
	}
}

// admit lets a stream wait, or closes it.
func (g *guard) admit(c *guarded) {
	h := g.hosts[c.host]
	if h == nil {
		h = new(struct{ reading, waiting int })
		g.hosts[c.host] = h
	}
	if len(g.waiting) >= maxUnread || h.waiting >= maxUnreadFromHost {
		_ = c.Conn.Close()
		g.refused(c.host)
		return
	}
	h.waiting++
	g.waiting = append(g.waiting, c)
}

// pass lets streams be read that waited, the longest first.
func (g *guard) pass() {
	if g.reading >= maxStreams {
		return
	}
	g.waiting = slices.DeleteFunc(g.waiting, func(c *guarded) bool {
		h := g.hosts[c.host]
		if g.reading >= maxStreams || h.reading >= maxStreamsFromHost {
			return false
		}
		h.waiting--
		select {
		case g.streams <- c:
			h.reading++
			g.reading++
		case <-g.closing:
			_ = c.Conn.Close()
			g.forget(c.host)
		}
		return true
	})
}

// forget drops a host that has no streams.
func (g *guard) forget(host string) {
	if h := g.hosts[host]; h.reading == 0 && h.waiting == 0 {
		delete(g.hosts, host)
	}
}

func hostOf(addr net.Addr) string {
	if host, _, err := net.SplitHostPort(addr.String()); err == nil {
		return host
	}
	return addr.String()
}

// A guarded stream came from somebody.
type guarded struct {
	net.Conn
	guard *guard
	host  string
	left  int // bytes that may be read
	once  sync.Once
}

func (c *guarded) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, errStreamTooLong
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

func (c *guarded) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		select {
		case c.guard.over <- c:
		case <-c.guard.closed:
		}
	})
	return err
}
