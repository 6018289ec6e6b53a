package task

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A fake is a procedure that does what a test says; what is nil does nothing.
type fake struct {
	name   string
	do     func(ctx context.Context, j *Job) error
	commit func(tx *store.Tx, j *Job) ([]byte, error)
	undo   func(ctx context.Context, j *Job) error
}

func (f *fake) Type() string { return f.name }

func (f *fake) Do(ctx context.Context, j *Job) error {
	if f.do == nil {
		return nil
	}
	return f.do(ctx, j)
}

func (f *fake) Commit(tx *store.Tx, j *Job) ([]byte, error) {
	if f.commit == nil {
		return nil, nil
	}
	return f.commit(tx, j)
}

func (f *fake) Undo(ctx context.Context, j *Job) error {
	if f.undo == nil {
		return nil
	}
	return f.undo(ctx, j)
}

// A disk is a journal in memory that outlives the table.
type disk struct {
	mu      sync.Mutex
	records []store.Record
	full    bool
}

func (d *disk) Replay(fn func(store.Record) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.records {
		if err := fn(r); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) Append(records []store.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.full {
		return fmt.Errorf("%w: the disk is full", store.ErrReadOnly)
	}
	d.records = append(d.records, records...)
	return nil
}

func (d *disk) Close() error { return nil }

func (d *disk) fill(full bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full = full
}

func openTable(t testing.TB, node string, journal store.Journal) *store.Table {
	t.Helper()
	table, err := store.Open(store.Config{Node: node, Journal: journal})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

// start returns a runner of the table; the test ends it.
func start(t testing.TB, table *store.Table, procedures ...Procedure) *Runner {
	t.Helper()
	return startAs(t, Config{Table: table, Node: "a", Procedures: procedures})
}

func startAs(t testing.TB, cfg Config) *Runner {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(r) })
	return r
}

// kill stops a runner as a crash would, as far as its tasks are concerned.
func kill(r *Runner) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.Stop(ctx)
}

func begin(t testing.TB, r *Runner, spec Spec) store.TaskID {
	t.Helper()
	task, err := r.Begin(spec)
	if err != nil {
		t.Fatal(err)
	}
	return task.ID
}

// is fails the test unless a task is in a state, with an error, if there is one.
func is(t testing.TB, table *store.Table, id store.TaskID, state store.TaskState, why error) store.Task {
	t.Helper()
	task, ok := table.Task(id)
	text := ""
	if why != nil {
		text = why.Error()
	}
	if !ok || task.State != state || task.Error != text {
		t.Errorf("the task is %v %q (%v); want %v %q", task.State, task.Error, ok, state, text)
	}
	return task
}

// merge brings what one table has into another.
func merge(t testing.TB, to, from *store.Table) {
	t.Helper()
	var list []store.Record
	from.Records(func(r store.Record) bool { list = append(list, r); return true })
	if _, err := to.Apply(store.Batch{Records: list, From: "peer"}); err != nil {
		t.Fatal(err)
	}
}

var errBroken = errors.New("broken")

// untilDone waits until ctx ends.
func untilDone(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

// pass lets time pass in a bubble, and everybody do what there is to do.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func hours(n int) time.Duration { return time.Duration(n) * time.Hour }
