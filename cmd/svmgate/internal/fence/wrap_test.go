package fence

import (
	"bufio"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

const agentQuestion = "GET /v1/agents/4c4c4544-0042-3510-8054-b7c04f463032/svm?version=12.0&os=server HTTP/1.1\r\n" +
	"Host: gate.example:7270\r\nUser-Agent: agent/12.0\r\nAccept: application/json\r\n\r\n"

func parsed(tb testing.TB, raw string) *fasthttp.RequestCtx {
	tb.Helper()
	ctx := &fasthttp.RequestCtx{}
	if err := ctx.Request.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		tb.Fatal(err)
	}
	return ctx
}

func TestWrapDoesNotAllocate(t *testing.T) {
	called := 0
	h := Wrap(func(*fasthttp.RequestCtx) { called++ }, nil)
	ctx := parsed(t, agentQuestion)
	if allocs := testing.AllocsPerRun(1000, func() { h(ctx) }); allocs != 0 {
		t.Errorf("Wrap allocates %v times per call, want 0", allocs)
	}
	if called == 0 {
		t.Error("the handler was not called")
	}
}

func BenchmarkWrap(b *testing.B) {
	h := Wrap(func(*fasthttp.RequestCtx) {}, nil)
	ctx := parsed(b, agentQuestion)
	b.ReportAllocs()
	for b.Loop() {
		h(ctx)
	}
}

// What the log says of a connection must not contain what the client sent.
func TestLogHasNoPayloadAndIsRateLimited(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1000, 0)
	l := &quietLogger{
		log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})),
		now: func() time.Time { return now },
	}
	const format = "error when serving connection %q<->%q: %v"
	for range 3 {
		l.Printf(format, "1.2.3.4:1", "5.6.7.8:9", errors.New(`malformed line "password=hunter2"`))
	}
	now = now.Add(2 * time.Second)
	l.Printf(format, "1.2.3.4:1", "5.6.7.8:9", fasthttp.ErrBodyTooLarge)
	now = now.Add(2 * time.Second)
	l.Printf("Permanent error when accepting new connections: %v", errors.New("too many open files"))

	got := out.String()
	if strings.Contains(got, "hunter2") {
		t.Errorf("the log has payload:\n%s", got)
	}
	if n := strings.Count(got, "\n"); n != 3 {
		t.Errorf("got %d lines, want 3:\n%s", n, got)
	}
	for _, want := range []string{"dropped=2", "kind=body_too_large", "level=WARN", "too many open files"} {
		if !strings.Contains(got, want) {
			t.Errorf("the log lacks %q:\n%s", want, got)
		}
	}
}

// canonical agrees with a slow reading of the same rules.
func FuzzCanonical(f *testing.F) {
	for _, tt := range refusals {
		if parts := strings.Split(tt.raw, " "); len(parts) > 1 && strings.HasPrefix(parts[1], "/") {
			f.Add(parts[1])
		}
	}
	f.Add("/v1/agents/%7Bx%7D/svm?version=12.0")
	f.Fuzz(func(t *testing.T, target string) {
		if !strings.HasPrefix(target, "/") {
			return
		}
		if got, want := canonical([]byte(target)), plainlyCanonical(target); got != want {
			t.Errorf("canonical(%q) = %v, want %v", target, got, want)
		}
	})
}

func plainlyCanonical(target string) bool {
	path, query, _ := strings.Cut(target, "?")
	if strings.Contains(query, "#") {
		return false
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		// A dot segment is one whatever escape follows: some parsers cut there.
		bare, _, _ := strings.Cut(s, "%")
		if bare == "." || bare == ".." || s == "" && !last {
			return false
		}
		for j := 0; j < len(s); j++ {
			c := s[j]
			if c >= 0x80 || c == '\\' || c == '#' {
				return false
			}
			if c != '%' {
				continue
			}
			const keep = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~/\\%"
			const hex = "0123456789abcdef"
			if j+2 >= len(s) {
				return false
			}
			hi := strings.IndexByte(hex, lower(s[j+1]))
			lo := strings.IndexByte(hex, lower(s[j+2]))
			if hi < 0 || lo < 0 {
				return false
			}
			if d := byte(hi<<4 | lo); d < ' ' || d == 0x7f || strings.IndexByte(keep, d) >= 0 {
				return false
			}
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
func BenchmarkCanonical(b *testing.B) {
	target := []byte("/v1/agents/4c4c4544-0042-3510-8054-b7c04f463032/svm?version=12.0&os=server")
	for b.Loop() {
		canonical(target)
	}
}
