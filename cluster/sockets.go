package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxDatagram      = 64 << 10
	socketBuffer     = 4 << 20
	afterSocketError = 10 * time.Millisecond
	listenAttempts   = 10 // to find a port that is free for both protocols
)

// sockets carry packets over UDP and streams over TCP, on one port. memberlist has
// such a transport, too. That one takes 64 KiB of memory for every packet that comes,
// and when it ends, dials and streams go on.
type sockets struct {
	log       *slog.Logger
	packets   *net.UDPConn
	listener  *net.TCPListener
	bound     netip.AddrPort
	advertise netip.AddrPort // not valid: what bound is
	packetCh  chan *memberlist.Packet
	streamCh  chan net.Conn
	turns     *turnstile

	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu   sync.Mutex
	open map[*stream]bool
}

func openSockets(on, advertise netip.AddrPort, log *slog.Logger) (*sockets, error) {
	t := &sockets{
		log: log, advertise: advertise, open: make(map[*stream]bool),
		packetCh: make(chan *memberlist.Packet), streamCh: make(chan net.Conn),
	}
	var err error
	if err = t.bind(on); err != nil {
		return nil, err
	}
	if t.turns, err = newTurnstile(); err != nil {
		return nil, errors.Join(err, t.packets.Close(), t.listener.Close())
	}
	t.bound = t.listener.Addr().(*net.TCPAddr).AddrPort()
	_ = t.packets.SetReadBuffer(socketBuffer) // or as much as the system gives
	t.life, t.end = context.WithCancel(context.Background())
	t.work.Go(t.accept)
	t.work.Go(t.read)
	return t, nil
}

func (t *sockets) bind(on netip.AddrPort) (err error) {
	for range listenAttempts {
		if t.listener, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(on)); err != nil {
			return err
		}
		same := netip.AddrPortFrom(on.Addr(), t.listener.Addr().(*net.TCPAddr).AddrPort().Port())
		if t.packets, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(same)); err == nil {
			return nil
		}
		_ = t.listener.Close()
		if on.Port() != 0 {
			return err
		}
	}
	return err
}

// read passes packets on until Shutdown.
func (t *sockets) read() {
	buf := make([]byte, maxDatagram)
	for t.life.Err() == nil {
		n, from, err := t.packets.ReadFromUDPAddrPort(buf)
		if err != nil {
			t.failed("read packet", err)
			continue
		}
		p := &memberlist.Packet{
			Buf: append([]byte(nil), buf[:n]...), From: net.UDPAddrFromAddrPort(from), Timestamp: time.Now(),
		}
		if n == 0 {
			continue
		}
		select {
		case t.packetCh <- p:
		case <-t.life.Done():
		}
	}
}

// accept passes streams on until Shutdown.
func (t *sockets) accept() {
	for t.life.Err() == nil {
		conn, err := t.listener.AcceptTCP()
		if err != nil {
			t.failed("accept stream", err)
			continue
		}
		s := t.track(conn)
		if s == nil {
			_ = conn.Close()
			continue
		}
		select {
		case t.streamCh <- s:
		case <-t.life.Done():
			_ = s.Close()
		}
	}
}

func (t *sockets) failed(what string, err error) {
	if t.life.Err() == nil {
		t.log.Warn(what, "error", err)
		pause(t.life, afterSocketError)
	}
}

// A stream is a connection that ends with its transport.
type stream struct {
	*net.TCPConn
	t *sockets
}

func (s *stream) Close() error {
	s.t.mu.Lock()
	delete(s.t.open, s)
	s.t.mu.Unlock()
	return s.TCPConn.Close()
}

// track notes a stream, or returns nil if this is the end.
func (t *sockets) track(conn net.Conn) *stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.life.Err() != nil {
		return nil
	}
	s := &stream{conn.(*net.TCPConn), t}
	t.open[s] = true
	return s
}

// DialAddressTimeout implements [memberlist.NodeAwareTransport].
func (t *sockets) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.life, timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	s := t.track(conn)
	if s == nil {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	return s, nil
}

// WriteToAddress implements [memberlist.NodeAwareTransport].
func (t *sockets) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, err := netip.ParseAddrPort(a.Addr)
	if err != nil {
		return time.Time{}, fmt.Errorf("cluster: send to %s: %w", a.Addr, err)
	}
	_, err = t.packets.WriteToUDPAddrPort(b, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	return time.Now(), err
}

// FinalAdvertiseAddr implements [memberlist.Transport].
func (t *sockets) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	tell := t.bound
	if t.advertise.IsValid() {
		tell = t.advertise
		if tell.Port() == 0 {
			tell = netip.AddrPortFrom(tell.Addr(), t.bound.Port())
		}
	}
	addr := tell.Addr()
	if addr.IsUnspecified() {
		var err error
		if addr, err = ownAddr(); err != nil {
			return nil, 0, err
		}
	}
	return addr.Unmap().AsSlice(), int(tell.Port()), nil
}

// ownAddr returns an address of this machine's that others may know it by: a private
// one, if there is one.
func ownAddr() (own netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return own, err
	}
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if addr := prefix.Addr(); err == nil && addr.IsGlobalUnicast() && (!own.IsValid() || addr.IsPrivate() && !own.IsPrivate()) {
			own = addr
		}
	}
	if !own.IsValid() {
		return own, errors.New("cluster: this machine has no address that others could call: set Advertise")
	}
	return own, nil
}

// DialTimeout implements [memberlist.Transport].
func (t *sockets) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// WriteTo implements [memberlist.Transport].
func (t *sockets) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// PacketCh implements [memberlist.Transport].
func (t *sockets) PacketCh() <-chan *memberlist.Packet { return t.packetCh }

// StreamCh implements [memberlist.Transport].
func (t *sockets) StreamCh() <-chan net.Conn { return t.streamCh }

// Shutdown implements [memberlist.Transport]: it ends everything, and returns when
// nothing of it runs.
func (t *sockets) Shutdown() error {
	t.mu.Lock()
	t.end()
	open := t.open
	t.open = make(map[*stream]bool)
	t.mu.Unlock()
	closers := []io.Closer{t.packets, t.listener}
	for s := range open {
		closers = append(closers, s)
	}
	var errs []error
	for _, c := range closers {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	t.work.Wait()
	t.turns.close()
	return errors.Join(errs...)
}
