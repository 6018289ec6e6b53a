package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A listening server of streams: what it was sent, by connection.
type collector struct {
	t        *testing.T
	listener net.Listener
	mu       sync.Mutex
	conns    []net.Conn
	took     []string
	done     sync.WaitGroup
}

func collect(t *testing.T, listener net.Listener) *collector {
	c := &collector{t: t, listener: listener}
	c.done.Go(c.accept)
	t.Cleanup(c.close)
	return c
}

func (c *collector) close() {
	_ = c.listener.Close()
	c.mu.Lock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.done.Wait()
}

func (c *collector) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		c.mu.Unlock()
		c.done.Go(func() { c.read(conn) })
	}
}

// read reads frames with their lengths before them.
func (c *collector) read(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		var size int
		if _, err := fmt.Fscanf(r, "%d", &size); err != nil {
			return
		}
		space, _ := r.ReadByte()
		text := make([]byte, size)
		if _, err := io.ReadFull(r, text); err != nil {
			return
		}
		m, err := parseSyslog(string(text))
		if err != nil || space != ' ' {
			c.t.Errorf("after %d bytes and %q: %v", size, space, err)
			return
		}
		c.mu.Lock()
		c.took = append(c.took, m.text)
		c.mu.Unlock()
	}
}

// has waits until it has so many messages, and returns those that there are.
func (c *collector) has(n int) []string {
	deadline := time.Now().Add(time.Minute)
	for {
		c.mu.Lock()
		got := slices.Clone(c.took)
		c.mu.Unlock()
		if len(got) >= n || time.Now().After(deadline) {
			return got
		}
		time.Sleep(time.Millisecond)
	}
}

// connections is how many came.
func (c *collector) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.conns)
}

func messagesOf(events []store.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Message)
	}
	return all
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	return l
}

func TestSyslogByTCP(t *testing.T) {
	l := listenTCP(t)
	c := collect(t, l)
	target := Syslog(SyslogConfig{Network: "tcp", Address: l.Addr().String(), Host: "gw-1"})
	defer target.Close()
	events := someEvents(300)
	for chunk := range slices.Chunk(events, 100) {
		check(t, deliver(t, target, chunk...))
	}
	if got := c.has(300); !slices.Equal(got, messagesOf(events)) || c.connections() != 1 {
		t.Errorf("%d messages by %d connections", len(got), c.connections())
	}
}

// TestSyslogServerThatGoes closes connections, and is not there for a time: what it had
// not read comes again.
func TestSyslogServerThatGoes(t *testing.T) {
	l := listenTCP(t)
	address := l.Addr().String()
	c := collect(t, l)
	target := Syslog(SyslogConfig{Network: "tcp", Address: address})
	defer target.Close()
	events := someEvents(3)
	check(t, deliver(t, target, events[0]))
	c.has(1)
	c.close()
	<-target.(*syslog).gone // nobody is there, and it is known before anything is sent
	for range 3 {
		if err := deliver(t, target, events[1]); err == nil {
			t.Error("an event is taken by nobody")
		}
	}
	l, err := net.Listen("tcp", address)
	check(t, err)
	c2 := collect(t, l)
	check(t, deliver(t, target, events[1:]...))
	if got := c2.has(2); !slices.Equal(got, messagesOf(events[1:])) {
		t.Errorf("after it is back: %q", got)
	}
}

// TestSyslogServerThatHangsUp between events is no failure.
func TestSyslogServerThatHangsUp(t *testing.T) {
	l := listenTCP(t)
	c := collect(t, l)
	target := Syslog(SyslogConfig{Network: "tcp", Address: l.Addr().String()})
	defer target.Close()
	events := someEvents(5)
	for i := range events {
		check(t, deliver(t, target, events[i]))
		c.has(i + 1)
		c.mu.Lock()
		conn := c.conns[i]
		c.mu.Unlock()
		check(t, conn.Close())
		<-target.(*syslog).gone
	}
	if got := c.has(5); !slices.Equal(got, messagesOf(events)) {
		t.Errorf("took %q", got)
	}
}

// TestSyslogServerThatTakesNothing is full: nothing counts as taken that it has not
// confirmed.
func TestSyslogServerThatTakesNothing(t *testing.T) {
	l := listenTCP(t)
	defer l.Close()
	target := Syslog(SyslogConfig{Network: "tcp", Address: l.Addr().String()})
	defer target.Close()
	conns := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			conns <- conn
		}
	}()
	big := someEvents(100)
	for i := range big {
		big[i].Message = strings.Repeat("x", 1000)
	}
	taken := 0
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		n, err := target.Deliver(ctx, big)
		cancel()
		if err != nil {
			break
		}
		if taken += n; taken > 1_000_000 {
			t.Fatal("a server that reads nothing takes everything")
		}
	}
	conn := <-conns
	defer conn.Close()
	check(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	var read int
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if read += n; err != nil {
			break
		}
	}
	if read < taken*1000 {
		t.Errorf("%d events count as taken, and only %d bytes have come", taken, read)
	}
}

func TestSyslogByTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	l := listenTCP(t)
	c := collect(t, tls.NewListener(l, &tls.Config{Certificates: web.TLS.Certificates, MinVersion: tls.VersionTLS12}))
	known := x509.NewCertPool()
	known.AddCert(web.Certificate())
	target := Syslog(SyslogConfig{Network: "tls", Address: l.Addr().String(), CA: known})
	defer target.Close()
	events := someEvents(150)
	check(t, deliver(t, target, events...))
	if got := c.has(150); !slices.Equal(got, messagesOf(events)) {
		t.Errorf("%d messages", len(got))
	}
	stranger := Syslog(SyslogConfig{Network: "tls", Address: l.Addr().String()})
	defer stranger.Close()
	if err := deliver(t, stranger, events[0]); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a server that nobody knows: %v", err)
	}
}

// packets reads so many messages, one a packet.
func packets(t *testing.T, conn net.PacketConn, n int) (texts []string) {
	t.Helper()
	buf := make([]byte, 64<<10)
	check(t, conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	for range n {
		size, _, err := conn.ReadFrom(buf)
		check(t, err)
		m, err := parseSyslog(string(buf[:size]))
		check(t, err)
		texts = append(texts, m.text)
	}
	return texts
}

func TestSyslogByPackets(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "log")
	for network, address := range map[string]string{"udp": "127.0.0.1:0", "unixgram": socket} {
		conn, err := net.ListenPacket(network, address)
		check(t, err)
		target := Syslog(SyslogConfig{Network: strings.TrimSuffix(network, "gram"), Address: conn.LocalAddr().String()})
		events := someEvents(5)
		check(t, deliver(t, target, events...))
		if got := packets(t, conn, 5); !slices.Equal(got, messagesOf(events)) {
			t.Errorf("%s: %q", network, got)
		}
		check(t, conn.Close())
		taken, err := 0, error(nil)
		for range 100 { // by UDP it takes a moment to know
			if taken, err = target.Deliver(t.Context(), events); err != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if err == nil {
			t.Errorf("%s: nobody is there, and took %d", network, taken)
		}
		check(t, target.Close())
	}
}
