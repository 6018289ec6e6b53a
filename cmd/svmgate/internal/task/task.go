package task

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/svmgate/svmgate/store"
)

// Bounds.
const (
	// MaxRunning is how many tasks with steps run at the same time.
	MaxRunning = 8
	// MaxWaiting is how many tasks wait their turn; more are refused with [ErrBusy].
	MaxWaiting = 1000
	// Keep is how long a task that is over can be asked after.
	Keep = 24 * time.Hour
	// MaxKept is how many tasks that are over are kept, whatever their age.
	MaxKept = 10_000
	// AdoptAfter is how long a task's gateway must not have been alive before another
	// one undoes its task, if it is asked to.
	AdoptAfter = 10 * time.Minute
)

var (
	// ErrBusy: too many tasks wait.
	ErrBusy = errors.New("task: too many tasks wait")
	// ErrNotFound: there is no such task.
	ErrNotFound = errors.New("task: not found")
	// ErrEnded: the task is over, and nothing of it can be canceled.
	ErrEnded = errors.New("task: it has ended")

	// ErrInterrupted and ErrCanceled are why a task ended that nothing was wrong with.
	ErrInterrupted = errors.New("task: its gateway stopped while it was under way; what it had done was undone")
	ErrCanceled    = errors.New("task: it was canceled; what it had done was undone")
)

// A Procedure is what tasks of one type do. Its methods are called by one goroutine for
// each task.
type Procedure interface {
	// Type is what tasks are called, such as "CreateTenant".
	Type() string

	// Do does the work outside the table, as far as there is any. It announces each step
	// by [Job.Note] before it does it. An error makes the task Failed, after Undo.
	Do(ctx context.Context, job *Job) error

	// Commit changes the table. It runs within the change that makes the task Completed,
	// and returns its result. It may run more than once, and changes nothing but the
	// table. An error makes the task Failed, after Undo.
	Commit(tx *store.Tx, job *Job) (result []byte, err error)

	// Undo brings back what was before, going by the notes alone: Do may have ended at any
	// place, in a process that is gone. It may be called again.
	Undo(ctx context.Context, job *Job) error
}

// A Spec says what is to be done.
type Spec struct {
	Procedure Procedure
	Tenant    store.TenantID // whom it concerns, zero if nobody
	By        string         // account that asks
	Notes     []byte         // what Do begins with
	Secret    any            // kept in memory only
	Lane      string         // tasks of the same lane run one after another; "" is none

	// Quick says that there is nothing to do but Commit: the task does not wait for
	// others, and has ended when Begin returns.
	Quick bool
}

// Config configures a [Runner]. All fields but Alive and Log are required.
type Config struct {
	Table *store.Table
	Node  string // name of this gateway

	// Procedures are all that there may be tasks of, for those that were interrupted.
	Procedures []Procedure

	// Alive reports whether the gateway called node is a live member, and if not, since
	// when, as far as it is known. If nil, there are no other gateways, and none will
	// come back.
	Alive func(node string) (alive bool, since time.Time)

	// Text puts an error into words for [store.Task.Error]; if nil, its own are taken.
	Text func(error) string

	Log *slog.Logger // if nil, nothing is logged
}

// A Runner runs the tasks of one gateway. Its methods may be called from many
// goroutines.
type Runner struct {
	cfg Config
}

// A Job is a task that runs, for its procedure.
type Job struct {
	// Task is the task as it was when the procedure was called, with the notes of the
	// last [Job.Note].
	Task   store.Task
	Secret any // nil after a crash
}

// Note writes down how far the task has come, what is done next, and what must be known
// to undo it, and returns when that is on disk. If somebody has asked for the end of
// the task, or the gateway stops, the error says so, and Do must return it.
func (j *Job) Note(stage string, percent int, notes []byte) error { panic("not yet") }

// PointOfNoReturn is Note for a step after which nothing can be brought back: from now
// on Do is called again after a crash instead of Undo, with the notes alone, and
// canceling has no effect. Errors of Do are then tried again for as long as
// [Persist], and after that the task is Failed and says what is left.
func (j *Job) PointOfNoReturn(stage string, percent int, notes []byte) error { panic("not yet") }

// Persist is how long a task that can not be undone tries to get to its end.
const Persist = 5 * time.Minute

// New returns a Runner for cfg, and begins to undo what was interrupted. Stop it before the
// table is closed. If cfg is wrong the error says how.
func New(cfg Config) (*Runner, error) { return &Runner{cfg: cfg}, nil }

// Begin writes a task down and starts it. The error is [ErrBusy], or one of the table.
func (r *Runner) Begin(spec Spec) (store.Task, error) { panic("not yet") }

// Cancel asks for the end of a task, whichever gateway runs it, and returns the task as
// it is then: Canceled if it had not begun, and otherwise Stopping. The error is
// [ErrNotFound] or [ErrEnded].
func (r *Runner) Cancel(id store.TaskID, by string) (store.Task, error) { panic("not yet") }

// Stop lets tasks that run come to an end until ctx ends, and then leaves them for the
// next start. No task begins any more.
func (r *Runner) Stop(ctx context.Context) {}

// View returns a task as it is to be shown: one that somebody wants to end, and that has not
// yet, is Stopping.
func View(t store.Task) store.Task {
	if t.Canceled && !t.State.Ended() {
		t.State = store.TaskStopping
	}
	return t
}
