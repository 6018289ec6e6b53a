package task

import (
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

// Cancel asks for the end of a task, whichever gateway runs it, and returns the task as
// it is then: Canceled if it had not begun, and otherwise Stopping; past the point of no
// return it goes on. The error is [ErrNotFound], [ErrEnded], or one of the table.
func (r *Runner) Cancel(id store.TaskID, by audit.Who) (store.Task, error) {
	if j, ok := r.withdraw(id); ok {
		return r.cancelIdle(j, by)
	}
	t, ok := r.cfg.Table.Task(id)
	if !ok {
		return store.Task{}, ErrNotFound
	}
	if p, known := r.procedures[t.Type]; known && t.Node != r.cfg.Node && r.isGone(t.Node) {
		return r.adopt(t, p, by)
	}
	t, err := r.wish(id, by, "")
	return View(t), err
}

// wish writes down that a task shall end, and if it is of a gateway that is gone, that it
// is this one's now.
func (r *Runner) wish(id store.TaskID, by audit.Who, gone string) (t store.Task, err error) {
	err = r.cfg.Table.Update(func(tx *store.Tx) error {
		now, ok := tx.Task(id)
		switch {
		case !ok:
			return ErrNotFound
		case now.State.Ended():
			return ErrEnded
		}
		if err := cancel(tx, now, by); err != nil {
			return err
		}
		if now.Node == gone {
			now.Node = r.cfg.Node
			if _, err := tx.PutTask(now); err != nil {
				return err
			}
		}
		t, _ = tx.Task(id)
		return nil
	})
	return t, err
}

// cancel writes down that a task shall end, and who wishes that.
func cancel(tx *store.Tx, t store.Task, by audit.Who) error {
	if _, err := tx.CancelTask(t.ID, by.Account); err != nil {
		return err
	}
	return audit.Note(tx, by, audit.Entry{
		Type: "task_cancel", Message: "asked for the end of " + t.Type + " " + t.ID.String(), Tenant: t.Tenant,
	})
}

// cancelIdle ends a job that was waiting.
func (r *Runner) cancelIdle(j *Job, by audit.Who) (store.Task, error) {
	next := j.Task
	next.State, next.Error, next.Notes = store.TaskCanceled, r.text(ErrCanceled), nil
	err := r.cfg.Table.Update(func(tx *store.Tx) error {
		if err := cancel(tx, next, by); err != nil {
			return err
		}
		if _, err := tx.PutTask(next); err != nil {
			return err
		}
		next, _ = tx.Task(next.ID)
		return nil
	})
	if err == nil {
		r.remove(j)
		return next, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append([]*Job{j}, r.waiting...)
	r.dispatch()
	return store.Task{}, err
}

// isGone reports whether a gateway has not been alive for so long that others may undo
// its tasks if they are asked to. It was alive when this one started, for all that is known.
func (r *Runner) isGone(node string) bool {
	if r.cfg.Alive == nil {
		return true
	}
	alive, since := r.cfg.Alive(node)
	if since.Before(r.started) {
		since = r.started
	}
	return !alive && time.Since(since) >= AdoptAfter
}

// adopt makes a task of a gateway that is gone one of this gateway, which undoes it, or
// goes on with it if it can not be undone.
func (r *Runner) adopt(t store.Task, p Procedure, by audit.Who) (store.Task, error) {
	gone := t.Node
	j := r.job(t, p)
	r.mu.Lock()
	if _, ok := r.jobs[t.ID]; ok || r.stopping {
		r.mu.Unlock()
		t, err := r.wish(t.ID, by, "")
		return View(t), err
	}
	j.entering = true
	r.jobs[t.ID] = j
	r.mu.Unlock()
	t, err := r.wish(t.ID, by, gone)
	if err != nil || t.Node != r.cfg.Node {
		r.remove(j)
		return View(t), err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	j.Task, j.entering = t, false
	r.waiting = append(r.waiting, j)
	r.dispatch()
	return View(t), nil
}
