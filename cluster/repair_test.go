package cluster

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A town is nodes without a network: all that connects them are questions and hints,
// so whatever becomes equal does so by repair.
type town struct {
	t    *testing.T
	life context.Context
	work sync.WaitGroup
	log  lines

	mu    sync.Mutex
	nodes map[string]*dweller
	cut   func(from, to string, what question) bool // whether a question is lost
	asked map[question]int
	bytes int
}

// lines are what was logged.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// A dweller is a node of a town.
type dweller struct {
	repair
	*Map
	stale chan Stale
}

func newTown(t *testing.T) *town {
	life, end := context.WithCancel(context.Background())
	w := &town{t: t, life: life, nodes: map[string]*dweller{}, asked: map[question]int{}}
	t.Cleanup(func() {
		end()
		w.work.Wait()
	})
	return w
}

// add starts a node, with a table that fill has been at.
func (w *town) add(cfg Config, fill func(*Map)) *dweller {
	w.t.Helper()
	if cfg.Clock == nil {
		cfg.Clock = NewClock(time.Now)
	}
	n := &dweller{Map: NewMap(cfg.Name, cfg.Clock), stale: make(chan Stale, 1)}
	if fill != nil {
		fill(n.Map)
	}
	if cfg.Table == nil {
		cfg.Table = n.Map
	}
	cfg.Stale = func(s Stale) { n.stale <- s }
	n.repair.init(&cfg, cfg.Clock, slog.New(slog.NewTextHandler(&w.log, nil)))
	n.repair.life, n.repair.live = w.life, func() []string { return w.others(cfg.Name) }
	n.ask = func(ctx context.Context, peer string, what question, body []byte) ([]byte, error) {
		return w.ask(ctx, cfg.Name, peer, what, body)
	}
	n.hint = func(peer string, root uint64) {
		if to := w.node(cfg.Name, peer, 0); to != nil {
			select {
			case to.roots <- heardRoot{cfg.Name, root}:
			default:
			}
		}
	}
	w.mu.Lock()
	w.nodes[cfg.Name] = n
	w.mu.Unlock()
	w.work.Go(n.run)
	return n
}

// remove makes a node unreachable.
func (w *town) remove(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.nodes, name)
}

func (w *town) others(name string) (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for other := range w.nodes {
		if other != name {
			names = append(names, other)
		}
	}
	return names
}

func (w *town) node(from, to string, what question) *dweller {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[what]++
	if w.nodes[from] == nil || w.cut != nil && w.cut(from, to, what) {
		return nil
	}
	return w.nodes[to]
}

func (w *town) ask(ctx context.Context, from, to string, what question, body []byte) ([]byte, error) {
	n := w.node(from, to, what)
	if n == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(time.Millisecond)
	var answer []byte
	var err error
	switch what {
	case askDigest:
		answer, err = n.answerDigest(from, body)
	case askPull:
		answer, err = n.servePull(from, body)
	default:
		panic(what)
	}
	time.Sleep(time.Millisecond)
	w.mu.Lock()
	w.bytes += len(body) + len(answer)
	w.mu.Unlock()
	if len(answer) > maxBody {
		w.t.Errorf("an answer has %d bytes", len(answer))
	}
	return answer, err
}

func (w *town) count(what question) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[what]
}

// sent is how many bytes questions and answers had.
func (w *town) sent() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.bytes
}

func mapKey(id int) (k Key) {
	k.Kind = 1
	binary.BigEndian.PutUint64(k.ID[8:], uint64(id))
	return k
}

// fill returns what puts records into a map: the same ones, whoever does.
func fill(from, to int) func(*Map) { return func(m *Map) { m.Merge("", recordsOf(from, to)) } }

func recordsOf(from, to int) (all []Record) {
	clock := at(time.UnixMilli(9e11))
	for id := from; id < to; id++ {
		value := fmt.Appendf(nil, "value %d, as it was told to one of the nodes", id)
		all = append(all, Record{mapKey(id), Version{clock, 1}, value})
	}
	return all
}

// write returns what puts records into a map that nobody else has.
func write(from, to int) func(*Map) {
	return func(m *Map) {
		for id := from; id < to; id++ {
			m.Set(mapKey(id), []byte("anew"))
		}
	}
}

func equal(nodes ...*dweller) bool {
	for _, n := range nodes[1:] {
		if rootOf(n.Map) != rootOf(nodes[0].Map) {
			return false
		}
	}
	return true
}

// settle waits until tables are equal, and returns how long that took.
func settle(t *testing.T, limit time.Duration, nodes ...*dweller) time.Duration {
	t.Helper()
	began := time.Now()
	for !equal(nodes...) {
		if time.Since(began) > limit {
			t.Fatalf("tables differ after %v", limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func TestRepairMakesTablesEqual(t *testing.T) {
	for _, tt := range []struct {
		name string
		fill []func(*Map)
	}{
		{"one has everything", []func(*Map){fill(0, 5000), nil, nil}},
		{"one lacks a record", []func(*Map){fill(0, 5000), fill(0, 4999), fill(0, 5000)}},
		{"each has something", []func(*Map){fill(0, 3000), fill(2000, 5000), fill(4000, 8000)}},
		{"each changed the same", []func(*Map){write(0, 3000), write(0, 3000), write(0, 3000)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTown(t)
				var nodes []*dweller
				for i, fill := range tt.fill {
					nodes = append(nodes, w.add(Config{Name: fmt.Sprint("n", i)}, fill))
				}
				took := settle(t, 10*time.Second, nodes...)
				t.Logf("equal after %v, %d exchanges, %d pulls, %d bytes", took, w.count(askDigest), w.count(askPull), w.sent())
				time.Sleep(15 * time.Second)
				for _, n := range nodes {
					if n.counts.differing.Load() != 0 {
						t.Errorf("%s still counts %d buckets that differ", n.self, n.counts.differing.Load())
					}
				}
				pulls := w.count(askPull)
				time.Sleep(time.Minute)
				if more := w.count(askPull) - pulls; more != 0 {
					t.Errorf("equal tables pulled %d times", more)
				}
			})
		})
	}
}
