package fence

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/problem"
)

// A liar announces a body and sends part of it. Then it notes how much memory that took.
type liar struct {
	net.Conn
	head  string
	sends int
	ended bool
	took  uint64
}

func (l *liar) Read(p []byte) (int, error) {
	var m runtime.MemStats
	switch {
	case l.head != "":
		runtime.ReadMemStats(&m)
		l.took = m.TotalAlloc
		n := copy(p, l.head)
		l.head = l.head[n:]
		return n, nil
	case l.sends > 0:
		n := min(len(p), l.sends)
		l.sends -= n
		return n, nil
	}
	if !l.ended {
		runtime.ReadMemStats(&m)
		l.took, l.ended = m.TotalAlloc-l.took, true
	}
	return 0, io.EOF
}

func (l *liar) Write(p []byte) (int, error)      { return len(p), nil }
func (l *liar) Close() error                     { return nil }
func (l *liar) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (l *liar) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (l *liar) SetDeadline(time.Time) error      { return nil }
func (l *liar) SetReadDeadline(time.Time) error  { return nil }
func (l *liar) SetWriteDeadline(time.Time) error { return nil }

// What a body takes before anybody has looked who sends it is what has arrived of it, and
// not what was announced.
func TestBodiesTakeMemoryAsTheyArrive(t *testing.T) {
	const least = 128 << 10 // what any connection takes
	for _, sends := range []int{0, 1, 10_000, 100_000, MaxBody / 4} {
		srv := Server("test", Wrap(func(*fasthttp.RequestCtx) { t.Error("the handler got a body that ended early") }, nil), slog.New(slog.DiscardHandler))
		l := &liar{head: fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", MaxBody), sends: sends}
		_ = srv.ServeConn(l) // its error is that of the body
		if most := uint64(least + 4*sends); l.took > most {
			t.Errorf("%d bytes of %d took %d of memory, want at most %d", sends, MaxBody, l.took, most)
		}
	}
}

// Of who may not have a body nothing is kept, whatever he sends; he is told so, and what he
// sent is not his next request.
func TestBodiesOfStrangersAreNotCollected(t *testing.T) {
	refused := 0
	h := Guard(func(ctx *fasthttp.RequestCtx) {
		if len(ctx.Request.Header.Peek("Authorization")) == 0 {
			refused++
			problem.Write(ctx, 401, "unauthorized", "who is there?")
			return
		}
		fmt.Fprintf(ctx, "%d bytes", len(ctx.PostBody()))
	}, func(ctx *fasthttp.RequestCtx) bool { return len(ctx.Request.Header.Peek("Authorization")) > 0 })
	for _, sends := range []int{10, 100_000, MaxBody - 1} {
		l := &liar{head: fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", MaxBody), sends: sends}
		_ = Server("test", h, slog.New(slog.DiscardHandler)).ServeConn(l) // its error is that of the body
		if most := uint64(256 << 10); l.took > most {
			t.Errorf("%d bytes took %d of memory, want at most %d", sends, l.took, most)
		}
	}
	if refused != 2 { // the first does not even send what the server reads ahead
		t.Errorf("%d of 2 were refused", refused)
	}

	p := serveOn(t, Server("test", h, slog.New(slog.DiscardHandler)))
	body := strings.Repeat("x", 100_000)
	raw := ""
	for _, header := range []string{"", "Authorization: x\r\n", ""} {
		raw += fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
	}
	statuses, closed := p.exchange(t, raw+"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if !slices.Equal(statuses, []int{401, 200, 401, 401}) || !closed {
		t.Errorf("answers %v, closed %v; want [401 200 401 401] and closed", statuses, closed)
	}
}

func TestCollectReadsAll(t *testing.T) {
	for _, length := range []int{0, 1, firstRoom - 1, firstRoom, firstRoom + 1, 5*firstRoom + 3} {
		for _, sent := range []int{length, length / 2} {
			body := &liar{sends: sent}
			got, err := collect(io.LimitReader(body, int64(sent)), length)
			if len(got) != sent || err != nil {
				t.Errorf("%d of %d bytes: %d, %v", sent, length, len(got), err)
			}
		}
	}
	if _, err := collect(cut{}, 10); err == nil {
		t.Error("an error of the connection was lost")
	}
}

// A cut is a connection that was.
type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, net.ErrClosed }
