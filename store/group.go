package store

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// Changes reach the disk in groups: those that arrive while one group is being
// written make up the next. The first to arrive leads. It stages the changes of
// all, writes them as one, makes them visible and wakes the others. So there is
// no goroutine to start or to stop, one fsync serves everybody who waits, and a
// caller who is alone waits for nobody.

// A change is what one caller wants.
type change struct {
	from string
	fn   func(*Tx) error
	told bool // whether the caller, too, wants the news

	refused  error    // by fn or by a bound
	relies   bool     // on the disk: it wrote something, or saw what others of its group wrote
	passing  []Record // all its records, if none of them is for the journal
	news     *News
	err      error
	panicked any
}

// queue is where changes wait for their turn.
type queue struct {
	mu    sync.Mutex
	queue *callers // nil if nobody waits
}

// callers are changes that wait together; done is closed when none waits any more.
type callers struct {
	changes []*change
	done    chan struct{}
}

// enter adds a change to those that wait, and reports whether it leads them.
func (q *queue) enter(c *change) (*callers, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	leads := q.queue == nil
	if leads {
		q.queue = &callers{done: make(chan struct{})}
	}
	q.queue.changes = append(q.queue.changes, c)
	return q.queue, leads
}

// take returns the changes that wait; who comes later waits for the next turn.
func (q *queue) take() []*change {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.queue.changes
	q.queue = nil
	return list
}

// gather lets those come along who are about to: as a rule the callers who were
// woken a moment ago. It ends when nobody has come while others could run, or when
// there are so many that an fsync is cheap for each of them: more had better come
// while these are worked on, on another processor.
func (q *queue) gather() {
	const many = 64
	for before := 0; ; runtime.Gosched() {
		q.mu.Lock()
		n := len(q.queue.changes)
		q.mu.Unlock()
		if n == before || n >= many {
			return
		}
		before = n
	}
}

// errAbandoned is what the other changes of a group get when a function ends its
// goroutine, as FailNow of a test does, instead of returning.
var errAbandoned = errors.New("store: another change ended the goroutine that made this one; it may have been made, or not")

// do makes one change, together with those of others.
func (t *Table) do(c *change) {
	c.err = errAbandoned
	with, leads := t.queue.enter(c)
	if leads {
		t.lead(with)
	}
	<-with.done
	if c.panicked != nil {
		panic(c.panicked)
	}
}

// lead makes the changes of all who wait.
func (t *Table) lead(with *callers) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	defer close(with.done) // first: who is woken may come along with the next group
	t.queue.gather()
	for waiting := t.queue.take(); len(waiting) > 0; {
		waiting = t.group(waiting)
	}
}

// maxGroup bounds the bytes of changes that are written as one.
const maxGroup = 16 << 20

// group makes changes, as many as are to be written as one, and returns the rest.
func (t *Table) group(waiting []*change) (rest []*change) {
	g := &t.forming
	defer g.reset()
	n := g.stageAll(waiting)
	made, rest := waiting[:n], waiting[n:]
	packed := t.packMeanwhile(&g.stage)
	failed := t.append(lasting(g.rows))
	packed()
	if failed != nil {
		t.packing.forget()
		g.keepPassing(made)
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	failed = errors.Join(failed, t.commit(&g.stage))
	for _, c := range made {
		// What came of a change that saw the others of a failed group is not true:
		// not even that there is nothing to do, or that a name is taken.
		if c.err = c.refused; failed != nil && c.relies && c.passing == nil && c.panicked == nil {
			c.err = failed
		}
	}
	t.tell(made)
	return rest
}

// group is what is written as one. Its memory is used for one after another.
type group struct {
	stage
	table  *Table
	lasts  bool                // whether there is anything for the journal
	names  map[string]TenantID // of tenants named in its changes; zero: name given up
	tx     Tx
	values []byte // memory for those of VMs
}

func (g *group) reset() {
	g.stage.reset()
	g.lasts, g.names, g.tx = false, nil, Tx{}
}

// stageAll runs changes until the group is large enough, and returns how many.
func (g *group) stageAll(waiting []*change) int {
	t := g.table
	t.writing.Lock()
	defer t.writing.Unlock()
	t.clock.read()
	size := 0
	for i, c := range waiting {
		if size > maxGroup {
			return i
		}
		before := len(g.rows)
		g.stageOne(c)
		for j := before; j < len(g.rows); j++ {
			size += 64 + len(g.rows[j].Value)
		}
	}
	return len(waiting)
}

// stageOne runs one change. What it staged is undone if it fails.
func (g *group) stageOne(c *change) {
	t := g.table
	if t.closed {
		c.refused = ErrClosed
		return
	}
	tx := &g.tx
	*tx = Tx{table: t, group: g, now: t.clock.now}
	g.begin()
	c.relies = g.lasts
	c.run(tx)
	made, lasting := g.changes()
	if c.refused == nil && made {
		c.refused = t.checkBounds(&g.stage)
	}
	if c.refused != nil {
		g.rollback()
		return
	}
	if c.told || len(t.listeners.fns) > 0 {
		c.news = &News{From: c.from, Records: g.change(), Conflicts: tx.conflicts}
	}
	switch {
	case lasting:
		c.relies, g.lasts = true, true
	case made:
		c.passing = g.change()
	}
	for name, id := range tx.names {
		if g.names == nil {
			g.names = map[string]TenantID{}
		}
		g.names[name] = id
	}
}

// run calls fn on behalf of another goroutine, which is to have the panic.
func (c *change) run(tx *Tx) {
	defer func() {
		if p := recover(); p != nil {
			c.panicked = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
			c.refused = errAbandoned
		}
	}()
	c.refused = c.fn(tx)
}

// append writes to the journal.
func (t *Table) append(records []Record) error {
	if len(records) == 0 {
		return nil
	}
	begin := time.Now()
	err := t.journal.Append(records)
	if t.onAppend != nil {
		t.onAppend(len(records), time.Since(begin), err)
	}
	return err
}

// keepPassing leaves of a group that could not be written what need not last:
// SVMs' reports keep them up while the disk is full.
func (g *group) keepPassing(made []*change) {
	g.stage = stage{}
	for _, c := range made {
		for _, r := range c.passing {
			g.put(r)
		}
	}
}

// tell hands the news of changes to who wants them. It needs the writers' lock.
func (t *Table) tell(made []*change) {
	view := t.view.Load()
	for _, c := range made {
		if c.news == nil || c.err != nil {
			continue
		}
		c.news.View, c.news.Conflicts = view, t.told.fresh(c.news.Conflicts)
		if len(c.news.Records)+len(c.news.Conflicts) == 0 {
			continue
		}
		for _, fn := range t.listeners.fns {
			fn(c.news)
		}
	}
}
