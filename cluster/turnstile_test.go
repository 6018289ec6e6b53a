package cluster

import (
	"errors"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// On one processor, somebody who works all the time and passes a turnstile now and
// then lets what comes in have its turn.
func TestTurnstile(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	turns, err := newTurnstile()
	if err != nil {
		t.Fatal(err)
	}
	defer turns.close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	in, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	heard := make(chan struct{}, 1)
	go func() {
		var b [1]byte
		for {
			if _, err := out.Read(b[:]); err != nil {
				return
			}
			heard <- struct{}{}
		}
	}()
	const rounds = 200
	late := 0
	for range rounds {
		time.Sleep(time.Millisecond) // the reader waits for the network
		if _, err := in.Write([]byte{0}); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); time.Since(began) < turnAfter; { // work
		}
		turns.pass()
		select {
		case <-heard:
		default:
			late++
			<-heard
		}
	}
	if late > rounds/20 { // it may have been found by chance, or the system was busy
		t.Errorf("%d of %d that had come in had no turn", late, rounds)
	}
}

// Whoever waits when it closes passes, and so does everybody later; no pipe stays open.
func TestTurnstileCloses(t *testing.T) {
	for range 100 {
		turns, err := newTurnstile()
		if err != nil {
			t.Fatal(err)
		}
		var passing sync.WaitGroup
		closed := make(chan struct{})
		for range 4 {
			passing.Go(func() {
				for {
					turns.pass()
					select {
					case <-closed:
						return
					default:
					}
				}
			})
		}
		turns.close()
		close(closed)
		passing.Wait()
		for _, f := range []*os.File{turns.in, turns.out} {
			if err := f.Close(); !errors.Is(err, os.ErrClosed) {
				t.Fatalf("an end of the pipe was open: %v", err)
			}
		}
	}
}
