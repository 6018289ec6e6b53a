package store

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// A Task is long work that somebody asked for: how far it has come, and how it
// ended. Only the gateway that runs it writes it; whoever is asked to cancel it
// writes that wish beside it ([Tx.CancelTask]).
type Task struct {
	ID     TaskID
	Type   string // a word, such as "CreateTenant"
	State  TaskState
	Stage  string   // what is being done, in a few words
	Done   int      // percent
	Tenant TenantID // whom it concerns; zero if nobody, or not yet anybody
	Node   string   // name of the gateway that runs it
	By     string   // account that asked for it
	From   string   // address that it asked from; empty if that is not known

	// Notes are what its gateway must know to go on, or to undo it, after a crash;
	// Result is what a task that is completed came to. This package knows neither.
	// No secret may be in them, and nobody changes the bytes of a task that was read:
	// they are the table's.
	Notes, Result []byte

	Error string // why it failed or was canceled

	Lane     string // tasks of the same lane do not run at the same time; "" is none
	NoReturn bool   // it is past the point from which it could be undone

	// Canceled says that somebody asked for its end. Writers do not set it.
	Canceled bool

	Created, StateChanged, Changed Time
}

// TaskID identifies a task.
type TaskID [16]byte

// NewTaskID returns a fresh id; see [NewTenantID].
func NewTaskID() TaskID { return TaskID(uuid.Must(uuid.NewV7())) }

// ParseTaskID reads a UUID; see [ParseTenantID].
func ParseTaskID[T string | []byte](s T) (TaskID, error) { id, err := parseID(s); return id, err }

// IsZero reports whether id is the zero value, which identifies nothing.
func (id TaskID) IsZero() bool { return id == TaskID{} }

func (id TaskID) String() string { return uuid.UUID(id).String() }

// MarshalText writes the canonical form; see [TenantID.MarshalText].
func (id TaskID) MarshalText() ([]byte, error) { return marshalID(id) }

// UnmarshalText reads what [ParseTaskID] reads; empty text is the zero id.
func (id *TaskID) UnmarshalText(b []byte) (err error) { *id, err = unmarshalID(b); return err }

// TaskState is how far a task has come.
type TaskState uint8

// Task states, as the Integration Server has them. Those from TaskCompleted on are
// ends: [TaskState.Ended].
const (
	TaskCreated   TaskState = iota // written down
	TaskQueued                     // waits for others
	TaskStarting                   // about to run
	TaskRunning                    // Stage and Done say how far
	TaskStopping                   // is being undone, since somebody canceled it
	TaskCompleted                  // Result says what came of it
	TaskFailed                     // undone; Error says why
	TaskCanceled                   // undone, since somebody canceled it
)

var taskStates = []string{"created", "queued", "starting", "running", "stopping", "completed", "failed", "canceled"}

// Ended reports whether the task will never change again.
func (v TaskState) Ended() bool { return v >= TaskCompleted }

func (v TaskState) String() string                { return enumString(v, taskStates) }
func (v TaskState) MarshalText() ([]byte, error)  { return []byte(v.String()), nil }
func (v *TaskState) UnmarshalText(b []byte) error { return enumParse(v, b, taskStates) }

// Bounds of a task.
const (
	maxTaskNotes = 16 << 10
	maxResult    = 160 << 10 // a tenant with its texts
	maxLane      = 2 * maxName
)

func (t *Task) encode() []byte {
	e := newEncoder()
	e.str(t.Type)
	e.uint(uint64(t.State))
	e.str(t.Stage)
	e.int(int64(t.Done))
	e.id(t.Tenant)
	e.str(t.Node)
	e.str(t.By)
	e.str(string(t.Notes))
	e.str(string(t.Result))
	e.str(t.Error)
	e.time(t.Created)
	e.time(t.StateChanged)
	e.time(t.Changed)
	e.str(t.Lane)
	e.bool(t.NoReturn)
	e.str(t.From)
	return e
}

// decodeTask takes a state that it does not know as one that goes on: nobody but its
// gateway may end it.
func decodeTask(id [16]byte, value []byte) (Task, error) {
	d := newDecoder(value)
	t := Task{
		ID: id, Type: d.str(), State: decodeEnum(d, taskStates, TaskRunning), Stage: d.str(), Done: int(min(max(d.int(), 0), 100)),
		Tenant: d.id(), Node: d.str(), By: d.str(), Notes: d.bytes(), Result: d.bytes(), Error: d.str(),
		Created: d.time(), StateChanged: d.time(), Changed: d.time(),
		Lane: d.str(), NoReturn: d.bool(), From: d.str(),
	}
	return t, d.err
}

// taskCancelRow is the wish to end a task. Whoever wished it last is kept; that there
// is one is what counts.
type taskCancelRow struct {
	By string
	At Time
}

func (r *taskCancelRow) encode() []byte {
	e := newEncoder()
	e.str(r.By)
	e.time(r.At)
	return e
}

func decodeTaskCancel(value []byte) (r taskCancelRow, err error) {
	d := newDecoder(value)
	r = taskCancelRow{By: d.str(), At: d.time()}
	return r, d.err
}

func (t *Task) validate() error {
	for _, f := range []struct {
		name, value string
		most        int
	}{
		{"type", t.Type, maxName}, {"stage", t.Stage, maxText}, {"node", t.Node, maxName}, {"by", t.By, maxName}, {"from", t.From, maxName}, {"error", t.Error, maxText}, {"lane", t.Lane, maxLane},
	} {
		if err := checkText(f.name, f.value, f.most); err != nil {
			return err
		}
	}
	if t.ID.IsZero() || t.Type == "" || t.Node == "" {
		return fieldError("task", t.ID.String(), "must have an id, a type and the gateway that runs it")
	}
	if t.Done < 0 || t.Done > 100 {
		return fieldError("done", itoa(t.Done), "must be a percentage")
	}
	if len(t.Notes) > maxTaskNotes || len(t.Result) > maxResult {
		return fieldError("task", t.ID.String(), "notes must be up to %d bytes and a result up to %d", maxTaskNotes, maxResult)
	}
	return checkWord("state", t.State, taskStates)
}

// Task returns the task with the given id.
func (t *Table) Task(id TaskID) (Task, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return taskFrom(id, t.rows[Key{KindTask, id}], t.rows[Key{KindTaskCancel, id}])
}

// taskFrom works out a task from its records; false if there is none.
func taskFrom(id TaskID, task, cancel Record) (Task, bool) {
	out, err := decodeTask(id, task.Value)
	out.Canceled = len(cancel.Value) > 0
	return out, err == nil
}

// Tasks returns all tasks, the oldest first.
func (t *Table) Tasks() []Task {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]Task, 0, len(t.tasks))
	for id := range t.tasks {
		if task, ok := taskFrom(id, t.rows[Key{KindTask, id}], t.rows[Key{KindTaskCancel, id}]); ok {
			out = append(out, task)
		}
	}
	slices.SortFunc(out, func(a, b Task) int {
		return cmp.Or(a.Created.Compare(b.Created.Time), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

// commitTask keeps the list of tasks.
func (t *Table) commitTask(r *Record) {
	if r.Deleted() {
		delete(t.tasks, r.Key.ID)
	} else {
		t.tasks[r.Key.ID] = struct{}{}
	}
}

// Task returns the task with the given id.
func (tx *Tx) Task(id TaskID) (Task, bool) {
	return taskFrom(id, tx.current(KindTask, id), tx.current(KindTaskCancel, id))
}

// PutTask creates or replaces a task. Created, StateChanged and Changed are set to
// the moment of the change where they are due; Canceled is ignored.
func (tx *Tx) PutTask(task Task) (bool, error) {
	if err := task.validate(); err != nil {
		return false, err
	}
	old, ok := tx.Task(task.ID)
	task.Created, task.StateChanged = old.Created, old.StateChanged
	if !ok {
		task.Created = Time{tx.now}
	}
	if !ok || old.State != task.State {
		task.StateChanged = Time{tx.now}
	}
	task.Changed = old.Changed
	if bytes.Equal(task.encode(), tx.current(KindTask, task.ID).Value) {
		return false, nil
	}
	task.Changed = Time{tx.now}
	return tx.put(KindTask, task.ID, task.encode()), nil
}

// CancelTask writes down that a task shall end. Its gateway learns of it as of every
// other change.
func (tx *Tx) CancelTask(id TaskID, by string) (bool, error) {
	task, ok := tx.Task(id)
	if !ok {
		return false, fmt.Errorf("task %s: %w", id, ErrNotFound)
	}
	if task.State.Ended() || task.Canceled {
		return false, nil
	}
	if err := checkText("by", by, maxName); err != nil {
		return false, err
	}
	wish := taskCancelRow{By: by, At: Time{tx.now}}
	return tx.put(KindTaskCancel, id, wish.encode()), nil
}

// DeleteTask forgets a task.
func (tx *Tx) DeleteTask(id TaskID) (bool, error) {
	if _, ok := tx.Task(id); !ok {
		return false, fmt.Errorf("task %s: %w", id, ErrNotFound)
	}
	tx.put(KindTaskCancel, id, nil)
	return tx.put(KindTask, id, nil), nil
}
