package task

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/svmgate/svmgate/store"
)

var (
	errLeft  = errors.New("task: the gateway stops; the task is left for the next start")
	errTaken = errors.New("task: another gateway has taken it over")
)

// A Job is a task that runs, for its procedure.
type Job struct {
	// Task is the task as it was when the procedure was called, with the notes of the
	// last [Job.Note].
	Task   store.Task
	Secret any // nil after a crash

	runner    *Runner
	procedure Procedure
	ctx       context.Context // ends with the cause for which Do must end
	cancel    context.CancelCauseFunc

	fresh    bool // Do has never been called, by nobody
	entering bool // guarded by the runner's mu: not in its queue yet
	undoing  bool
	inDoubt  bool // only the next start can tell what of it is on disk
	result   int  // bytes of it
}

// wipe makes the secret unreadable, if it can.
func (j *Job) wipe() {
	if s, ok := j.Secret.(interface{ Wipe() }); ok {
		s.Wipe()
	}
}

// Note writes down how far the task has come, what is done next, and what must be known
// to undo it, and returns when that is on disk. If somebody has asked for the end of
// the task, or the gateway stops, the error says so, and Do must return it.
func (j *Job) Note(stage string, percent int, notes []byte) error {
	return j.note(stage, percent, notes, false)
}

// PointOfNoReturn is Note for a step after which nothing can be brought back: from now
// on Do is called again after a crash instead of Undo, with the notes alone, and
// canceling has no effect. Errors of Do are then tried again for as long as
// [Persist], and after that the task is Failed and says what is left.
func (j *Job) PointOfNoReturn(stage string, percent int, notes []byte) error {
	return j.note(stage, percent, notes, true)
}

func (j *Job) note(stage string, percent int, notes []byte, noReturn bool) error {
	if err := context.Cause(j.ctx); err != nil && (!j.undoing || j.runner.life.Err() != nil) {
		return err
	}
	next := j.Task
	next.State, next.Stage, next.Done, next.Notes = store.TaskRunning, stage, percent, notes
	next.NoReturn = next.NoReturn || noReturn
	err := j.update(func(tx *store.Tx) error {
		_, err := tx.PutTask(next)
		return err
	})
	if err != nil && (!j.undoing || errors.Is(err, store.ErrClosed)) {
		return err
	}
	j.Task = next // when undoing, what is on disk will do
	if spread := j.runner.cfg.Spread; spread != nil && !j.undoing {
		spread(j.ctx, store.Key{Kind: store.KindTask, ID: next.ID})
	}
	return nil
}

// update changes the table on behalf of the task, unless it is to end.
func (j *Job) update(fn func(*store.Tx) error) error {
	err := j.runner.cfg.Table.Update(func(tx *store.Tx) error {
		switch now, ok := tx.Task(j.Task.ID); {
		case !ok || now.Node != j.runner.cfg.Node || now.State.Ended():
			return errTaken
		case now.Canceled && !j.Task.NoReturn && !j.undoing:
			return ErrCanceled
		}
		return fn(tx)
	})
	if errors.Is(err, ErrCanceled) || errors.Is(err, errTaken) {
		j.cancel(err)
	}
	return err
}

// run does the work, or undoes what was interrupted.
func (j *Job) run() {
	why := j.work()
	if why != nil && !j.Task.NoReturn && !j.left(why) {
		why = j.undo(why)
	}
	switch {
	case why == nil || j.left(why):
	case j.Task.NoReturn && !errors.Is(why, errTaken):
		j.end(&LeftError{Cause: why})
	default:
		j.end(why)
	}
}

// left reports whether the task stays as it is: the gateway stops, or must, because only
// the next start can tell what of the task is on disk. It may be that it is Completed.
func (j *Job) left(why error) bool {
	j.inDoubt = j.inDoubt || errors.Is(why, store.ErrClosed) || errors.Is(why, store.ErrInDoubt)
	return j.inDoubt || j.runner.life.Err() != nil
}

// work returns nil when the task is Completed, and otherwise why it can not be.
func (j *Job) work() error {
	if !j.fresh && !j.Task.NoReturn {
		return ErrInterrupted
	}
	j.fresh = false
	wait, last := backoff{}, time.Now().Add(Persist)
	for {
		if cause := context.Cause(j.ctx); cause != nil {
			return cause
		}
		err := j.safely(func() error { return j.procedure.Do(j.ctx, j) })
		refused := false
		if err == nil {
			refused, err = j.complete()
		}
		switch cause := context.Cause(j.ctx); {
		case err == nil:
			return nil
		case cause != nil:
			return cause
		case !j.Task.NoReturn:
			return err
		case refused: // all is done; only the table does not take it yet
			last = time.Now().Add(Persist)
		case !time.Now().Before(last):
			return err
		}
		if err := wait.sleep(j.ctx); err != nil {
			return err
		}
	}
}

// complete makes Commit's change and the task Completed, in one. It reports whether the
// error is one of the table, not of Commit.
func (j *Job) complete() (refused bool, err error) {
	refused = true
	next := j.Task
	err = j.update(func(tx *store.Tx) error {
		err := j.commit(tx, &next)
		refused = refused && err == nil
		return err
	})
	return refused, err
}

func (j *Job) commit(tx *store.Tx, t *store.Task) error {
	return j.safely(func() error {
		result, err := j.procedure.Commit(tx, j)
		if err != nil {
			return err
		}
		t.State, t.Done, t.Notes, t.Result = store.TaskCompleted, 100, nil, result
		j.result = len(result)
		_, err = tx.PutTask(*t)
		return err
	})
}

// atOnce does a task of which there is nothing but the commit.
func (j *Job) atOnce() (written store.Task, err error) {
	next := j.Task
	var failed error
	err = j.runner.cfg.Table.Update(func(tx *store.Tx) error {
		failed = j.commit(tx, &next)
		written, _ = tx.Task(next.ID)
		return failed
	})
	if failed == nil {
		return written, err
	}
	next = j.Task
	next.State, next.Error, next.Notes = store.TaskFailed, j.runner.text(failed), nil
	return j.runner.put(next)
}

// undo brings back what was before, and returns why the task ended.
func (j *Job) undo(why error) error {
	j.undoing = true
	wait, last := backoff{}, time.Now().Add(Persist)
	for {
		err := j.safely(func() error { return j.procedure.Undo(j.runner.life, j) })
		switch {
		case err == nil:
			return why
		case j.left(err):
			return err
		case !time.Now().Before(last):
			return &LeftError{Cause: why, Left: err}
		}
		if err := wait.sleep(j.runner.life); err != nil {
			return err
		}
	}
}

// end writes down that the task has ended, as soon as the table takes it.
func (j *Job) end(why error) {
	j.undoing = true // nothing keeps it from its end
	next := j.Task
	next.Error = j.runner.text(why)
	partly := (*LeftError)(nil)
	if !errors.As(why, &partly) {
		next.Notes = nil
	}
	wait := backoff{}
	for {
		err := j.update(func(tx *store.Tx) error {
			now, _ := tx.Task(next.ID)
			next.State = store.TaskFailed
			if errors.Is(why, ErrCanceled) || errors.Is(why, ErrInterrupted) && now.Canceled {
				next.State, next.Error = store.TaskCanceled, j.runner.text(asCanceled(why))
			}
			_, err := tx.PutTask(next)
			return err
		})
		if err == nil || errors.Is(err, errTaken) || j.left(err) {
			j.report(&next, err)
			return
		}
		j.runner.cfg.Log.Warn("the table does not take that a task has ended; it is tried again", "task", next.ID, "reason", err)
		if wait.sleep(j.runner.life) != nil {
			return
		}
	}
}

// asCanceled is why an interrupted task ended that somebody had canceled.
func asCanceled(why error) error {
	if partly := (*LeftError)(nil); errors.As(why, &partly) {
		return &LeftError{Cause: ErrCanceled, Left: partly.Left}
	}
	return ErrCanceled
}

func (j *Job) report(t *store.Task, err error) {
	if err == nil {
		j.runner.cfg.Log.Info("a task did not succeed", "task", t.ID, "type", t.Type, "state", t.State, "reason", t.Error)
	}
}

// safely calls a procedure. Should it panic, the next start would do the same again if
// it ended the gateway.
func (j *Job) safely(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("task: the procedure panicked: %v", p)
			j.runner.cfg.Log.Error("a task's procedure panicked", "task", j.Task.ID, "type", j.Task.Type, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	return fn()
}

// backoff is how long to wait before what failed is tried again.
type backoff struct{ delay time.Duration }

// sleep waits; the error is why ctx ended meanwhile.
func (b *backoff) sleep(ctx context.Context) error {
	b.delay = min(max(2*b.delay, time.Second), 30*time.Second)
	timer := time.NewTimer(b.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
