package store

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a [Table]. The zero value is a table in memory, alone.
type Config struct {
	// Node names this process among gateways; versions carry a hash of it. If
	// empty, "local".
	Node string

	// Journal keeps changes. If nil, nothing outlives the table. Close closes it.
	Journal Journal

	// OnAppend, if not nil, is told of every attempt to write to the journal, by
	// the goroutine that made it. It must be quick.
	OnAppend func(records int, took time.Duration, err error)

	// Clock is the physical time of versions; nothing else is read from it. If
	// nil, [time.Now].
	Clock func() time.Time

	// SVMTTL is how long an SVM that is not pinned may be silent before it is
	// down. If 0, 15 minutes: three of the product's report intervals.
	SVMTTL time.Duration

	// Logger receives what an operator should know. If nil, nothing is logged.
	Logger *slog.Logger
}

// A Table holds the records of one gateway. Its methods may be called by any
// number of goroutines. Create one with [Open].
type Table struct {
	log     *slog.Logger
	ttl     time.Duration
	start   time.Time
	loads   []SVMLoad // by index of the SVM; never moves
	picks   []atomic.Int32
	ready   [MaxSVMs / 64]atomic.Uint64
	view    atomic.Pointer[View]
	tokens  atomic.Pointer[tokenIndex]
	vms     vmTable
	refused atomic.Uint64 // records from too far in the future

	unreadable atomic.Uint64 // records left out of lenient batches

	journal  Journal
	onAppend func(records int, took time.Duration, err error)

	queue queue
	// turn has room for who makes changes, from staging to the end; it comes before
	// writing. It is a channel, so that a bubble of testing/synctest sees the wait.
	turn    chan struct{}
	forming group // of who has the turn

	snapshotting sync.Mutex      // held while a snapshot is written; comes before turn
	life         context.Context // of the table: Close ends a snapshot that is being written
	end          context.CancelFunc

	// writing serialises who changes memory; it is not held while the journal
	// writes. It guards what follows.
	writing   sync.Mutex
	clock     *clock
	closed    bool
	floor     int64 // of Forget, in milliseconds
	told      conflictsTold
	refusals  refusals
	tokenEnd  time.Time // when the next replaced token ends; zero: never
	observers subscribers[func(*ViewChange)]
	listeners subscribers[func(*News)]

	// mu guards what follows; writers hold it only to change memory. A holder
	// of writing may read without it.
	mu          sync.RWMutex
	floors      floors
	bulkStats   bulkStats
	timeline    timeline
	rows        map[Key]Record // see rowstore.go
	buckets     *[Buckets]bucket
	accounts    map[Key]Account
	tasks       map[TaskID]struct{}
	tokenRows   map[TenantID]Record
	tenantNames map[string][]TenantID // mostly one each
	svmIndex    map[SVMID]int
	symbols     *dictionary
	packing     packing
}

// News is what a change changed.
type News struct {
	// Records are the records as this change left them, in no particular order; a
	// change that was made together with it may have changed them again.
	Records []Record
	// Conflicts are what this change found out, and what merging gave up. There may be
	// some though no record was changed.
	Conflicts []Conflict
	// From is what [Batch.From] was.
	From string
	View *View
}

// A ViewChange tells an observer which tenants and SVMs differ from the view
// before, by index.
type ViewChange struct {
	View    *View
	Tenants []int
	SVMs    []int
}

// Open returns a table with the records of cfg.Journal. It starts no goroutine:
// call [Table.Run] to let SVMs and licences expire, and to keep the journal
// short. Close the table when done.
func Open(cfg Config) (*Table, error) {
	t := newTable(cfg)
	if err := t.load(); err != nil {
		return nil, err
	}
	return t, nil
}

func newTable(cfg Config) *Table {
	if cfg.Node == "" {
		cfg.Node = "local"
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.SVMTTL == 0 {
		cfg.SVMTTL = 15 * time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Journal == nil {
		cfg.Journal = noJournal{}
	}
	t := &Table{
		log: cfg.Logger, ttl: cfg.SVMTTL, start: time.Now().Add(-time.Nanosecond),
		journal: cfg.Journal, onAppend: cfg.OnAppend, turn: make(chan struct{}, 1),
		clock: newClock(cfg.Node, cfg.Clock), loads: make([]SVMLoad, MaxSVMs), picks: make([]atomic.Int32, MaxSVMs),
	}
	t.forming.table = t
	t.life, t.end = context.WithCancel(context.Background())
	t.empty()
	return t
}

// empty makes a table that nobody uses yet one without records.
func (t *Table) empty() {
	t.vms = vmTable{}
	t.floors.clear()
	t.bulkStats, t.timeline = bulkStats{}, timeline{}
	t.buckets = new([Buckets]bucket)
	t.rows, t.accounts, t.tokenRows = map[Key]Record{}, map[Key]Account{}, map[TenantID]Record{}
	t.tasks = map[TaskID]struct{}{}
	t.tenantNames, t.svmIndex, t.symbols = map[string][]TenantID{}, map[SVMID]int{}, newDictionary()
	t.view.Store(&View{tenants: make([]*Tenant, 1), paths: t.symbols.paths, versions: t.symbols.versions})
	t.tokens.Store(newTokenIndex(0))
}

// Close waits for the writes that are under way, ends a snapshot that is being
// written, and closes the journal. Reading remains possible, writing does not.
func (t *Table) Close() error {
	t.end()
	t.snapshotting.Lock() // nobody may be at work in the directory once it is unlocked
	defer t.snapshotting.Unlock()
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	t.writing.Lock()
	defer t.writing.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	return t.journal.Close()
}

// heardAll counts every SVM that ever reported as heard just now: reports are not
// journalled, and nobody shall be unprotected because this process was restarted.
func (t *Table) heardAll() {
	now := time.Since(t.start)
	for _, e := range t.view.Load().svms {
		if e != nil && !t.rows[Key{KindSVMFacts, e.ID}].Deleted() {
			t.loads[e.Index].heard.Store(int64(now))
			t.settle(e, now)
		}
	}
}

// View returns the present picture of tenants and SVMs. It takes no lock.
func (t *Table) View() *View { return t.view.Load() }

// Load returns the load of the SVM with index i. It takes no lock; the pointer
// stays valid as long as the table.
func (t *Table) Load(i int) *SVMLoad { return &t.loads[i] }

// SVMTTL returns how long an SVM that is not pinned may be silent; see [Config.SVMTTL].
func (t *Table) SVMTTL() time.Duration { return t.ttl }

// Ready reports whether the SVM with index i is [Ready] and has no hard cap: of
// most SVMs a question need not know more. It is as current as [Table.Load], and
// for thousands of SVMs it comes out of a few cache lines.
func (t *Table) Ready(i int) bool { return t.ready[i/64%len(t.ready)].Load()>>(i%64)&1 == 1 }

// Lookup returns the slot of a registered VM. It takes no lock and does not
// allocate. The tenant index of the slot may be newer than a view that was taken
// before: take the view again if it is out of range.
func (t *Table) Lookup(id *BIOSID) (Slot, bool) {
	hash := hashBIOS(id)
	slot, facts := t.vms.search(id, hash)
	return Slot{slot: slot, facts: facts, hash: hash}, facts&factsLive != 0
}

// TenantByToken returns the tenant whose agent token has the SHA-256 sum. It
// takes no lock and does not allocate.
func (t *Table) TenantByToken(sum [32]byte) (TenantID, bool) {
	s := t.tokens.Load().slot(&sum)
	return s.tenant, s.used
}

// Observe calls fn with the present view, in which everything counts as changed,
// and then with every new view before anybody can look up a VM that refers to
// it. Whatever fn derives and publishes is therefore in place when the change is
// acknowledged. fn runs under the table's locks: it must be quick and may use
// nothing of the table but the view and [Table.Load].
func (t *Table) Observe(fn func(*ViewChange)) (cancel func()) {
	t.writing.Lock()
	defer t.writing.Unlock()
	view := t.view.Load()
	all := &ViewChange{View: view}
	for i := range view.tenants {
		all.Tenants = append(all.Tenants, i)
	}
	for i := range view.svms {
		all.SVMs = append(all.SVMs, i)
	}
	fn(all)
	return t.observers.add(&t.writing, fn)
}

// Subscribe calls fn with the news of every change, after the change is visible
// and before it is acknowledged. fn runs under the writer's lock: it must be
// quick, must not write to the table and must not modify the news. What the table
// has when Subscribe returns and what fn is told of is all there is: a change that
// is being made meanwhile is waited for.
func (t *Table) Subscribe(fn func(*News)) (cancel func()) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	t.writing.Lock()
	defer t.writing.Unlock()
	return t.listeners.add(&t.writing, fn)
}

// subscribers is a set of functions; its methods need the writer's lock.
type subscribers[F any] struct {
	next int
	fns  map[int]F
}

func (s *subscribers[F]) add(lock sync.Locker, fn F) (cancel func()) {
	if s.fns == nil {
		s.fns = map[int]F{}
	}
	id := s.next
	s.next++
	s.fns[id] = fn
	return func() {
		lock.Lock()
		defer lock.Unlock()
		delete(s.fns, id)
	}
}

// Stats are counts of a table, for metrics.
type Stats struct {
	Tenants, SVMs, VMs, Accounts int
	Events                       int
	Observations                 int    // tombstones included
	Protections                  int    // VMs of tenants that have days of protection, or had lately
	Tombstones                   int    // records that say "deleted": see [Table.Forget]
	Revision                     uint64 // of the view
	SkewRefused                  uint64 // records refused for a version too far in the future
	Unreadable                   uint64 // left out of lenient batches

	// Ahead is how far the newest version of the table is ahead of its clock; negative if
	// it is behind. What is written here gets newer versions: while it is more than
	// [MaxSkew], other gateways refuse that.
	Ahead time.Duration
}

// Stats returns the present counts.
func (t *Table) Stats() Stats {
	view := t.view.Load()
	s := Stats{
		VMs: int(t.vms.live.Load()), Revision: view.revision, SkewRefused: t.refused.Load(), Unreadable: t.unreadable.Load(),
	}
	for _, tenant := range view.tenants {
		if tenant != nil {
			s.Tenants++
		}
	}
	for _, e := range view.svms {
		if e != nil {
			s.SVMs++
		}
	}
	t.mu.RLock()
	s.Accounts, s.Tombstones = len(t.accounts), t.tombstones()
	s.Events, s.Observations, s.Protections = t.bulkStats.events, t.bulkStats.observations, t.bulkStats.protections
	t.mu.RUnlock()
	t.writing.Lock()
	s.Ahead = t.clock.ahead()
	t.writing.Unlock()
	return s
}
