package sink

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A Target is where a sink takes events. One goroutine at a time calls its methods.
type Target interface {
	// Name tells targets apart, in metrics, in the log, and where cursors are kept.
	Name() string

	// Deliver takes events, in order, and returns how many it took for certain. If the
	// error is a [*RefusedError], the next one will never be taken; else the rest is
	// delivered again later. An error may be a [*LaterError], which says when.
	Deliver(ctx context.Context, events []store.Event) (taken int, err error)

	// Close ends what is open. Deliver opens it again.
	Close() error
}

// A RefusedError says that a target will never take an event.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns what the target said.
func (e *RefusedError) Unwrap() error { return e.Err }

// A LaterError says that a target wants to be left alone for some time.
type LaterError struct {
	Err   error
	After time.Duration
}

func (e *LaterError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *LaterError) Unwrap() error { return e.Err }

// DefaultBacklog is how many events may wait for a sink.
const DefaultBacklog = 100_000

// Config configures [Sinks]. Table and Targets are required.
type Config struct {
	Table   *store.Table
	Targets []Target // each with a name of its own

	// Backlog is how many events may wait for each of them; 0 means [DefaultBacklog].
	Backlog int

	// Keep keeps cursors and counts. If nil, they end with the process.
	Keep Keeper

	// Anew says that the table is to be filled by others: what is not there yet may still
	// come, until Run is called.
	Anew bool

	// Log is told of changes of state. If nil, nobody is.
	Log *slog.Logger
}

// Sinks deliver events. Their methods may be called from many goroutines.
type Sinks struct {
	cfg    Config
	sinks  []*sink
	unkept error  // why the cursors could not be kept; nil if they could
	cancel func() // of the subscription
}

// Stats tell of one sink.
type Stats struct {
	Name                        string
	Delivered, Dropped, Refused uint64    // events, ever
	Backlog                     int       // events that wait
	Oldest                      time.Time // when the first of them was written; zero if none waits
	Failing                     bool      // whether the last try failed
}

// Open finds out where each sink stands, and takes note of all that is written from now
// on. It delivers nothing: call [Sinks.Run] for that.
func Open(cfg Config) *Sinks {
	if cfg.Backlog == 0 {
		cfg.Backlog = DefaultBacklog
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sinks{cfg: cfg}
	kept := s.load()
	newest := s.newest()
	for _, t := range cfg.Targets {
		one := &sink{
			target: t, table: cfg.Table, backlog: cfg.Backlog, log: cfg.Log.With("sink", t.Name()), wake: make(chan struct{}, 1),
			position: position{cursor: newest, newest: newest}, changed: true,
		}
		if k, ok := kept[t.Name()]; ok {
			one.position, one.expected, one.until = k.position(), k.Waiting, k.Newest.Version
			// Else a clock was ahead that is right again, and the events of then are gone.
			one.cursor = earlier(one.cursor, newest)
		}
		s.sinks = append(s.sinks, one)
	}
	s.cancel = cfg.Table.Subscribe(s.note)
	s.scan()
	if !cfg.Anew {
		s.settle()
	}
	s.save(len(kept) > 0)
	return s
}

// newest returns a version that is before every one that this gateway will write, and
// not before one that it has written.
func (s *Sinks) newest() store.Version {
	newest := store.Version{Clock: uint64(max(time.Now().UnixMilli(), 0)) << 16}
	s.cfg.Table.Events(newest, func(e *store.Event) bool {
		if s.cfg.Table.Wrote(e.Version) {
			newest = e.Version
		}
		return true
	})
	return newest
}

// note takes note of events. It is told of every change, under the writers' lock. The
// records of a change come in no particular order: a sink is told of all of them at once,
// or it could be past one that it is told of later.
func (s *Sinks) note(news *store.News) {
	var entries []entry
	for i := range news.Records {
		r := &news.Records[i]
		if r.Key.Kind == store.KindEvent && r.Key.ID != [16]byte{} && !r.Deleted() && s.cfg.Table.Wrote(r.Version) {
			entries = append(entries, entry{r.Version, r.Key.ID})
		}
	}
	if entries == nil {
		return
	}
	for _, one := range s.sinks {
		one.add(entries...)
	}
}

// scan takes note of the events that are there.
func (s *Sinks) scan() {
	if len(s.sinks) == 0 {
		return
	}
	from := s.sinks[0].cursor
	for _, one := range s.sinks[1:] {
		from = earlier(from, one.cursor)
	}
	s.cfg.Table.Events(from, func(e *store.Event) bool {
		if s.cfg.Table.Wrote(e.Version) {
			for _, one := range s.sinks {
				one.add(entry{e.Version, e.ID})
			}
		}
		return true
	})
}

// settle counts what waited when the process ended and is not there any more.
func (s *Sinks) settle() {
	for _, one := range s.sinks {
		if lost := one.settle(); lost > 0 {
			one.log.Error("events were forgotten before they could be delivered", "events", lost)
		}
	}
}

// Run delivers events until ctx is done. What waits then is delivered as far as that
// works at once.
func (s *Sinks) Run(ctx context.Context) {
	if s.cfg.Anew {
		s.settle()
	}
	var running sync.WaitGroup
	for _, one := range s.sinks {
		running.Go(func() { one.run(ctx) })
	}
	over := make(chan struct{})
	go func() { running.Wait(); close(over) }()
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.save(false)
		case <-over:
			s.cancel()
			s.save(false)
			return
		}
	}
}

// Stats tell of each sink, in the order of the targets.
func (s *Sinks) Stats() []Stats {
	var all []Stats
	for _, one := range s.sinks {
		all = append(all, one.stats())
	}
	return all
}

func earlier(a, b store.Version) store.Version {
	if a.Compare(b) < 0 {
		return a
	}
	return b
}
