package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// testWorld is a small one, made once: nobody changes it.
var testWorld = newWorld(100, 10, 4)

func addrOf(tb testing.TB, l net.Listener) netip.AddrPort {
	tb.Helper()
	tb.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// ask asks a server for a moment.
func ask(t *testing.T, addr netip.AddrPort, agents int, q question) (int, error) {
	t.Helper()
	a, err := newAsker(addr, 4, agents, q, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	return a.slice(10 * time.Millisecond)
}

func TestAskerAsksConstants(t *testing.T) {
	for name, serve := range constants {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go serve(l, constantBody(516))
		addr := addrOf(t, l)
		if n, err := ask(t, addr, testWorld.VMs, question{ask: testWorld.get, answered: httpAnswer(isSize(516))}); n < 4 || err != nil {
			t.Errorf("%s: %d answers, %v; want one for each connection at least", name, n, err)
		}
		if _, err := ask(t, addr, testWorld.VMs, question{ask: testWorld.get, answered: httpAnswer(isSize(515))}); err == nil {
			t.Errorf("%s: an answer of another size passes", name)
		}
	}
}

// For as long as a slice lasts there is a next question on each connection, and none after.
func TestSlice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go constants["fasthttp"](l, constantBody(516))
	a, err := newAsker(addrOf(t, l), 4, testWorld.VMs, question{ask: testWorld.get, answered: httpAnswer(isSize(516))}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	if n, err := a.slice(0); n != 4 || err != nil {
		t.Errorf("%d answers in no time, %v; want one for each connection", n, err)
	}
	answers := 0
	for lasts := 10 * time.Millisecond; answers <= 4 && lasts < time.Second; lasts *= 2 {
		if answers, err = a.slice(lasts); err != nil {
			t.Fatal(err)
		}
	}
	if answers <= 4 {
		t.Errorf("%d answers; want more than one for each connection", answers)
	}
}

// The request is what a gateway gets: the VM, and the token of its tenant.
func TestRequest(t *testing.T) {
	asked := make(chan *http.Request, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r }))
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(testWorld.get(nil, 37)); err != nil {
		t.Fatal(err)
	}
	r := <-asked
	if want := "/v1/agents/" + testWorld.BIOS(37).String() + "/svm"; r.URL.Path != want || r.URL.Query().Get("limit") != "5" {
		t.Errorf("%v, want %s and a limit of 5", r.URL, want)
	}
	if want := "Bearer " + testWorld.tokens[7]; r.Header.Get("Authorization") != want {
		t.Errorf("Authorization %q, want %q", r.Header.Get("Authorization"), want)
	}
}

func TestAServerThatHangsUpIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := addrOf(t, l)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.(*net.TCPConn).CloseWrite()
		}
	}()
	if _, err := ask(t, addr, testWorld.VMs, question{ask: testWorld.get, answered: httpAnswer(isSize(1))}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("%v, want that the server closed the connection", err)
	}
}

// A server of DNS reads the question, and its answer passes.
func TestLookup(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	one := *testWorld
	one.bios = one.bios[:1]
	want := dnsmessage.Question{
		Name: dnsmessage.MustNewName(one.BIOS(0).String() + ".text.peers.test."), Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET,
	}
	go func() {
		for buf := make([]byte, 512); ; {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			err = m.Unpack(buf[:n])
			m.Response = true
			if m.RCode = dnsmessage.RCodeFormatError; err == nil && len(m.Questions) == 1 && m.Questions[0] == want {
				m.RCode = dnsmessage.RCodeSuccess
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: want.Name, Class: want.Class},
					Body:   &dnsmessage.TXTResource{TXT: []string{strings.Repeat("x", 200), strings.Repeat("x", 200)}},
				}}
			}
			if out, err := m.Pack(); err == nil {
				server.WriteTo(out, from)
			}
		}
	}()
	q := question{ask: one.lookup("text", typeTXT), answered: dnsAnswer(400), datagrams: true}
	if n, err := ask(t, server.LocalAddr().(*net.UDPAddr).AddrPort(), len(one.bios), q); n < 4 || err != nil {
		t.Errorf("%d answers, %v", n, err)
	}
}

// Each way to be a client of TLS does what it is for; the certificate is trusted.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots, err := writeCertificate(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := addrOf(t, plain)
	l, err := withTLS(plain, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	go constants["fasthttp"](l, constantBody(300))
	for mode, want := range map[tlsMode]int{keepAlive: 1, fullHandshake: 3, resumedHandshake: 3} {
		c := newTLSClient(addr.String(), mode, roots, testWorld, httpAnswer(isSize(300)), 1)
		for range 3 {
			if err := c.call(); err != nil {
				t.Fatalf("mode %d: %v", mode, err)
			}
		}
		c.hangUp()
		if c.connections != want {
			t.Errorf("mode %d made %d connections for 3 questions, want %d", mode, c.connections, want)
		}
		if err := newTLSClient(addr.String(), mode, roots, testWorld, httpAnswer(isSize(301)), 1).call(); err == nil {
			t.Errorf("mode %d: an answer of another size passes", mode)
		}
	}
}
