package express

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// The end does not wait for connections on which nobody asks, whoever answered there last:
// the server takes one of which it has heard nothing for one with a request.
func TestEndDoesNotWaitForIdleConnections(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &fasthttp.Server{Handler: func(*fasthttp.RequestCtx) {}, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: time.Minute}
	front := Before(srv, inner, func(uint64, int) {}, slog.New(slog.DiscardHandler))
	front.Use(short)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(front) }()
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 1024)
	for range 2 {
		if _, err := io.WriteString(c, question); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := srv.ShutdownWithContext(ctx); err != nil {
		t.Errorf("the end: %v", err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(buf); !errors.Is(err, io.EOF) {
		t.Errorf("the connection: %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
