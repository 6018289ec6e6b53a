package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A wire connects the asks of nodes without a network. What is sent to a node
// arrives 1 ms later, or when the test says.
type wire struct {
	nodes map[string]*asks
	hold  func(peer string, m message) error // if not nil, is asked first
	work  sync.WaitGroup
	end   context.CancelFunc
}

var errUnreachable = errors.New("unreachable")

// newWire returns started nodes; prepare may say who answers what.
func newWire(t *testing.T, prepare func(name string, a *asks), names ...string) *wire {
	w := &wire{nodes: make(map[string]*asks)}
	ctx, end := context.WithCancel(t.Context())
	w.end = end
	for _, name := range names {
		a := new(asks)
		a.init(name, w.send)
		prepare(name, a)
		w.nodes[name] = a
	}
	for _, a := range w.nodes {
		a.start(ctx, &w.work)
	}
	t.Cleanup(func() {
		end()
		w.work.Wait()
	})
	return w
}

func (w *wire) send(peer string, msg []byte) error {
	m, err := decode(bytes.Clone(msg))
	if err != nil {
		return err
	}
	if w.hold != nil {
		if err := w.hold(peer, m); err != nil {
			return err
		}
	}
	time.Sleep(time.Millisecond)
	if w.nodes[peer] == nil {
		return errUnreachable
	}
	w.nodes[peer].heard(m)
	return nil
}

// echo answers askRoot with who asked and what, and askPull with an error.
func echo(name string, a *asks) {
	a.answers[askRoot] = func(peer string, body []byte) ([]byte, error) {
		return fmt.Appendf(nil, "%s to %s: %s", name, peer, body), nil
	}
	a.answers[askPull] = func(string, []byte) ([]byte, error) { return []byte("not seen"), errors.New("no such bucket") }
	a.answers[askDigest] = func(string, []byte) ([]byte, error) { return make([]byte, maxBody+1), nil }
}

func within(t *testing.T, d time.Duration, do func()) {
	t.Helper()
	start := time.Now()
	do()
	if took := time.Since(start); took > d {
		t.Errorf("that took %v, want at most %v", took, d)
	}
}

func TestQuestionsAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, echo, "a", "b", "c")
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				peer := []string{"b", "c"}[i%2]
				want := fmt.Sprintf("%s to a: %d", peer, i)
				got, err := w.nodes["a"].ask(t.Context(), peer, askRoot, fmt.Append(nil, i))
				if string(got) != want || err != nil {
					t.Errorf("got %q (%v), want %q", got, err, want)
				}
			})
		}
		all.Wait()
		if n := len(w.nodes["a"].pending); n != 0 {
			t.Errorf("%d questions are still waiting", n)
		}
	})
}

func TestQuestionsThatGetNoAnswer(t *testing.T) {
	tests := []struct {
		name string
		peer string
		what question
		body []byte
		want string
	}{
		{"an error of the peer", "b", askPull, nil, "cluster: asking b: no such bucket"},
		{"a peer of another release", "b", 200, nil, "cluster: asking b: this release has no answer to question 200"},
		{"an answer that is too long", "b", askDigest, nil, fmt.Sprintf("cluster: asking b: the answer has %d bytes, and %d are the most that can be sent", maxBody+1, maxBody)},
		{"a question that is too long", "b", askRoot, make([]byte, maxBody+1), fmt.Sprintf("cluster: the question has %d bytes, and %d are the most that can be sent", maxBody+1, maxBody)},
		{"a peer that can not be reached", "x", askRoot, nil, "cluster: asking x: unreachable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t, echo, "a", "b")
				within(t, 10*time.Millisecond, func() {
					body, err := w.nodes["a"].ask(t.Context(), tt.peer, tt.what, tt.body)
					if body != nil || err == nil || err.Error() != tt.want {
						t.Errorf("got %q and %v, want the error %q", body, err, tt.want)
					}
				})
			})
		})
	}
}

func TestAnswerThatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, echo, "a", "b")
		w.hold = func(_ string, m message) error {
			if strings.HasSuffix(string(m.body), "first") && m.kind == answerMessage {
				time.Sleep(10 * time.Second)
			}
			if string(m.body) == "second" {
				time.Sleep(20 * time.Second)
			}
			return nil
		}
		a := w.nodes["a"]
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		within(t, time.Second, func() {
			if _, err := a.ask(ctx, "b", askRoot, []byte("first")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v, want that the time is over", err)
			}
		})
		// The late answer must not be taken for that of the next question.
		got, err := a.ask(t.Context(), "b", askRoot, []byte("second"))
		if want := "b to a: second"; string(got) != want || err != nil {
			t.Errorf("got %q (%v), want %q", got, err, want)
		}
	})
}

func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, echo, "a", "b")
		stuck := make(chan struct{})
		w.hold = func(string, message) error { <-stuck; return nil }
		defer close(stuck)
		a := w.nodes["a"]
		within(t, maxWait, func() {
			if _, err := a.ask(t.Context(), "b", askRoot, nil); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("of a peer that hangs: %v", err)
			}
		})
		within(t, time.Second, func() {
			time.AfterFunc(time.Second, func() { a.gone("b") })
			if _, err := a.ask(t.Context(), "b", askRoot, nil); !errors.Is(err, errGone) {
				t.Errorf("of a peer that goes: %v", err)
			}
		})
		within(t, time.Second, func() {
			time.AfterFunc(time.Second, w.end)
			if _, err := a.ask(t.Context(), "b", askRoot, nil); !errors.Is(err, errStopped) {
				t.Errorf("of a node that stops: %v", err)
			}
			if _, err := a.ask(t.Context(), "b", askRoot, nil); !errors.Is(err, errStopped) {
				t.Errorf("of a node that has stopped: %v", err)
			}
		})
	})
}

func TestPeersThatGoLeaveOthersWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, echo, "a", "b", "c")
		time.AfterFunc(0, func() { w.nodes["a"].gone("c") })
		if _, err := w.nodes["a"].ask(t.Context(), "b", askRoot, nil); err != nil {
			t.Errorf("b does not answer when c goes: %v", err)
		}
	})
}

func TestTooManyQuestionsOfPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		w := newWire(t, func(_ string, a *asks) {
			a.answers[askRoot] = func(string, []byte) ([]byte, error) { <-slow; return nil, nil }
		}, "a", "b")
		const asked = maxQueued + askWorkers + 10
		errs := make(chan error, asked)
		for range asked {
			go func() {
				_, err := w.nodes["a"].ask(t.Context(), "b", askRoot, nil)
				errs <- err
			}()
		}
		for range 10 {
			if err := <-errs; !errors.Is(err, ErrBusy) || !strings.HasPrefix(err.Error(), "cluster: asking b: ") {
				t.Errorf("got %v, want that b is busy", err)
			}
		}
		close(slow)
		for range asked - 10 {
			if err := <-errs; err != nil {
				t.Errorf("a question there was room for: %v", err)
			}
		}
		if n := w.nodes["b"].own.bytes.Load(); n != 0 {
			t.Errorf("%d bytes are said to be in an empty queue", n)
		}
	})
}

func TestTooManyBytesOfPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		w := newWire(t, func(_ string, a *asks) {
			a.answers[askRoot] = func(string, []byte) ([]byte, error) { <-slow; return nil, nil }
		}, "a", "b")
		const room = maxQueuedBytes/maxBody + askWorkers
		errs := make(chan error, room+3)
		for range room + 3 {
			go func() {
				_, err := w.nodes["a"].ask(t.Context(), "b", askRoot, make([]byte, maxBody))
				errs <- err
			}()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		if n := w.nodes["b"].own.bytes.Load(); n != maxQueuedBytes || len(errs) != 3 {
			t.Errorf("%d bytes wait, and %d questions were refused, want %d and 3", n, len(errs), maxQueuedBytes)
		}
		close(slow)
	})
}

func TestTooManyQuestionsOfOurOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, echo, "a", "b")
		stuck := make(chan struct{})
		w.hold = func(string, message) error { <-stuck; return nil }
		a := w.nodes["a"]
		ctx, cancel := context.WithCancel(t.Context())
		for range maxAsks {
			go func() { _, _ = a.ask(ctx, "b", askRoot, nil) }()
		}
		synctest.Wait()
		if _, err := a.ask(ctx, "b", askRoot, nil); !errors.Is(err, errTooMany) {
			t.Errorf("got %v, want that there are too many", err)
		}
		// What nobody waits for any more still takes up a connection.
		cancel()
		synctest.Wait()
		if _, err := a.ask(t.Context(), "b", askRoot, nil); !errors.Is(err, errTooMany) {
			t.Errorf("when nobody waits: %v, want that there are too many", err)
		}
		close(stuck)
		time.Sleep(time.Second)
		if _, err := a.ask(t.Context(), "b", askRoot, nil); err != nil {
			t.Errorf("when all are sent: %v", err)
		}
	})
}
