package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A Runner runs the tasks of one gateway. Its methods may be called from many
// goroutines.
type Runner struct {
	cfg        Config
	procedures map[string]Procedure
	started    time.Time

	// life ends when tasks must be left as they are, for the next start.
	life   context.Context
	leave  context.CancelCauseFunc
	busy   sync.WaitGroup // jobs that run, and the watch
	forget func()         // ends the subscription
	heard  heard

	// mu guards what follows. It is not held while the table is written.
	mu       sync.Mutex
	stopping bool
	jobs     map[store.TaskID]*Job // all tasks of this gateway that have not ended
	waiting  []*Job                // those of them that wait, in order
	running  int
	lanes    map[string]bool // of those that run
	kept     int             // tasks that are over, about
	results  int             // bytes of their results, likewise
}

// New returns a Runner for cfg, and begins to undo what was interrupted: the table must
// know by then what other gateways know of its tasks. Stop it before the table is closed.
// If cfg is wrong the error says how.
func New(cfg Config) (*Runner, error) {
	if cfg.Table == nil || cfg.Node == "" {
		return nil, errors.New("task: Config.Table and Config.Node must be set")
	}
	r := &Runner{
		cfg: cfg, procedures: map[string]Procedure{}, started: time.Now(),
		jobs: map[store.TaskID]*Job{}, lanes: map[string]bool{}, heard: newHeard(),
	}
	for _, p := range cfg.Procedures {
		if _, ok := r.procedures[p.Type()]; ok {
			return nil, fmt.Errorf("task: Config.Procedures has two that are called %q", p.Type())
		}
		r.procedures[p.Type()] = p
	}
	if r.cfg.Log == nil {
		r.cfg.Log = slog.New(slog.DiscardHandler)
	}
	if r.cfg.Text == nil {
		r.cfg.Text = error.Error
	}
	r.life, r.leave = context.WithCancelCause(context.Background())
	r.forget = cfg.Table.Subscribe(r.heard.note)
	tasks := cfg.Table.Tasks()
	for _, t := range tasks {
		if t.Node == cfg.Node && t.State.Ended() {
			r.kept++
			r.results += len(t.Result)
		}
	}
	for _, t := range tasks {
		r.look(t.ID)
	}
	r.busy.Go(r.watch)
	return r, nil
}

// Begin writes a task down and starts it. The error is [ErrBusy], [ErrStopped], or one of
// the table.
func (r *Runner) Begin(spec Spec) (store.Task, error) {
	if r.full() {
		r.sweep()
	}
	j := r.job(store.Task{
		ID: store.NewTaskID(), Type: spec.Procedure.Type(), Tenant: spec.Tenant, Node: r.cfg.Node,
		By: spec.By.Account, From: spec.By.Address,
		Notes: spec.Notes, Lane: spec.Lane,
	}, spec.Procedure)
	j.Secret, j.fresh = spec.Secret, true
	if err := r.enter(j, spec.Quick); err != nil {
		j.wipe()
		return store.Task{}, err
	}
	if spec.Quick {
		defer r.remove(j)
		return j.atOnce()
	}
	written, err := r.put(j.Task)
	if err != nil {
		r.remove(j)
		return store.Task{}, err
	}
	j.Task = written
	r.mu.Lock()
	defer r.mu.Unlock()
	j.entering = false
	r.waiting = append(r.waiting, j)
	r.dispatch()
	return written, nil
}

// enter makes room for a task before it is in the table: whatever the table has of this
// gateway and is not over is known here.
func (r *Runner) enter(j *Job, quick bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopping:
		return ErrStopped
	case !quick && len(r.jobs)-r.running >= MaxWaiting:
		return ErrBusy
	}
	if r.lanes[j.Task.Lane] || len(r.jobs) >= MaxRunning {
		j.Task.State = store.TaskQueued
	}
	j.entering = true
	r.jobs[j.Task.ID] = j
	return nil
}

// job returns a job for a task; nothing knows of it yet.
func (r *Runner) job(t store.Task, p Procedure) *Job {
	j := &Job{Task: t, runner: r, procedure: p}
	j.ctx, j.cancel = context.WithCancelCause(r.life)
	return j
}

// put writes a task and returns it as it is then.
func (r *Runner) put(t store.Task) (written store.Task, err error) {
	err = r.cfg.Table.Update(func(tx *store.Tx) error {
		if _, err := tx.PutTask(t); err != nil {
			return err
		}
		written, _ = tx.Task(t.ID)
		return nil
	})
	return written, err
}

// dispatch starts those that wait, as far as there is room. It needs mu.
func (r *Runner) dispatch() {
	r.waiting = slices.DeleteFunc(r.waiting, func(j *Job) bool {
		lane := j.Task.Lane
		if r.stopping || r.running >= MaxRunning || r.lanes[lane] {
			return false
		}
		r.running++
		if lane != "" {
			r.lanes[lane] = true
		}
		r.busy.Go(func() {
			j.run()
			r.mu.Lock()
			r.running--
			delete(r.lanes, lane)
			r.mu.Unlock()
			r.remove(j)
		})
		return true
	})
}

// remove forgets a job that has ended, or never began, and lets others have its place.
// One in doubt stays known: what is heard of it late would have it undone.
func (r *Runner) remove(j *Job) {
	j.wipe()
	r.mu.Lock()
	defer r.mu.Unlock()
	j.cancel(nil)
	if !j.inDoubt {
		delete(r.jobs, j.Task.ID)
	}
	r.kept++
	r.results += j.result
	r.dispatch()
}

// withdraw takes a job that waits and has done nothing out of the queue.
func (r *Runner) withdraw(id store.TaskID) (*Job, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.waiting, func(j *Job) bool { return j.Task.ID == id && j.fresh })
	if i < 0 {
		return nil, false
	}
	j := r.waiting[i]
	r.waiting = slices.Delete(r.waiting, i, i+1)
	return j, true
}

// Stop ends tasks that wait, lets those that run come to an end until ctx ends, and then
// leaves them for the next start. No task begins any more.
func (r *Runner) Stop(ctx context.Context) {
	r.mu.Lock()
	again := r.stopping
	r.stopping = true
	idle := slices.DeleteFunc(r.waiting, func(j *Job) bool { return !j.fresh })
	r.waiting = nil
	for _, j := range idle {
		r.busy.Go(func() {
			j.end(ErrInterrupted)
			r.remove(j)
		})
	}
	r.mu.Unlock()
	defer context.AfterFunc(ctx, func() { r.leave(errLeft) })()
	if !again {
		r.forget()
		r.heard.end()
	}
	r.busy.Wait()
	r.leave(errLeft)
}

// text puts an error into words that fit a task.
func (r *Runner) text(err error) string {
	const most = 2 << 10
	text := strings.ToValidUTF8(r.cfg.Text(err), "\uFFFD")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
