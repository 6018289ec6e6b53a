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
	maxShort           = 1 << 20              // bytes: what is not a single large record, or much news of members
	maxLong            = 2                    // streams at a time of which more is read: others wait
	maxStream          = maxMessage + 256<<10 // bytes: any message, or all that push/pull tells
	maxDialed          = 10 * time.Second     // for all that is done with a stream of our own
)

var errStreamTooLong = errors.New("cluster: the stream is longer than any message")

// A guard bounds the streams of a transport. Of those that come, how many and how
// long they are; of those that go out, for how long a peer that reads nothing can
// hold up whoever writes.
type guard struct {
	meter
	refused func(host string) // is told of streams that are closed

	streams chan net.Conn
	over    chan *guarded // is told of streams that have been read
	long    chan struct{} // has one for each stream of which much is read
	closed  chan struct{}
	once    sync.Once
	wait    sync.WaitGroup

	// Only accept reads and writes these.
	reading int
	waiting []*guarded
	hosts   map[string]*struct{ reading, waiting int }
}

func newGuard(t memberlist.Transport, counted *sent, refused func(host string)) *guard {
	aware, ok := t.(memberlist.NodeAwareTransport)
	if !ok {
		aware = nameless{t}
	}
	g := &guard{
		meter: meter{aware, counted}, refused: refused,
		streams: make(chan net.Conn), over: make(chan *guarded), long: make(chan struct{}, maxLong),
		closed: make(chan struct{}), hosts: make(map[string]*struct{ reading, waiting int }),
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
	return g.stream(conn), conn.SetDeadline(time.Now().Add(maxDialed))
}

// Shutdown implements [memberlist.Transport]. The transport may wait until its last
// stream is taken, so it ends first.
func (g *guard) Shutdown() error {
	err := g.NodeAwareTransport.Shutdown()
	g.once.Do(func() { close(g.closed) })
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
		next, out := g.next(), g.streams
		if next == nil {
			out = nil
		}
		select {
		case conn := <-g.NodeAwareTransport.StreamCh():
			g.admit(&guarded{Conn: g.stream(conn), guard: g, host: hostOf(conn.RemoteAddr())})
		case out <- next:
			g.waiting = slices.DeleteFunc(g.waiting, func(c *guarded) bool { return c == next })
			h := g.hosts[next.host]
			h.waiting--
			h.reading++
			g.reading++
		case c := <-g.over:
			h := g.hosts[c.host]
			h.reading--
			g.reading--
			if h.reading == 0 && h.waiting == 0 {
				delete(g.hosts, c.host)
			}
		case <-g.closed:
			return
		}
	}
}

// next returns the stream that may be read next, or nil: the one that has waited for
// longest, of hosts of which not too many are read.
func (g *guard) next() *guarded {
	if g.reading < maxStreams {
		for _, c := range g.waiting {
			if g.hosts[c.host].reading < maxStreamsFromHost {
				return c
			}
		}
	}
	return nil
}

// admit lets a stream wait, or closes it.
func (g *guard) admit(c *guarded) {
	h := g.hosts[c.host]
	if len(g.waiting) >= maxUnread || h != nil && h.waiting >= maxUnreadFromHost {
		_ = c.Conn.Close()
		g.refused(c.host)
		return
	}
	if h == nil {
		h = new(struct{ reading, waiting int })
		g.hosts[c.host] = h
	}
	h.waiting++
	g.waiting = append(g.waiting, c)
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
	read  int  // bytes
	long  bool // it is one of the guard's long ones
	once  sync.Once
}

func (c *guarded) Read(b []byte) (int, error) {
	if c.read == maxShort && !c.long && !c.lengthen() || c.read == maxStream {
		return 0, errStreamTooLong
	}
	limit := maxShort
	if c.long {
		limit = maxStream
	}
	n, err := c.Conn.Read(b[:min(len(b), limit-c.read)])
	c.read += n
	return n, err
}

// lengthen waits until more may be read, for as long as anybody wants to read.
func (c *guarded) lengthen() bool {
	late := time.NewTimer(streamTimeout)
	defer late.Stop()
	select {
	case c.guard.long <- struct{}{}:
		c.long = true
	case <-late.C:
	case <-c.guard.closed:
	}
	return c.long
}

func (c *guarded) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		if c.long {
			<-c.guard.long
		}
		select {
		case c.guard.over <- c:
		case <-c.guard.closed:
		}
	})
	return err
}
