package fence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// A source is a body that notes that it was closed.
type source struct {
	io.Reader
	closed atomic.Bool
}

func (s *source) Close() error { s.closed.Store(true); return nil }

func TestSend(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 20_000)
	broken := errors.New("broken")
	tests := []struct {
		name, method string
		size         int
		fails        error // behind the text
		whole        bool
		length       string
	}{
		{"of a size", "GET", len(text), nil, true, fmt.Sprint(len(text))},
		{"in chunks", "GET", -1, nil, true, ""},
		{"head", "HEAD", len(text), nil, true, fmt.Sprint(len(text))},
		{"head, in chunks", "HEAD", -1, nil, true, ""},
		{"breaks off", "GET", len(text) + 1, broken, false, fmt.Sprint(len(text) + 1)},
		{"ends early", "GET", len(text) + 1, nil, false, fmt.Sprint(len(text) + 1)},
		{"breaks off in chunks", "GET", -1, broken, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			from := &source{Reader: strings.NewReader(text)}
			if tt.fails != nil {
				from.Reader = io.MultiReader(from.Reader, failing{tt.fails})
			}
			p := startPlane(t, false, func(s *fasthttp.Server) { s.Handler = func(ctx *fasthttp.RequestCtx) { Send(ctx, from, tt.size) } })
			req, err := http.NewRequest(tt.method, "http://"+p.addr+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			want := text
			if tt.method == "HEAD" {
				want = ""
			}
			if (err == nil) != tt.whole || tt.whole && string(got) != want || resp.Header.Get("Content-Length") != tt.length {
				t.Errorf("%d bytes and %v, Content-Length %q", len(got), err, resp.Header.Get("Content-Length"))
			}
			for end := time.Now().Add(30 * time.Second); !from.closed.Load(); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the body was not closed")
				}
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// deadlines is a connection that notes its write deadline.
type deadlines struct {
	net.Conn
	at time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error { d.at = at; return nil }

// What is sent may take long, but not a client that takes nothing of it.
func TestASlowClient(t *testing.T) {
	var conn deadlines
	s := &sending{&source{Reader: bytes.NewReader(make([]byte, 3*sendPiece))}, &conn}
	pieces := 0
	_, err := s.WriteTo(writerFunc(func(p []byte) (int, error) {
		if left := time.Until(conn.at); left < StallTimeout-time.Second || left > StallTimeout || len(p) > sendPiece {
			t.Errorf("the client has %v to take %d bytes, want %v", left, len(p), StallTimeout)
		}
		conn.at = time.Time{}
		pieces++
		return len(p), nil
	}))
	if err != nil || pieces != 3 {
		t.Errorf("%d pieces, %v", pieces, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
