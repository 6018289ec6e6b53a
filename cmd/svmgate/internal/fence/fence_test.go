package fence

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// A plane is a server on loopback that notes which paths its handler saw.
type plane struct {
	addr string

	mu   sync.Mutex
	seen []string
}

func startPlane(t *testing.T, streaming bool, adjust func(*fasthttp.Server)) *plane {
	t.Helper()
	p := &plane{}
	handler := func(ctx *fasthttp.RequestCtx) {
		p.mu.Lock()
		p.seen = append(p.seen, string(ctx.Path()))
		p.mu.Unlock()
		switch string(ctx.Path()) {
		case "/panic":
			panic("on purpose")
		case "/unread":
			return
		case "/import":
			if _, err := io.Copy(io.Discard, ctx.RequestBodyStream()); err != nil {
				ctx.SetStatusCode(fasthttp.StatusBadRequest)
			}
		}
		fmt.Fprintf(ctx, "%d bytes", len(ctx.PostBody()))
	}
	var stream func(*fasthttp.RequestCtx) bool
	if streaming {
		stream = func(ctx *fasthttp.RequestCtx) bool {
			return string(ctx.Path()) == "/import" || string(ctx.Path()) == "/unread"
		}
	}
	srv := Server("test", Wrap(handler, stream), slog.New(slog.DiscardHandler))
	if adjust != nil {
		adjust(srv)
	}
	p.serve(t, srv)
	return p
}

// serveOn serves srv on a plane whose handler is not a plane's own.
func serveOn(t *testing.T, srv *fasthttp.Server) *plane {
	t.Helper()
	p := &plane{}
	p.serve(t, srv)
	return p
}

func (p *plane) serve(t *testing.T, srv *fasthttp.Server) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := srv.ShutdownWithContext(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		<-done
	})
}

// exchange writes raw to a new connection and returns the statuses of all
// answers, in order, and whether the server closed the connection.
func (p *plane) exchange(t *testing.T, raw string) (statuses []int, closed bool) {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// Writing may fail once the server has refused and closed.
	go io.WriteString(c, raw)

	c.SetReadDeadline(time.Now().Add(30 * time.Second)) // it ends sooner: the server closes
	br := bufio.NewReader(c)
	method, _, _ := strings.Cut(raw, " ")
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		method = "GET"
		if err != nil {
			var timeout net.Error
			return statuses, !errors.As(err, &timeout) || !timeout.Timeout()
		}
		statuses = append(statuses, resp.StatusCode)
		if resp.StatusCode >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("status %d has content type %q, want a problem", resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatalf("body of answer %d: %v", len(statuses), err)
		}
	}
}

func (p *plane) paths() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

// refusals are requests that must be the last on their connection. Behind each
// stands a second request that must never be answered.
var refusals = []struct {
	name   string
	raw    string
	status int
}{
	// Two lengths.
	{"chunked body", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"CL.TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"TE.CL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"identity encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n", 400},
	{"identity encoding alone", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400},
	{"encoding twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
	{"unknown encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
	{"encoding list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
	{"encoding after a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400},
	{"encoding in another case", "POST / HTTP/1.1\r\nHost: a\r\ntRANSFER-eNCODING: Chunked\r\n\r\n0\r\n\r\n", 400},
	{"encoding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"broken chunk", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400},
	{"length twice, equal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 400},
	{"length twice, different", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n", 400},
	{"length list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 0\r\n\r\n", 400},
	{"length with sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n", 400},
	{"negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400},
	{"hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x0\r\n\r\n", 400},
	{"length beyond 64 bits", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n", 400},
	{"GET with a body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400},
	{"HEAD with a body", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 400},

	// Header lines.
	{"folded header", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n", 400},
	{"folded by a tab", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\tc:d\r\n\r\n", 400},
	{"folded encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400},
	{"folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
	{"bare line feeds", "GET / HTTP/1.1\r\nHost: a\nX-A: b\n\n", 400},
	{"bare line feed before a real end", "GET / HTTP/1.1\r\nHost: a\nX-A: b\r\n\r\n", 400},
	{"headers end twice", "GET / HTTP/1.1\r\nHost: a\r\n\nX: y\r\n\r\n", 400},
	{"carriage return in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\rc\r\n\r\n", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n", 400},
	{"space before the colon", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 0\r\n\r\n", 400},
	{"space in a name", "GET / HTTP/1.1\r\nHost: a\r\nContent Length: 5\r\n\r\n", 400},
	{"tab in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\tY: 5\r\n\r\n", 400},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400},
	{"empty name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400},
	{"no host", "GET / HTTP/1.1\r\nX: a\r\n\r\n", 400},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
	{"headers too large", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 9<<10) + "\r\n\r\n", 431},
	{"target too large", "GET /" + strings.Repeat("x", 9<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 431},

	// Targets.
	{"other host in the target", "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"other port in the target", "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"user in the target", "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"other scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"dots in an absolute target", "GET http://a/x/../y HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"connect", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"trace", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405},
	{"two slashes", "GET //v1 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"empty segment", "GET /v1//x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"dot segment", "GET /v1/./x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"parent segment", "GET /v1/../x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"parent at the end", "GET /v1/.. HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"parent before a query", "GET /v1/..?a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"escaped dot", "GET /v1/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"half escaped dots", "GET /v1/.%2E/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"escaped slash", "GET /v1%2fx HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"escaped backslash", "GET /v1%5Cx HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"escaped escape", "GET /v1/%252e HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"escaped NUL", "GET /v1/%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"escaped letter", "GET /v%31 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"broken escape", "GET /v1/%7 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"backslash", "GET /v1\\x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"fragment", "GET /v1#x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"fragment in the query", "GET /v1?x#y HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"raw byte over 127", "GET /v1/\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},

	// Request lines.
	{"HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	{"HTTP/0.9", "GET /\r\n\r\n", 400},
	{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
	{"no method", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"TLS hello", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03 x\r\n\r\n", 400},
}

func TestRefusals(t *testing.T) {
	for _, mode := range []struct {
		name      string
		streaming bool
	}{{"whole bodies", false}, {"streamed bodies", true}} {
		t.Run(mode.name, func(t *testing.T) {
			p := startPlane(t, mode.streaming, nil)
			for _, tt := range refusals {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel()
					statuses, closed := p.exchange(t, tt.raw+smuggled)
					if len(statuses) != 1 {
						t.Fatalf("got answers %v, want exactly one with status %d", statuses, tt.status)
					}
					if statuses[0] != tt.status && !(tt.name == "HTTP/2 preface" && statuses[0] == 505) {
						t.Errorf("status = %d, want %d", statuses[0], tt.status)
					}
					if !closed {
						t.Error("the connection is still open")
					}
				})
			}
			t.Cleanup(func() {
				if seen := p.paths(); len(seen) != 0 {
					t.Errorf("the handler saw %q, want nothing", seen)
				}
			})
		})
	}
}

func TestServed(t *testing.T) {
	large := strings.Repeat("x", 300<<10)
	tests := []struct {
		name      string
		raw       string
		streaming bool
	}{
		{"plain", "GET /v1/agents/x/svm?os=server&tag=a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"no headers but host", "GET / HTTP/1.1\r\nhost:a\r\n\r\n", false},
		{"escaped braces", "GET /v1/agents/%7B4c4c%7d/svm HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"dots within names", "GET /a.b/..c/d..?x=/../ HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"absolute target, same host", "GET http://A:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n", false},
		{"absolute target without a path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", false},
		{"body with a length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", false},
		{"GET that says it has no body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", false},
		{"body on a streaming plane", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", true},
		{"large body on a streaming plane", fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(large), large), true},
		{"streamed", "POST /import HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", true},
		{"streamed in chunks", "POST /import HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true},
		{"stream left unread", "POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 37\r\n\r\n" + smuggled, true},
		{"large stream left unread", fmt.Sprintf("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", 100<<10, strings.Repeat("x", 100<<10)), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := startPlane(t, tt.streaming, nil)
			statuses, closed := p.exchange(t, tt.raw+"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if len(statuses) != 2 || statuses[0] != 200 || statuses[1] != 200 || !closed {
				t.Errorf("answers %v, closed %v; want [200 200] and closed", statuses, closed)
			}
			if seen := p.paths(); len(seen) != 2 || seen[1] != "/last" {
				t.Errorf("the handler saw %q, want two paths, the second /last", seen)
			}
		})
	}
}

func TestStreamRoutesStillRefuseAmbiguity(t *testing.T) {
	p := startPlane(t, true, nil)
	for name, raw := range map[string]string{
		"both lengths":    "POST /import HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"identity":        "POST /import HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
		"GET with chunks": "GET /import HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if statuses, closed := p.exchange(t, raw+smuggled); len(statuses) != 1 || statuses[0] != 400 || !closed {
				t.Errorf("answers %v, closed %v; want [400] and closed", statuses, closed)
			}
		})
	}
}

func TestUnreadStreamTooLargeToSkipClosesTheConnection(t *testing.T) {
	p := startPlane(t, true, nil)
	raw := fmt.Sprintf("POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", maxSkip+10<<10, strings.Repeat("x", maxSkip+10<<10))
	if statuses, closed := p.exchange(t, raw+smuggled); len(statuses) != 1 || !closed {
		t.Errorf("answers %v, closed %v; want one and closed", statuses, closed)
	}
}

// A client that sends all of its body before it listens, as most do, hears the answer
// to one that nobody reads.
func TestAnswerToAnUnreadBodyArrives(t *testing.T) {
	p := startPlane(t, true, nil)
	for range 20 {
		resp, err := http.Post("http://"+p.addr+"/unread", "text/plain", strings.NewReader(strings.Repeat("x", 3<<20)))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != 200 {
			t.Errorf("status %d, want 200", resp.StatusCode)
		}
	}
}

func TestBodyOverTheLimitIs413(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		p := startPlane(t, streaming, nil)
		raw := fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", MaxBody+1, strings.Repeat("x", 16<<10))
		if statuses, closed := p.exchange(t, raw); len(statuses) != 1 || statuses[0] != 413 || !closed {
			t.Errorf("streaming %v: answers %v, closed %v; want [413] and closed", streaming, statuses, closed)
		}
	}
}

func TestSlowRequestIs408(t *testing.T) {
	p := startPlane(t, false, func(s *fasthttp.Server) { s.ReadTimeout = 250 * time.Millisecond })
	for _, raw := range []string{"GET / HT", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"} {
		if statuses, closed := p.exchange(t, raw); len(statuses) != 1 || statuses[0] != 408 || !closed {
			t.Errorf("%q: answers %v, closed %v; want [408] and closed", raw, statuses, closed)
		}
	}
}

func TestPanicIs500AndTheServerGoesOn(t *testing.T) {
	p := startPlane(t, false, nil)
	if statuses, closed := p.exchange(t, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n"+smuggled); len(statuses) != 1 || statuses[0] != 500 || !closed {
		t.Errorf("answers %v, closed %v; want [500] and closed", statuses, closed)
	}
	if statuses, _ := p.exchange(t, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); len(statuses) != 1 || statuses[0] != 200 {
		t.Errorf("after a panic: answers %v, want [200]", statuses)
	}
}

// A body that ends before its announced length does not reach a handler, also
// where the server streams bodies and fasthttp itself would pass it on.
func TestCutBody(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		p := startPlane(t, streaming, nil)
		for _, size := range []int{10, 1 << 20} {
			c, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(30 * time.Second))
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", size+1, strings.Repeat("x", size))
			if err := c.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if seen := p.paths(); resp.StatusCode != 400 || len(seen) != 0 {
				t.Errorf("streaming %v, %d bytes of %d: status %d, the handler saw %q; want 400 and nothing", streaming, size, size+1, resp.StatusCode, seen)
			}
		}
	}
}
