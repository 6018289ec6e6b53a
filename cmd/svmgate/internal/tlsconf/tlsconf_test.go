package tlsconf

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf/tlstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// A site is a directory with certificates.
type site struct {
	t     *testing.T
	ca    *tlstest.Authority
	paths Paths
}

func newSite(t *testing.T) *site {
	t.Helper()
	ca, err := tlstest.NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := &site{t, ca, Paths{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), ClientCA: filepath.Join(dir, "ca.pem")}}
	s.issue(tlstest.Leaf{Name: "first"})
	s.write(s.paths.ClientCA, string(ca.PEM))
	return s
}

func (s *site) issue(leaf tlstest.Leaf) {
	s.t.Helper()
	if err := s.ca.Write(s.paths.Cert, s.paths.Key, leaf); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) open() *Files {
	s.t.Helper()
	f, err := Open(s.paths, quiet)
	if err != nil {
		s.t.Fatal(err)
	}
	return f
}

// client returns a client's configuration, with a certificate if leaf is not nil.
func (s *site) client(ca *tlstest.Authority, leaf *tlstest.Leaf) *tls.Config {
	s.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.ca.PEM)
	c := &tls.Config{RootCAs: roots, ServerName: "localhost"}
	if leaf != nil {
		cert, key, err := ca.Issue(*leaf)
		if err != nil {
			s.t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			s.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// listen accepts on loopback until the test ends and sends each connection one
// byte, after a handshake where there is one.
func listen(t *testing.T, l *Listener) (addr string) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Listener, l.Log = inner, quiet
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if h, ok := c.(interface{ Handshake() error }); ok && h.Handshake() != nil {
					return
				}
				c.Write([]byte("!"))
				io.Copy(io.Discard, c)
			})
		}
	})
	t.Cleanup(func() { inner.Close(); wg.Wait() })
	return inner.Addr().String()
}

// dial returns the common name of the server, or an error.
func dial(addr string, c *tls.Config) (string, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", addr, c)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	// With TLS 1.3 a refused client certificate shows at the first read.
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		return "", err
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(*site)
		says  string
	}{
		{"no certificate", func(s *site) { os.Remove(s.paths.Cert) }, "tls-cert: open"},
		{"no key", func(s *site) { os.Remove(s.paths.Key) }, "tls-key: open"},
		{"not PEM", func(s *site) { s.write(s.paths.Cert, "x") }, "failed to find any PEM data"},
		{"key of another certificate", func(s *site) {
			other := filepath.Join(s.t.TempDir(), "other")
			s.ca.Write(other, s.paths.Key, tlstest.Leaf{})
		}, "private key does not match"},
		{"expired", func(s *site) { s.issue(tlstest.Leaf{Expires: time.Now().Add(-time.Minute)}) }, "expired at 20"},
		{"not yet valid", func(s *site) { s.issue(tlstest.Leaf{Expires: time.Now().Add(72 * time.Hour)}) }, "not valid before 20"},
		{"authorities without PEM", func(s *site) { s.write(s.paths.ClientCA, "x") }, "tls-client-ca"},
		{"no authorities", func(s *site) { os.Remove(s.paths.ClientCA) }, "tls-client-ca: open"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t)
			tt.spoil(s)
			if _, err := Open(s.paths, quiet); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Open = %v, want %q", err, tt.says)
			}
		})
	}
}

func TestReload(t *testing.T) {
	s := newSite(t)
	f := s.open()
	addr := listen(t, &Listener{TLS: f.Config("agent", NoClientCert)})
	serves := func(want string) {
		t.Helper()
		if got, err := dial(addr, s.client(nil, nil)); got != want || err != nil {
			t.Errorf("the server is %q (%v), want %q", got, err, want)
		}
	}
	serves("first")

	s.issue(tlstest.Leaf{Name: "second"})
	f.poll()
	serves("second")

	s.write(s.paths.Cert, "broken")
	f.poll()
	f.poll() // unchanged: not tried, not counted, not logged again
	serves("second")
	if got := f.Stats(); got.Reloads != 2 || got.Failures != 1 || !got.LastFailed {
		t.Errorf("after a broken file: %+v", got)
	}

	s.issue(tlstest.Leaf{Name: "third", Expires: time.Now().Add(-time.Hour)})
	if err := f.Reload(); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("Reload of an expired certificate = %v", err)
	}
	serves("second")

	s.issue(tlstest.Leaf{Name: "fourth"})
	if err := f.Reload(); err != nil {
		t.Error(err)
	}
	serves("fourth")
	if got := f.Stats(); got.Reloads != 3 || got.Failures != 2 || got.LastFailed || time.Until(got.NotAfter) <= 0 {
		t.Errorf("at the end: %+v", got)
	}
}

func TestWatchEnds(t *testing.T) {
	f := newSite(t).open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.Watch(ctx); close(done) }()
	cancel()
	<-done
}

func TestClientCertificates(t *testing.T) {
	s := newSite(t)
	other, err := tlstest.NewAuthority("other")
	if err != nil {
		t.Fatal(err)
	}
	f := s.open()
	tests := []struct {
		name string
		auth ClientAuth
		ca   *tlstest.Authority // nil: no certificate
		leaf tlstest.Leaf
		want bool
	}{
		{name: "none asked, none given", auth: NoClientCert, want: true},
		{name: "optional, none given", auth: VerifyIfGiven, want: true},
		{name: "optional, good", auth: VerifyIfGiven, ca: s.ca, want: true},
		{name: "optional, of a stranger", auth: VerifyIfGiven, ca: other},
		{name: "required, none given", auth: Require},
		{name: "required, good", auth: Require, ca: s.ca, want: true},
		{name: "required, of a stranger", auth: Require, ca: other},
		{name: "required, expired", auth: Require, ca: s.ca, leaf: tlstest.Leaf{Expires: time.Now().Add(-time.Minute)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := listen(t, &Listener{TLS: f.Config("agent", tt.auth)})
			c := s.client(nil, nil)
			if tt.ca != nil {
				c = s.client(tt.ca, &tt.leaf)
			}
			if tt.ca == other {
				// Clients leave out what the server does not ask for; insist.
				pair := c.Certificates[0]
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			if _, err := dial(addr, c); (err == nil) != tt.want {
				t.Errorf("error = %v, want success = %v", err, tt.want)
			}
		})
	}

	// The authorities change with their file, too.
	addr := listen(t, &Listener{TLS: f.Config("agent", Require)})
	s.write(s.paths.ClientCA, string(other.PEM))
	f.poll()
	if _, err := dial(addr, s.client(other, &tlstest.Leaf{})); err != nil {
		t.Errorf("a client of the new authority is refused: %v", err)
	}
}

func TestOldProtocolsAreRefused(t *testing.T) {
	s := newSite(t)
	addr := listen(t, &Listener{TLS: s.open().Config("agent", NoClientCert)})
	c := s.client(nil, nil)
	c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	if _, err := dial(addr, c); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, err := dial(addr, c); err != nil {
		t.Errorf("TLS 1.2 is refused: %v", err)
	}
}

func TestWhoMaySpeakPlain(t *testing.T) {
	s := newSite(t)
	config := s.open().Config("agent", NoClientCert)
	here, elsewhere := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, tt := range []struct {
		name string
		l    *Listener
		want string // first bytes of the answer to plain HTTP
	}{
		{"proxy that ended TLS", &Listener{TLS: config, Plain: here}, "!"},
		{"anybody else, told so", &Listener{TLS: config, Plain: elsewhere}, "HTTP/1.1 400"},
		{"no TLS, open", &Listener{}, "!"},
		{"no TLS, guarded, this host", &Listener{Guarded: true, Plain: elsewhere}, "!"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			addr := listen(t, tt.l)
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(30 * time.Second))
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			got := make([]byte, len(tt.want))
			if _, err := io.ReadFull(bufio.NewReader(c), got); err != nil || string(got) != tt.want {
				t.Errorf("answer %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

// A fakeConn is a connection from an address.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.from))
}
func (c *fakeConn) Close() error                { c.closed = true; return nil }
func (c *fakeConn) Write(b []byte) (int, error) { return len(b), nil }

func TestGuardedRefusesStrangers(t *testing.T) {
	l := &Listener{Guarded: true, Plain: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Log: quiet}
	for from, want := range map[string]bool{
		"192.0.2.9:1": true, "[::ffff:192.0.2.9]:1": true, "127.0.0.1:1": true, "[::1]:1": true, "198.51.100.1:1": false, "[2001:db8::1]:1": false,
	} {
		c := &fakeConn{from: from}
		if got := l.admit(c) != nil; got != want || c.closed == want {
			t.Errorf("from %s: admitted %v, closed %v; want admitted %v", from, got, c.closed, want)
		}
	}
	if got := l.Stats().Refused; got != 2 {
		t.Errorf("refused = %d, want 2", got)
	}
}

// A failing listener runs out of descriptors before it works.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	err := f.errs[0]
	f.errs = f.errs[1:]
	if err == nil {
		return &fakeConn{from: "127.0.0.1:1"}, nil
	}
	return nil, err
}

func TestAcceptOutlivesLackOfDescriptors(t *testing.T) {
	var log bytes.Buffer
	l := &Listener{Log: slog.New(slog.NewTextHandler(&log, nil)), Listener: &failing{errs: []error{
		&net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}, syscall.ECONNABORTED, nil, net.ErrClosed,
	}}}
	if _, err := l.Accept(); err != nil {
		t.Errorf("Accept = %v, want a connection", err)
	}
	if !strings.Contains(log.String(), "too many open files") {
		t.Errorf("the log does not say why: %s", &log)
	}
	if _, err := l.Accept(); err == nil {
		t.Error("Accept of a closed listener does not fail")
	}
}

// Clients that say hello and then nothing take nobody's turn.
func TestStalledHandshakesDoNotBlockOthers(t *testing.T) {
	s := newSite(t)
	l := &Listener{TLS: s.open().Config("agent", NoClientCert)}
	addr := listen(t, l)
	for range 2 * cap(turns) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// The client's first flight goes out; what the server says is not read.
		hello := tls.Client(silent{c}, s.client(nil, nil))
		go hello.Handshake()
	}
	if _, err := dial(addr, s.client(nil, nil)); err != nil {
		t.Errorf("a good client does not get through: %v", err)
	}
	for deadline := time.Now().Add(30 * time.Second); len(turns) != 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d turns are taken while nothing is computed", len(turns))
		}
	}
}

// fasthttp tells a client that is over the limit so from the goroutine that
// accepts: that must not wait for the client.
func TestWriteDoesNotRunTheHandshake(t *testing.T) {
	s := newSite(t)
	l := &Listener{TLS: s.open().Config("agent", NoClientCert), Log: quiet}
	server, client := net.Pipe()
	defer client.Close()
	server.SetDeadline(time.Now().Add(time.Second))
	l.Listener = &onePipe{c: server}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); !errors.Is(err, errNoHandshake) {
		t.Errorf("Write = %v, want %v", err, errNoHandshake)
	}
}

// onePipe accepts one connection.
type onePipe struct {
	net.Listener
	c net.Conn
}

func (p *onePipe) Accept() (net.Conn, error) { return p.c, nil }

func TestHandshakesAreCounted(t *testing.T) {
	s := newSite(t)
	l := &Listener{TLS: s.open().Config("agent", NoClientCert)}
	addr := listen(t, l)
	if _, err := dial(addr, s.client(nil, nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(addr, &tls.Config{ServerName: "localhost"}); err == nil {
		t.Fatal("a client that trusts nobody is content")
	}
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		if got := l.Stats(); got == (ListenerStats{Handshakes: 1, Failed: 1}) {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("counted %+v, want one of each", got)
		}
	}
}

// silent never reads.
type silent struct{ net.Conn }

func (silent) Read([]byte) (int, error) { return 0, io.EOF }
