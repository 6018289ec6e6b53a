package sink

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A sink is a target with what waits for it.
type sink struct {
	target  Target
	table   *store.Table
	backlog int
	log     *slog.Logger
	wake    chan struct{} // has one element if something waits that did not

	// mu guards what follows. Writers of the table wait for it: nobody who holds it may
	// ask the table.
	mu sync.Mutex
	position
	queue   []entry // by version
	failing bool
	changed bool // since it was kept

	expected int           // how many waited when that was kept
	until    store.Version // up to here

	// What only run uses.
	failures int       // in a row
	since    time.Time // when they began
	dropping bool      // since then
	said     time.Time // that an event was refused
}

// A position says where a sink is.
type position struct {
	cursor store.Version // of the last event that it is done with
	newest store.Version // of the last event that it was told of

	delivered, dropped, refused uint64
}

// An entry is where an event that waits can be found.
type entry struct {
	version store.Version
	id      store.EventID
}

func compareEntries(a, b entry) int { return a.version.Compare(b.version) }

// add puts events where they belong, nearly always at the end. Writers wait for it.
func (s *sink) add(entries ...entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if e.version.Compare(s.cursor) > 0 {
			s.insert(e)
		}
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *sink) insert(e entry) {
	at, found := len(s.queue), false
	if at > 0 && compareEntries(e, s.queue[at-1]) <= 0 {
		at, found = slices.BinarySearchFunc(s.queue, e, compareEntries)
	}
	if found {
		return
	}
	s.queue = slices.Insert(s.queue, at, e)
	if s.newest.Compare(e.version) < 0 {
		s.newest = e.version
	}
	s.changed = true
}

// settle compares what waits with what did when that was kept, and returns how many are
// missing: the table forgot them before this gateway could deliver them.
func (s *sink) settle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := 0
	for _, e := range s.queue {
		if e.version.Compare(s.until) <= 0 {
			there++
		}
	}
	lost := max(s.expected-there, 0)
	s.expected = 0
	s.dropped += uint64(lost)
	s.changed = s.changed || lost > 0
	return lost
}

// first returns up to most entries.
func (s *sink) first(most int) []entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queue[:min(most, len(s.queue))])
}

// leave takes an event out of the queue, and counts it if there is something to count.
// One that is not there any more was counted before.
func (s *sink) leave(v store.Version, count *uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, found := slices.BinarySearchFunc(s.queue, entry{version: v}, compareEntries)
	if !found {
		return
	}
	if at == 0 {
		s.queue = s.queue[1:]
	} else {
		s.queue = slices.Delete(s.queue, at, at+1)
	}
	if s.cursor.Compare(v) < 0 {
		s.cursor = v
	}
	if count != nil {
		*count++
	}
	s.changed = true
}

// find returns the event of an entry, if it is still to be delivered. What the table has
// forgotten is dropped; what another gateway wrote before is the other's to deliver.
func (s *sink) find(e entry) (store.Event, bool) {
	event, there := s.table.Event(e.id)
	switch {
	case !there:
		s.drop(e)
	case event.Version != e.version:
		s.leave(e.version, nil)
	default:
		return event, true
	}
	return event, false
}

func (s *sink) drop(e entry) { s.leave(e.version, &s.dropped) }

// Bounds of what is delivered at once.
const (
	maxBatch      = 100
	maxBatchBytes = 1 << 20 // or one event
)

// batch returns the next events to deliver.
func (s *sink) batch() (events []store.Event) {
	for len(events) == 0 {
		entries := s.first(maxBatch)
		if len(entries) == 0 {
			return nil
		}
		for size, i := 0, 0; i < len(entries) && size < maxBatchBytes; i++ {
			if event, ok := s.find(entries[i]); ok {
				events = append(events, event)
				size += len(event.Message) + len(event.Before) + len(event.After)
			}
		}
	}
	return events
}

// trim drops the oldest while more wait than may.
func (s *sink) trim() {
	for {
		s.mu.Lock()
		over := len(s.queue) > s.backlog
		var oldest entry
		if over {
			oldest = s.queue[0]
		}
		s.mu.Unlock()
		if !over {
			return
		}
		if _, ok := s.find(oldest); !ok {
			continue
		}
		s.drop(oldest)
		if !s.dropping {
			s.dropping = true
			s.log.Error("more events wait than events-backlog allows: the oldest are dropped", "backlog", s.backlog)
		}
	}
}

// sweep drops what the table has forgotten, before it is its turn.
func (s *sink) sweep() {
	for _, e := range s.first(s.backlog) {
		s.find(e)
	}
}

func (s *sink) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{
		Name: s.target.Name(), Delivered: s.delivered, Dropped: s.dropped, Refused: s.refused,
		Backlog: len(s.queue), Failing: s.failing,
	}
	if len(s.queue) > 0 {
		out.Oldest = time.UnixMilli(s.queue[0].version.Millis())
	}
	return out
}
