package task

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
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
	// MaxResults bounds the results of tasks that are kept, in bytes: a result may have
	// the long texts of a tenant, and every gateway has the tasks of all.
	MaxResults = 64 << 20
	// AdoptAfter is how long a task's gateway must not have been alive before another
	// one undoes its task, if it is asked to.
	AdoptAfter = 10 * time.Minute
	// Persist is how long a task tries to undo what it did, or, past the point of no
	// return, to get to its end.
	Persist = 5 * time.Minute
)

var (
	// ErrBusy reports that too many tasks wait.
	ErrBusy = errors.New("task: too many tasks wait")
	// ErrNotFound reports that there is no such task.
	ErrNotFound = errors.New("task: not found")
	// ErrEnded reports that a task is over, and nothing of it can be canceled.
	ErrEnded = errors.New("task: it has ended")
	// ErrStopped reports that no task begins any more, since the gateway stops.
	ErrStopped = errors.New("task: the gateway stops")

	// ErrInterrupted is why a task ended that was under way when its gateway did.
	ErrInterrupted = errors.New("task: its gateway stopped while it was under way; what it had done was undone")
	// ErrCanceled is why a task ended that somebody had canceled.
	ErrCanceled = errors.New("task: it was canceled; what it had done was undone")
)

// A LeftError is why a task ended that could not undo all it had done, or could not get
// to its end though nothing of it can be undone.
type LeftError struct {
	Cause error
	Left  error // why something is left; nil if it is the cause
}

func (e *LeftError) Error() string {
	if e.Left == nil {
		return e.Cause.Error() + "; it was under way and can not be undone: what is left of it remains to be done"
	}
	return e.Cause.Error() + "; what it had done could not be undone: " + e.Left.Error()
}

// Unwrap returns the cause.
func (e *LeftError) Unwrap() error { return e.Cause }

// A Procedure is what tasks of one type do. Its methods are called by one goroutine for
// each task. They return soon after ctx has ended. A panic counts as an error.
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
	// place, in a process that is gone. If it fails it is called again, for as long as
	// [Persist]. Its notes need not reach the disk, and Note returns no error but that the
	// gateway stops.
	Undo(ctx context.Context, job *Job) error
}

// A Spec says what is to be done.
type Spec struct {
	Procedure Procedure
	Tenant    store.TenantID // whom it concerns, zero if nobody
	By        audit.Who      // who asks
	Notes     []byte         // what Do begins with
	Secret    any            // kept in memory only; its method Wipe is called, if it has one, when the task is over
	Lane      string         // tasks of the same lane run one after another; "" is none

	// Quick says that there is nothing to do but Commit: the task does not wait for
	// others, not even in its lane, and has ended when Begin returns.
	Quick bool
}

// Config configures a [Runner]. Table, Node and Procedures are required.
type Config struct {
	Table *store.Table
	Node  string // name of this gateway

	// Procedures are all that there may be tasks of, for those that were interrupted.
	Procedures []Procedure

	// Alive reports whether the gateway called node is a live member, and if not, since
	// when, as far as it is known. If nil, there are no other gateways, and none will
	// come back.
	Alive func(node string) (alive bool, since time.Time)

	// Spread waits until another gateway, too, has a record on disk, but not for long. It
	// is called for every note before what that announces is done: should this gateway
	// never come back, the other one knows what to undo. If nil, nobody waits.
	Spread func(ctx context.Context, key store.Key)

	// Text puts an error into words for [store.Task.Error]; if nil, its own are taken.
	Text func(error) string

	Log *slog.Logger // if nil, nothing is logged
}

// View returns a task as it is to be shown: one that somebody wants to end, and that has not
// yet, is Stopping.
// Past the point of no return it is not: it goes on.
func View(t store.Task) store.Task {
	if t.Canceled && !t.State.Ended() && !t.NoReturn {
		t.State = store.TaskStopping
	}
	return t
}
