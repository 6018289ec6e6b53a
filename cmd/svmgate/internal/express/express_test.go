package express

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"
)

const question = "GET /v1/agents/4c4c4544-0035-104e-804d-000000000065/svm?limit=3 HTTP/1.1\r\nHost: gate:7270\r\n\r\n"

// A line is a connection that brings reads, each after a pause, and then end.
type line struct {
	net.Conn
	reads  []string
	pause  time.Duration
	end    error
	sent   bytes.Buffer
	closed bool

	readEnds, writeEnds []time.Time
}

func (l *line) Read(p []byte) (int, error) {
	time.Sleep(l.pause)
	if len(l.reads) == 0 {
		return 0, l.end
	}
	n := copy(p, l.reads[0])
	l.reads = l.reads[1:]
	return n, nil
}

func (l *line) Write(p []byte) (int, error) {
	if l.closed {
		return 0, net.ErrClosed
	}
	return l.sent.Write(p)
}

func (l *line) Close() error         { l.closed = true; return nil }
func (l *line) LocalAddr() net.Addr  { return &net.TCPAddr{} }
func (l *line) RemoteAddr() net.Addr { return &net.TCPAddr{} }

func (l *line) SetReadDeadline(t time.Time) error  { l.readEnds = append(l.readEnds, t); return nil }
func (l *line) SetWriteDeadline(t time.Time) error { l.writeEnds = append(l.writeEnds, t); return nil }

// serve serves l with answer before the server, which answers "server" by itself.
func serve(t *testing.T, l *line, answer Answer) (front *Listener, counted []int) {
	t.Helper()
	srv := &fasthttp.Server{
		Handler:     func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("server") },
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 75 * time.Second,
		NoDefaultDate: true, // its clock would not end with a bubble
	}
	front = Before(srv, nil, func(_ uint64, status int) { counted = append(counted, status) }, slog.New(slog.DiscardHandler))
	front.Use(answer)
	c := front.Wrap(l)
	if err := srv.ServeConn(c); err != nil {
		t.Errorf("the server says %v", err)
	}
	return front, counted
}

func short(dst []byte, r *Request) ([]byte, int) {
	return r.Append(dst, Reply{Status: 200, ContentType: "application/json"}, r.Query), 200
}

// Deadlines are where they would be without this package, less the slack; and most
// answers move none.
func TestDeadlinesMoveSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{reads: slices.Repeat([]string{question}, 1000), pause: 10 * time.Millisecond, end: io.EOF}
		start := time.Now()
		l.reads = append(l.reads, question[:40], question[40:])
		_, counted := serve(t, l, short)
		if len(counted) != 1000 || strings.Count(l.sent.String(), "server") != 1 {
			t.Fatalf("%d answers, and %q", len(counted), l.sent.String())
		}
		if n := len(l.readEnds) + len(l.writeEnds); n > 40 {
			t.Errorf("deadlines were moved %d times in ten seconds", n)
		}
		last := start.Add(1000 * l.pause)
		if end := l.readEnds[len(l.readEnds)-3]; end.Before(last.Add(75*time.Second-slack)) || end.After(last.Add(75*time.Second)) {
			t.Errorf("an idle connection is cut off after %v, want 75 s", end.Sub(last))
		}
		// The rest of a request has as long as it would have with the server alone.
		if end := l.readEnds[len(l.readEnds)-2].Sub(last); end > 11*time.Second {
			t.Errorf("the rest of a request has %v", end)
		}
	})
}

// A request that comes in two pieces at the end of a long pause has as long for the second
// as with the server alone.
func TestRestOfARequestHasItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		l := &line{reads: []string{question, question[:40], question[40:]}, pause: 70 * time.Second, end: io.EOF}
		serve(t, l, short)
		if want := start.Add(150 * time.Second); !slices.ContainsFunc(l.readEnds, want.Equal) {
			t.Errorf("deadlines at %v, none at %v", l.readEnds, want)
		}
	})
}

// Whoever closes the connection while a request is being answered does not cut off the
// answer, and whoever closes it before does not get one.
func TestCloseWaitsForTheAnswer(t *testing.T) {
	l := &line{reads: []string{question, question}, end: io.EOF}
	var c net.Conn
	srv := &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) { t.Error("the server was asked") }}
	front := Before(srv, nil, func(uint64, int) {}, slog.New(slog.DiscardHandler))
	front.Use(func(dst []byte, r *Request) ([]byte, int) {
		if err := c.Close(); err != nil || l.closed {
			t.Errorf("closed %v, %v", l.closed, err)
		}
		return short(dst, r)
	})
	c = front.Wrap(l)
	if err := srv.ServeConn(c); err != nil || !l.closed {
		t.Errorf("closed %v, %v", l.closed, err)
	}
	if n := strings.Count(l.sent.String(), "limit=3"); n != 1 {
		t.Errorf("%d answers, want the one that had begun", n)
	}
}

// Who asks the system about a connection finds it.
func TestConnectionWithin(t *testing.T) {
	l := &line{}
	c, ok := Before(new(fasthttp.Server), nil, nil, nil).Wrap(l).(interface{ NetConn() net.Conn })
	if !ok || c.NetConn() != net.Conn(l) {
		t.Errorf("NetConn: %v", ok)
	}
}

// After the end of accepting, the server answers: it closes connections behind its answers.
func TestServerAnswersAtTheEnd(t *testing.T) {
	l := &line{reads: []string{question, question}, end: io.EOF}
	var front *Listener
	srv := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) { ctx.SetBodyString("server") }}
	front = Before(srv, &net.TCPListener{}, func(uint64, int) {}, slog.New(slog.DiscardHandler))
	front.Use(func(dst []byte, r *Request) ([]byte, int) {
		_ = front.Close()
		return short(dst, r)
	})
	if err := srv.ServeConn(front.Wrap(l)); err != nil {
		t.Error(err)
	}
	if got := l.sent.String(); strings.Count(got, "limit=3") != 1 || strings.Count(got, "server") != 1 {
		t.Errorf("answers %q, want the second to be the server's", got)
	}
}

// An idle connection ends without an answer that nobody asked for.
func TestIdleConnectionEndsQuietly(t *testing.T) {
	l := &line{reads: []string{question}, end: os.ErrDeadlineExceeded}
	serve(t, l, short)
	if n := strings.Count(l.sent.String(), "HTTP/1.1"); n != 1 {
		t.Errorf("%d answers: %q", n, l.sent.String())
	}
}

func TestPanicLeavesTheRequestToTheServer(t *testing.T) {
	l := &line{reads: []string{question}, end: io.EOF}
	serve(t, l, func([]byte, *Request) ([]byte, int) { panic(errors.New("a bug")) })
	if !strings.HasSuffix(l.sent.String(), "server") {
		t.Errorf("answered %q", l.sent.String())
	}
}

func TestReplies(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	r := &Request{now: now}
	for want, reply := range map[string]Reply{
		"HTTP/1.1 200 OK\r\nDate: Fri, 02 Jan 2026 03:04:05 GMT\r\nContent-Type: application/json\r\nContent-Length: 2\r\nCache-Control: no-store\r\n\r\n{}": {Status: 200, ContentType: "application/json"},
		"HTTP/1.1 429 Too Many Requests\r\nDate: Fri, 02 Jan 2026 03:04:05 GMT\r\nContent-Type: a/b\r\nContent-Length: 2\r\nCache-Control: no-store\r\n" +
			"Retry-After: 7\r\n\r\n{}": {Status: 429, ContentType: "a/b", RetryAfter: 7},
	} {
		if got := string(r.Append(nil, reply, []byte("{}"))); got != want {
			t.Errorf("got %q\nwant %q", got, want)
		}
	}
	r.now = now.Add(time.Second)
	if got := string(r.Append(nil, plain, nil)); !strings.Contains(got, "03:04:06") {
		t.Errorf("a second later: %q", got)
	}
}

func TestVisible(t *testing.T) {
	for b := range 256 {
		for at := range 17 {
			text := bytes.Repeat([]byte{' ', '~'}, 9)
			text[at] = byte(b)
			if got, want := visible(text), b >= ' ' && b <= '~'; got != want {
				t.Errorf("visible(%q) = %v", text, got)
			}
		}
	}
}
