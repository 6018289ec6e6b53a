package protection

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/store"
)

// Bounds of what a [Book] has in memory.
const (
	// MaxKnown is how many VMs a Book remembers the last statement of; of further ones
	// each statement is looked up in the table.
	MaxKnown = 1 << 24
	// MaxWaiting is how many proven days wait to be written down; further ones are
	// dropped, counted, and proven again by the agent's next statement.
	MaxWaiting = 1 << 17
)

// Config configures a [Book]. Table is required.
type Config struct {
	Table *store.Table

	// Clock is the clock of the table ([store.Config].Clock); if nil, [time.Now].
	Clock func() time.Time

	// Collect says whether anything is written down, and reported.
	Collect bool

	// Keep is how many days are reported, today included, and how long a VM is remembered
	// that is not protected any more; 1 to [store.MaxDays], 0 means that.
	Keep int

	Log *slog.Logger // if nil, nothing is logged
}

// A Book has what is known of the days on which VMs were protected. Its methods may be
// called from many goroutines.
type Book struct {
	cfg    Config
	shards [shards]shard
	queue  queue
	counts counts
}

// shards is how many parts the memory of statements has, each with a lock.
const shards = 256

// A shard has what was said of a part of the VMs.
type shard struct {
	mu    sync.Mutex
	known map[store.BIOSID]known // without pointers, for the garbage collector's sake
}

// known is what is known of a VM: 12 bytes.
type known struct {
	at     uint32 // of the last statement, in seconds since 1970
	day    int32  // the last that was written down, or is about to be
	tenant uint32 // index, for whom it was; the highest bit is whether the agent was connected
}

const (
	connectedBit = 1 << 31
	noDay        = -1
)

func (k known) statement() statement {
	return statement{int64(k.at), k.tenant&connectedBit != 0}
}

// New returns a Book for cfg. [Book.Run] has to run for anything to be written down. If
// cfg is wrong the error says how.
func New(cfg Config) (*Book, error) {
	if cfg.Table == nil {
		return nil, errors.New("protection: Config.Table must be set")
	}
	if cfg.Keep < 0 || cfg.Keep > store.MaxDays {
		return nil, fmt.Errorf("protection: Config.Keep is %d, want 1 to %d days", cfg.Keep, store.MaxDays)
	}
	if cfg.Keep == 0 {
		cfg.Keep = store.MaxDays
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	b := &Book{cfg: cfg, queue: queue{wake: make(chan struct{}, 1)}}
	for i := range b.shards {
		b.shards[i].known = map[store.BIOSID]known{}
	}
	return b, nil
}

// Collecting reports whether anything is written down.
func (b *Book) Collecting() bool { return b.cfg.Collect }

// kept returns the days that are reported at a moment.
func (b *Book) kept(now time.Time) span {
	today := store.DayOf(now)
	return span{today - store.Day(b.cfg.Keep) + 1, today}
}

// Said takes what the agent of a VM says of itself at a moment: whether it is connected
// to an SVM. It waits for nothing: what it proves is written down by [Book.Run].
//
// Of a million agents that ask every five minutes 3,333 say something each second, and
// nearly nothing of it is new. So all of that is found out in memory
// (BenchmarkSaidNothingNew).
func (b *Book) Said(vm store.BIOSID, connected bool, at time.Time) {
	if !b.cfg.Collect {
		return
	}
	slot, ok := b.cfg.Table.Lookup(&vm)
	if !ok {
		b.counts.strangers.Add(1)
		return
	}
	b.counts.said.Add(1)
	tenant := uint32(slot.Tenant())
	s := &b.shards[slot.Hash()%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	k, remembered := s.known[vm]
	now := statement{at.Unix(), connected}
	days := now.proves(k.statement())
	proven := days
	if remembered && k.tenant&^connectedBit == tenant {
		proven = days.without(store.Day(k.day))
	} else {
		k.day = noDay
	}
	if !proven.empty() && b.queue.put(evidence{vm, proven}) {
		k.day = int32(days.last)
	}
	k.at, k.tenant = uint32(now.at), tenant
	if connected {
		k.tenant |= connectedBit
	}
	if remembered || len(s.known) < MaxKnown/shards {
		s.known[vm] = k
	}
}

// unwritten takes back that a day of a VM was written down.
func (b *Book) unwritten(vm store.BIOSID) {
	slot, _ := b.cfg.Table.Lookup(&vm) // for its hash, which it has in any case
	s := &b.shards[slot.Hash()%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.known[vm]; ok {
		k.day = noDay
		s.known[vm] = k
	}
}

// silent is how long an agent says nothing until its last statement is forgotten: by
// then it proves nothing, however wrong the clock was that it was told by.
const silent = 24 * time.Hour

// tidy forgets statements that prove nothing any more.
func (b *Book) tidy() {
	since := b.cfg.Clock().Add(-silent).Unix()
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		for vm, k := range s.known {
			if int64(k.at) < since {
				delete(s.known, vm)
			}
		}
		s.mu.Unlock()
	}
}

// counts are what [Book.Stats] tells of.
type counts struct {
	said, strangers           atomic.Uint64
	days, unwritten, failures atomic.Uint64
	sessions, refusedSessions atomic.Uint64
}

// Stats are counts since the start, unless they say otherwise.
type Stats struct {
	Said      uint64 // statements of agents
	Strangers uint64 // those of VMs that are not registered, which prove nothing
	Known     int    // VMs whose last statement is remembered, now

	Written   uint64 // changes: days, or days in a row, that were new
	Waiting   int    // proven days that wait to be written down, now
	Dropped   uint64 // those that found no room
	Unwritten uint64 // those whose VM was unregistered meanwhile, or that are yet to come
	Failures  uint64 // attempts to write that the table refused; they are repeated

	Sessions        uint64 // sessions of SVMs that were taken
	RefusedSessions uint64
}

// Stats returns the present counts.
func (b *Book) Stats() Stats {
	c := &b.counts
	s := Stats{
		Said: c.said.Load(), Strangers: c.strangers.Load(), Written: c.days.Load(), Unwritten: c.unwritten.Load(),
		Failures: c.failures.Load(), Sessions: c.sessions.Load(), RefusedSessions: c.refusedSessions.Load(),
	}
	s.Waiting, s.Dropped = b.queue.stats()
	for i := range b.shards {
		shard := &b.shards[i]
		shard.mu.Lock()
		s.Known += len(shard.known)
		shard.mu.Unlock()
	}
	return s
}
