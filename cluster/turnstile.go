package cluster

import (
	"os"
	"runtime"
	"sync"
)

// A turnstile lets what the network brought go before whoever has much to do. On the
// only processor [runtime.Gosched] does not: it lets those run that are ready, and the
// runtime looks at the network when none is, or every 10 ms. So who passes waits for
// the network as well, for a byte in a pipe: what came before that byte is found
// together with it. A nil turnstile lets everybody pass.
type turnstile struct {
	in, out *os.File
	passed  chan struct{}
	work    sync.WaitGroup
}

func newTurnstile() (*turnstile, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t := &turnstile{in: in, out: out, passed: make(chan struct{})}
	t.work.Go(t.turn)
	return t, nil
}

// turn lets one pass for each byte, until close.
func (t *turnstile) turn() {
	defer close(t.passed)
	var b [1]byte
	for {
		if _, err := t.out.Read(b[:]); err != nil {
			return
		}
		t.passed <- struct{}{}
	}
}

// pass returns when all that had come in has had its turn.
func (t *turnstile) pass() {
	if t == nil {
		return
	}
	if _, err := t.in.Write([]byte{0}); err != nil {
		return
	}
	<-t.passed // who is let through writes one byte: there is always somebody for it
	runtime.Gosched()
}

// close lets everybody pass from now on.
func (t *turnstile) close() {
	if t == nil {
		return
	}
	_ = t.in.Close() // what is in the pipe is still read
	t.work.Wait()
	_ = t.out.Close()
}
