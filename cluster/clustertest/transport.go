package clustertest

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

// A Transport is what a node is given as its network.
type Transport struct {
	net     *Network
	host    *host
	packets chan *memberlist.Packet
	streams chan net.Conn
	once    sync.Once
	closed  chan struct{}
}

var _ memberlist.NodeAwareTransport = (*Transport)(nil)

// Transport lets a node listen at the host of this name. The one before it is ended
// as by [Network.Crash].
func (n *Network) Transport(name string) *Transport {
	n.Crash(name)
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hostLocked(name)
	t := &Transport{
		net: n, host: h, closed: make(chan struct{}),
		packets: make(chan *memberlist.Packet, inbox), streams: make(chan net.Conn, 128),
	}
	h.listener = t
	return t
}

// take reports whether there was room for a packet.
func (t *Transport) take(p *memberlist.Packet) bool {
	select {
	case t.packets <- p:
		return true
	default:
		return false
	}
}

// FinalAdvertiseAddr implements [memberlist.Transport].
func (t *Transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return t.host.ip, port, nil
}

// WriteTo implements [memberlist.Transport].
func (t *Transport) WriteTo(b []byte, addr string) (time.Time, error) {
	if err := t.running(); err != nil {
		return time.Time{}, opError("write", "udp", err)
	}
	t.net.send(t.host, addr, b)
	return time.Now(), nil
}

// WriteToAddress implements [memberlist.NodeAwareTransport].
func (t *Transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

// PacketCh implements [memberlist.Transport].
func (t *Transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements [memberlist.Transport].
func (t *Transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout implements [memberlist.Transport]. A host that can not be reached
// does not answer; one where nobody listens refuses.
func (t *Transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	if err := t.running(); err != nil {
		return nil, opError("dial", "tcp", err)
	}
	t.net.mu.Lock()
	to := t.net.byAddr[addr]
	trip := 2 * t.net.faults.Delay
	t.net.mu.Unlock()
	if to == nil || t.net.severed(t.host.name, to.name) || trip > timeout {
		return nil, opError("dial", "tcp", t.wait(timeout, os.ErrDeadlineExceeded))
	}
	if err := t.wait(trip, nil); err != nil {
		return nil, opError("dial", "tcp", err)
	}
	return t.net.connect(t.host, to)
}

// DialAddressTimeout implements [memberlist.NodeAwareTransport].
func (t *Transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// Shutdown implements [memberlist.Transport].
func (t *Transport) Shutdown() error {
	t.once.Do(func() {
		t.net.mu.Lock()
		if t.host.listener == t {
			t.host.listener = nil
		}
		t.net.mu.Unlock()
		close(t.closed)
	})
	return nil
}

// running waits while the host is paused.
func (t *Transport) running() error {
	for {
		select {
		case <-t.closed:
			return net.ErrClosed
		default:
		}
		paused := t.net.pause(t.host.name)
		if paused == nil {
			return nil
		}
		select {
		case <-paused:
		case <-t.closed:
		}
	}
}

// wait returns err after some time, or another one if the transport ends first.
func (t *Transport) wait(d time.Duration, err error) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return err
	case <-t.closed:
		return net.ErrClosed
	}
}

// connect opens a stream, if somebody listens.
func (n *Network) connect(from, to *host) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	refused := opError("dial", "tcp", syscall.ECONNREFUSED)
	if to.listener == nil || from.listener == nil || !n.openLocked(from.name, to.name) || !n.openLocked(to.name, from.name) {
		return nil, refused
	}
	s := newStream(n, from, to)
	select {
	case to.listener.streams <- s.accepted:
		n.streams[s] = true
		return s.dialed, nil
	default:
		return nil, refused
	}
}

// opError is as package net has it: memberlist looks at what failed.
func opError(op, network string, err error) error {
	return &net.OpError{Op: op, Net: network, Err: err}
}

// Network and String make a host an address.
func (h *host) Network() string { return "memory" }
func (h *host) String() string  { return h.addr }
