package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/svmgate/svmgate/store"
)

// SyslogConfig configures a syslog target. Network and Address are required.
type SyslogConfig struct {
	Network string // udp, tcp, tls or unix
	Address string // HOST:PORT, or the path of a socket

	Host string // name of this gateway

	// CA are the authorities of the server's certificate; if nil, those of this host.
	CA *x509.CertPool
}

// closeTimeout bounds how long the goodbye of a TLS connection may take.
const closeTimeout = time.Second

type syslog struct {
	cfg     SyslogConfig
	process string
	conn    net.Conn      // nil if there is none
	gone    chan struct{} // closed when the other side of conn is
	text    []byte
}

// Syslog returns a target that sends events to a syslog server: one a packet by UDP (RFC
// 5426) and to a socket, with their lengths before them by TCP (RFC 6587) and TLS (RFC
// 5425).
//
// Syslog knows no acknowledgement. By TCP and TLS, events count as taken when the other
// host has confirmed all bytes, where the system tells (Linux); by UDP when they are sent.
func Syslog(cfg SyslogConfig) Target {
	return &syslog{cfg: cfg, process: strconv.Itoa(os.Getpid())}
}

// Name implements [Target].
func (*syslog) Name() string { return "syslog" }

// Close implements [Target].
func (s *syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	err := s.conn.Close()
	if s.gone != nil {
		<-s.gone
	}
	s.conn, s.gone = nil, nil
	return err
}

// Deliver implements [Target].
func (s *syslog) Deliver(ctx context.Context, events []store.Event) (int, error) {
	taken, err := s.deliver(ctx, events)
	if err != nil {
		_ = s.Close() // what was sent last may never have come
	}
	return taken, err
}

func (s *syslog) deliver(ctx context.Context, events []store.Event) (int, error) {
	if s.left() {
		_ = s.Close()
	}
	if err := s.dial(ctx); err != nil {
		return 0, err
	}
	if at, ok := ctx.Deadline(); ok {
		if err := s.conn.SetWriteDeadline(at); err != nil {
			return 0, err
		}
	}
	if s.gone == nil {
		for i := range events {
			s.text = appendSyslog(s.text[:0], &events[i], s.cfg.Host, s.process)
			if _, err := s.conn.Write(s.text); err != nil {
				return i, err
			}
		}
		return len(events), nil
	}
	var frames []byte
	for i := range events {
		s.text = appendSyslog(s.text[:0], &events[i], s.cfg.Host, s.process)
		frames = append(strconv.AppendInt(frames, int64(len(s.text)), 10), ' ')
		frames = append(frames, s.text...)
	}
	if _, err := s.conn.Write(frames); err != nil {
		return 0, err
	}
	if err := s.confirmed(ctx); err != nil {
		return 0, err
	}
	return len(events), nil
}

func (s *syslog) dial(ctx context.Context) (err error) {
	if s.conn != nil {
		return nil
	}
	var dialer net.Dialer
	switch s.cfg.Network {
	case "udp":
		s.conn, err = dialer.DialContext(ctx, "udp", s.cfg.Address)
		return err
	case "unix":
		s.conn, err = dialer.DialContext(ctx, "unixgram", s.cfg.Address)
		return err
	case "tls":
		d := tls.Dialer{NetDialer: &dialer, Config: &tls.Config{RootCAs: s.cfg.CA, MinVersion: tls.VersionTLS12}}
		s.conn, err = d.DialContext(ctx, "tcp", s.cfg.Address)
	default:
		s.conn, err = dialer.DialContext(ctx, "tcp", s.cfg.Address)
	}
	if err != nil {
		s.conn = nil
		return err
	}
	s.gone = make(chan struct{})
	go listen(s.conn, s.gone)
	return nil
}

// listen reads what a server says, which is nothing, until it goes: else writing to one
// that has gone would seem to work once.
func listen(conn net.Conn, gone chan struct{}) {
	defer close(gone)
	buf := make([]byte, 512)
	for {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}

// left reports whether the server has closed the connection.
func (s *syslog) left() bool {
	select {
	case <-s.gone: // never, if nil
		return true
	default:
		return false
	}
}

var errLeft = errors.New("the server has closed the connection")

// confirmed waits until the other host has confirmed all that was sent.
func (s *syslog) confirmed(ctx context.Context) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		n, err := unconfirmed(s.conn)
		if n == 0 || err != nil {
			if err == nil && s.left() {
				err = errLeft
			}
			return err
		}
		select {
		case <-time.After(pause):
		case <-s.gone:
			return errLeft
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// unconfirmed is how many bytes the other host has not confirmed; 0 if nobody tells.
func unconfirmed(conn net.Conn) (n int, err error) {
	if c, ok := conn.(*tls.Conn); ok {
		conn = c.NetConn()
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return 0, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) { n, err = outgoing(int(fd)) })
	return n, errors.Join(controlErr, err)
}
