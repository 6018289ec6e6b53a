package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

var errDown = errors.New("nobody is there")

// A receiver is a target that remembers what it took.
type receiver struct {
	mu    sync.Mutex
	err   error // what it says instead of taking events
	tries int
	took  []store.Event
	wants func(*store.Event) error // of each; nil: all
	slow  time.Duration
}

func (r *receiver) Name() string { return "receiver" }
func (r *receiver) Close() error { return nil }

func (r *receiver) Deliver(ctx context.Context, events []store.Event) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tries++
	if r.slow > 0 {
		r.mu.Unlock()
		select {
		case <-time.After(r.slow):
		case <-ctx.Done():
		}
		r.mu.Lock()
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	if r.err != nil {
		return 0, r.err
	}
	for i := range events {
		if r.wants != nil {
			if err := r.wants(&events[i]); err != nil {
				return i, err
			}
		}
		r.took = append(r.took, events[i])
	}
	return len(events), nil
}

func (r *receiver) says(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *receiver) tried() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tries
}

// messages are those of the events that it took.
func (r *receiver) messages() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.took {
		all = append(all, e.Message)
	}
	return all
}

// A world is a table with sinks on it, in a bubble.
type world struct {
	t       *testing.T
	table   *store.Table
	target  *receiver
	cfg     Config
	log     strings.Builder
	written []string // messages of the events that this gateway wrote since the sink was new

	sinks *Sinks
	end   func()
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	w := &world{t: t, target: &receiver{}}
	var err error
	w.table, err = store.Open(store.Config{Node: "here"})
	check(t, err)
	w.cfg = Config{
		Table: w.table, Targets: []Target{w.target}, Keep: new(Memory),
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	}
	for _, fn := range change {
		fn(&w.cfg)
	}
	w.start()
	t.Cleanup(func() { w.stop(); _ = w.table.Close() })
	return w
}

func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	w.sinks = Open(w.cfg)
	ended := make(chan struct{})
	sinks := w.sinks
	go func() { defer close(ended); sinks.Run(ctx) }()
	w.end = func() { cancel(); <-ended }
}

func (w *world) stop() {
	if w.end != nil {
		w.end()
		w.end = nil
	}
}

func (w *world) restart() {
	w.stop()
	w.start()
}

// crash ends the process without the last save: what is kept is what was kept before.
func (w *world) crash() {
	synctest.Wait()
	before := slices.Clone(w.cfg.Keep.(*Memory).text)
	w.stop()
	w.cfg.Keep.(*Memory).text = before
	w.start()
}

// write writes so many events, in one change.
func (w *world) write(n int) {
	w.t.Helper()
	check(w.t, w.table.Update(func(tx *store.Tx) error {
		for range n {
			m := fmt.Sprint("event ", len(w.written))
			w.written = append(w.written, m)
			if _, err := tx.Emit(store.Event{ID: store.NewEventID(), Type: "svm.up", Message: m}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// stats waits until nothing more can be done now, and tells where the sink is.
func (w *world) stats() Stats {
	synctest.Wait()
	return w.sinks.Stats()[0]
}

// balance fails unless each event is delivered, dropped, refused, or waits.
func (w *world) balance() Stats {
	w.t.Helper()
	s := w.stats()
	if got := int(s.Delivered+s.Dropped+s.Refused) + s.Backlog; got != len(w.written) {
		w.t.Errorf("%+v are %d events, want %d", s, got, len(w.written))
	}
	return s
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// inBubble runs a test in virtual time.
func inBubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}
