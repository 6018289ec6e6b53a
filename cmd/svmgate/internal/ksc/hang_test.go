package ksc_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
)

// TestOneHangs waits for a KSC that does not answer once, not time and again, when
// another has room: all who make something wait for that.
func TestOneHangs(t *testing.T) {
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	var calls atomic.Int64
	go func() {
		for {
			if _, err := hangs.Accept(); err != nil { // they stay open until the end of the test
				return
			}
			calls.Add(1)
		}
	}()
	k := start(t, ksctest.Config{})
	cfg := config(k)
	cfg.URLs = append(cfg.URLs, "https://"+hangs.Addr().String())
	cfg.Timeout, cfg.Attempts = 300*time.Millisecond, 3
	if _, err := open(t, cfg).Make(t.Context(), wanted(), []byte(password), new(notes).note); err != nil {
		t.Fatal(err)
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("the one that hangs was called %d times", n)
	}
}
