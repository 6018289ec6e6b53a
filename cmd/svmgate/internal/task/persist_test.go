package task

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

// Undoing is tried for as long as Persist, and what is left is told.
func TestUndoPersists(t *testing.T) {
	for _, tt := range []struct {
		name  string
		heals time.Duration // after which undoing works
		want  error
	}{
		{"it works in the end", 2 * time.Minute, errBroken},
		{"it never works", time.Hour, &LeftError{Cause: errBroken, Left: errors.New("unreachable")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table := openTable(t, "a", nil)
				r := start(t, table)
				began, tries := time.Now(), 0
				id := begin(t, r, Spec{Notes: []byte("what is left"), Procedure: &fake{name: "Make",
					do: func(context.Context, *Job) error { return errBroken },
					undo: func(context.Context, *Job) error {
						if tries++; time.Since(began) < tt.heals {
							return errors.New("unreachable")
						}
						return nil
					}}})
				pass(Persist + time.Minute)
				got := is(t, table, id, store.TaskFailed, tt.want)
				if tries < 4 || tries > 30 {
					t.Errorf("tried %d times", tries)
				}
				if kept := len(got.Notes) > 0; kept != (tt.heals > Persist) {
					t.Errorf("its notes are %q", got.Notes)
				}
				if took := got.StateChanged.Sub(began); took > Persist+30*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// Past the point of no return a task is gone on with, whatever happens: errors, a wish to
// end it, a crash.
func TestPointOfNoReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		table := openTable(t, "a", d)
		var failing atomic.Bool
		failing.Store(true)
		var undone atomic.Bool
		var done atomic.Int64
		p := &fake{name: "Remove",
			do: func(ctx context.Context, j *Job) error {
				if err := j.PointOfNoReturn("removing", 50, []byte("server 7")); err != nil {
					return err
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				if done.Add(1); failing.Load() {
					return errBroken
				}
				return nil
			},
			commit: func(_ *store.Tx, j *Job) ([]byte, error) { return j.Task.Notes, nil },
			undo:   func(context.Context, *Job) error { undone.Store(true); return nil },
		}
		first := start(t, table, p)
		id := begin(t, first, Spec{Procedure: p})
		pass(10 * time.Second)
		if got, err := first.Cancel(id, audit.Who{Account: "root"}); err != nil || got.State != store.TaskRunning {
			t.Errorf("Cancel = %v, %v; want it to go on", got.State, err)
		}
		pass(10 * time.Second)
		is(t, table, id, store.TaskRunning, nil)
		kill(first)
		table = openTable(t, "a", d)
		start(t, table, p)
		pass(10 * time.Second)
		before := done.Load()
		failing.Store(false)
		pass(time.Minute)
		if got := is(t, table, id, store.TaskCompleted, nil); string(got.Result) != "server 7" {
			t.Errorf("its result is %q", got.Result)
		}
		if undone.Load() || before < 6 || done.Load() != before+1 {
			t.Errorf("undone: %v; tried %d times, and then %d", undone.Load(), before, done.Load()-before)
		}
	})
}

func TestPointOfNoReturnGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := openTable(t, "a", nil)
		r := start(t, table)
		id := begin(t, r, Spec{Procedure: &fake{name: "Remove", do: func(_ context.Context, j *Job) error {
			return errors.Join(j.PointOfNoReturn("removing", 50, []byte("server 7")), errBroken)
		}, undo: func(context.Context, *Job) error { t.Error("it was undone"); return nil }}})
		pass(Persist - time.Second)
		is(t, table, id, store.TaskRunning, nil)
		pass(time.Minute)
		if got := is(t, table, id, store.TaskFailed, &LeftError{Cause: errBroken}); string(got.Notes) != "server 7" {
			t.Errorf("its notes are %q", got.Notes)
		}
	})
}

// While the disk is full nothing begins, and what is under way is undone; that it has
// failed is written when the disk allows it, and not tried all the time.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		table := openTable(t, "a", d)
		tries := 0
		table.Subscribe(func(*store.News) { tries++ })
		r := start(t, table)
		undone := false
		p := &fake{name: "Make",
			do: func(_ context.Context, j *Job) error { time.Sleep(time.Second); return j.Note("folder", 10, nil) },
			undo: func(_ context.Context, j *Job) error {
				undone = true
				return j.Note("undoing", 0, nil)
			}}
		id := begin(t, r, Spec{Procedure: p})
		d.fill(true)
		if _, err := r.Begin(Spec{Procedure: p}); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("Begin with a full disk: %v", err)
		}
		pass(hours(1))
		is(t, table, id, store.TaskCreated, nil)
		if !undone {
			t.Error("it was not undone")
		}
		d.fill(false)
		pass(time.Minute)
		if got, _ := table.Task(id); got.State != store.TaskFailed {
			t.Errorf("the task is %+v", got)
		}
		if tries > 10 {
			t.Errorf("%d writes", tries)
		}
	})
}

// If the table does not take the end of what can not be undone, that is all that is
// missing, and it is tried for as long as it takes.
func TestFullDiskPastTheReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		table := openTable(t, "a", d)
		r := start(t, table)
		id := begin(t, r, Spec{Procedure: &fake{name: "Remove", do: func(_ context.Context, j *Job) error {
			if j.Task.NoReturn {
				return nil
			}
			err := j.PointOfNoReturn("removing", 50, nil)
			d.fill(true)
			return err
		}}})
		pass(hours(1))
		is(t, table, id, store.TaskRunning, nil)
		d.fill(false)
		pass(time.Minute)
		is(t, table, id, store.TaskCompleted, nil)
	})
}

// A dying disk keeps what it says it did not.
type dying struct{ disk }

func (d *dying) Append(records []store.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.records = append(d.records, records...)
	if d.full {
		return fmt.Errorf("%w: %w", store.ErrReadOnly, store.ErrInDoubt)
	}
	return nil
}

// After a failed fsync only the next start knows whether a task is completed: what it did
// is not undone before.
func TestCompletedInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dying{}
		undone := false
		p := &fake{name: "Make",
			do: func(_ context.Context, j *Job) error {
				defer d.fill(true)
				return j.Note("making", 10, []byte("server 7"))
			},
			undo: func(context.Context, *Job) error { undone = true; return nil },
		}
		table := openTable(t, "a", d)
		r := start(t, table, p)
		id := begin(t, r, Spec{Procedure: p})
		pass(2 * Persist)
		r.look(id) // heard of late
		pass(time.Minute)
		kill(r)
		is(t, table, id, store.TaskRunning, nil)
		d.fill(false)
		again := openTable(t, "a", d)
		start(t, again, p)
		pass(time.Minute)
		if is(t, again, id, store.TaskCompleted, nil); undone {
			t.Error("what a task did that is completed was undone")
		}
	})
}
