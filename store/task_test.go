package store

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// task writes a task down and returns it as it is then.
func (x tester) task(t testing.TB, change Task) Task {
	t.Helper()
	x.must(t, func(tx *Tx) error { return only(tx.PutTask(change)) })
	got, ok := x.Task(change.ID)
	if !ok {
		t.Fatalf("there is no task %v", change.ID)
	}
	return got
}

func (x tester) cancelTask(t testing.TB, id TaskID, by string) {
	t.Helper()
	x.must(t, func(tx *Tx) error { return only(tx.CancelTask(id, by)) })
}

func work(node string) Task { return Task{ID: NewTaskID(), Type: "Make", Node: node} }

func at(t Time) string { return t.Format("15:04:05") }

func TestTaskTimes(t *testing.T) {
	clock := newStopped()
	x := open(t, Config{Clock: clock.time})
	task := x.task(t, Task{ID: TaskID{1}, Type: "Make", Node: "a", By: "root", Lane: "l"})
	start := at(task.Created)
	want := func(what string, task Task, created, stateChanged, changed string) {
		t.Helper()
		if at(task.Created) != created || at(task.StateChanged) != stateChanged || at(task.Changed) != changed {
			t.Errorf("%s: created %s, state changed %s, changed %s; want %s, %s, %s", what,
				at(task.Created), at(task.StateChanged), at(task.Changed), created, stateChanged, changed)
		}
	}
	want("new", task, start, start, start)
	clock.advance(time.Second)
	x.must(t, func(tx *Tx) error {
		if changed, err := tx.PutTask(task); changed || err != nil {
			t.Errorf("writing what is there is a change: %v, %v", changed, err)
		}
		return nil
	})
	want("again", x.task(t, task), start, start, start)
	task.Stage, task.Created, task.Changed = "folder", Time{}, Time{}
	task = x.task(t, task)
	second := at(task.Changed)
	want("another stage", task, start, start, second)
	clock.advance(time.Second)
	task.State = TaskRunning
	task = x.task(t, task)
	if at(task.Changed) == second {
		t.Error("a new state does not count as a change")
	}
	want("another state", task, start, at(task.Changed), at(task.Changed))
}

// What a change reads of tasks is what the table has once it is made.
func TestTxAndTableAgreeOnTasks(t *testing.T) {
	x := open(t, Config{})
	task := work("a")
	task.Notes, task.Result, task.Tenant, task.Done, task.NoReturn = []byte("notes"), []byte{0, 1}, TenantID{7}, 40, true
	var within []Task
	read := func(tx *Tx, err error) error {
		got, ok := tx.Task(task.ID)
		if !ok {
			got = Task{}
		}
		within = append(within, got)
		return err
	}
	x.must(t, func(tx *Tx) error { return read(tx, only(tx.PutTask(task))) })
	x.must(t, func(tx *Tx) error { return read(tx, only(tx.CancelTask(task.ID, "root"))) })
	x.must(t, func(tx *Tx) error { return read(tx, nil) })
	got, _ := x.Task(task.ID)
	if diff := cmp.Diff(within[2], got); diff != "" || !got.Canceled || !within[1].Canceled || within[0].Canceled {
		t.Errorf("the change has %+v, the table %+v", within, got)
	}
	if diff := cmp.Diff(task, got, cmpopts.IgnoreFields(Task{}, "Canceled", "Created", "StateChanged", "Changed")); diff != "" {
		t.Errorf("(-written +read)\n%s", diff)
	}
	if list := x.Tasks(); len(list) != 1 || !cmp.Equal(list[0], got) {
		t.Errorf("Tasks = %+v", list)
	}
	x.must(t, func(tx *Tx) error { return read(tx, only(tx.DeleteTask(task.ID))) })
	if _, ok := x.Task(task.ID); ok || !within[3].ID.IsZero() || len(x.Tasks()) != 0 {
		t.Errorf("a deleted task is still there: %+v", x.Tasks())
	}
	x.must(t, func(tx *Tx) error {
		for _, err := range []error{only(tx.DeleteTask(task.ID)), only(tx.CancelTask(task.ID, "root"))} {
			if !errors.Is(err, ErrNotFound) {
				t.Errorf("of a deleted task: %v, want ErrNotFound", err)
			}
		}
		return nil
	})
}

func TestTasksAreListedByAge(t *testing.T) {
	clock := newStopped()
	x := open(t, Config{Clock: clock.time})
	var want []TaskID
	for _, id := range []byte{3, 1, 2} {
		want = append(want, x.task(t, Task{ID: TaskID{id}, Type: "Make", Node: "a"}).ID)
		clock.advance(time.Second)
	}
	var got []TaskID
	for _, task := range x.Tasks() {
		got = append(got, task.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The gateway that runs a task and the one that was asked to end it write different
// records: whatever the order in which they meet, neither undoes the other.
func TestWishAndProgressDoNotCollide(t *testing.T) {
	a, b, clock, exchange := pair(t)
	task := a.task(t, work("a"))
	exchange()
	clock.advance(time.Second)
	b.cancelTask(t, task.ID, "root")
	clock.advance(time.Second)
	task.Stage, task.State = "account", TaskRunning
	a.task(t, task)
	exchange()
	for name, x := range map[string]tester{"a": a, "b": b} {
		if got, _ := x.Task(task.ID); got.Stage != "account" || !got.Canceled || got.Node != "a" {
			t.Errorf("%s has %+v", name, got)
		}
	}
	a.mustEqual(t, b)
	before := b.digest()
	b.cancelTask(t, task.ID, "another")
	if b.digest() != before {
		t.Error("a second wish is written")
	}
	task.State = TaskCanceled
	a.task(t, task)
	exchange()
	clock.advance(time.Second)
	b.cancelTask(t, task.ID, "late")
	if got, _ := b.Task(task.ID); got.State != TaskCanceled {
		t.Errorf("b has %+v", got)
	}
	b.must(t, func(tx *Tx) error { return only(tx.DeleteTask(task.ID)) })
	exchange()
	if got := len(a.Tasks()) + len(b.Tasks()); got != 0 {
		t.Errorf("%d are left of a deleted task", got)
	}
}

// A wish may come before the task that it is for.
func TestWishBeforeItsTask(t *testing.T) {
	a, b := open(t, Config{Node: "a"}), open(t, Config{Node: "b"})
	task := a.task(t, work("a"))
	a.cancelTask(t, task.ID, "root")
	b.apply(t, a.record(Key{KindTaskCancel, task.ID}))
	if _, ok := b.Task(task.ID); ok || len(b.Tasks()) != 0 {
		t.Errorf("a wish makes a task: %+v", b.Tasks())
	}
	b.apply(t, a.record(Key{KindTask, task.ID}))
	if got, _ := b.Task(task.ID); !got.Canceled {
		t.Errorf("the wish is forgotten: %+v", got)
	}
}

func TestTaskBounds(t *testing.T) {
	x := open(t, Config{})
	for name, spoil := range map[string]func(*Task){
		"no id":          func(k *Task) { k.ID = TaskID{} },
		"no type":        func(k *Task) { k.Type = "" },
		"no node":        func(k *Task) { k.Node = "" },
		"long type":      func(k *Task) { k.Type = strings.Repeat("x", maxName+1) },
		"long stage":     func(k *Task) { k.Stage = strings.Repeat("x", maxText+1) },
		"stage no UTF-8": func(k *Task) { k.Stage = "\xff" },
		"long lane":      func(k *Task) { k.Lane = strings.Repeat("x", maxLane+1) },
		"long by":        func(k *Task) { k.By = strings.Repeat("x", maxName+1) },
		"long error":     func(k *Task) { k.Error = strings.Repeat("x", maxText+1) },
		"notes":          func(k *Task) { k.Notes = make([]byte, maxTaskNotes+1) },
		"result":         func(k *Task) { k.Result = make([]byte, maxResult+1) },
		"less than none": func(k *Task) { k.Done = -1 },
		"more than all":  func(k *Task) { k.Done = 101 },
		"state":          func(k *Task) { k.State = TaskCanceled + 1 },
	} {
		task := work("a")
		spoil(&task)
		var field *FieldError
		if err := x.Update(func(tx *Tx) error { return only(tx.PutTask(task)) }); !errors.As(err, &field) {
			t.Errorf("%s: %v, want a FieldError", name, err)
		}
	}
	full := work("a")
	full.Notes, full.Result, full.Done = make([]byte, maxTaskNotes), make([]byte, maxResult), 100
	x.task(t, full)
	err := x.Update(func(tx *Tx) error { return only(tx.CancelTask(full.ID, strings.Repeat("x", maxName+1))) })
	if field := (*FieldError)(nil); !errors.As(err, &field) {
		t.Errorf("a wish by somebody with a long name: %v, want a FieldError", err)
	}
}

// A state of a newer release does not end a task here: its gateway says when.
func TestTaskStateOfANewerReleaseGoesOn(t *testing.T) {
	task := work("a")
	task.State = 77
	got, err := decodeTask(task.ID, task.encode())
	if got.State != TaskRunning || got.State.Ended() || err != nil {
		t.Errorf("it reads as %v, %v", got.State, err)
	}
	for state := TaskCreated; state <= TaskCanceled; state++ {
		if got, want := state.Ended(), state == TaskCompleted || state == TaskFailed || state == TaskCanceled; got != want {
			t.Errorf("%v.Ended() = %v", state, got)
		}
	}
}

func TestTaskIDs(t *testing.T) {
	id := NewTaskID()
	text, err := id.MarshalText()
	var back TaskID
	if err := errors.Join(err, back.UnmarshalText(text)); back != id || err != nil || string(text) != id.String() {
		t.Errorf("%s reads back as %v, %v", text, back, err)
	}
	if again, err := ParseTaskID("{" + strings.ToUpper(id.String()) + "}"); again != id || err != nil {
		t.Errorf("ParseTaskID = %v, %v", again, err)
	}
	if _, err := ParseTaskID("task"); err == nil {
		t.Error("a word passes for an id")
	}
}

// Writing again what an older release wrote of a tenant, without the fields that
// came later, changes nothing.
func TestTenantOfAnOlderReleaseIsNotWrittenAgain(t *testing.T) {
	x := open(t, Config{})
	row := tenantRow{Name: "acme", Discovery: DefaultDiscovery(), Created: milliTime(5)}
	value := row.encode()
	older := Record{Key: Key{KindTenant, TenantID{1}}, Value: value[:len(value)-2]}
	x.apply(t, older)
	tenant, ok := x.Tenant(TenantID{1})
	if !ok {
		t.Fatal("it can not be read")
	}
	before := x.record(older.Key)
	x.must(t, func(tx *Tx) error { return only(tx.PutTenant(tenant)) })
	if now := x.record(older.Key); now.Version != before.Version || !bytes.Equal(now.Value, older.Value) {
		t.Errorf("it was written again, as %x in the place of %x", now.Value, older.Value)
	}
	tenant.Administration.IntegrationServer, tenant.Administration.Artifacts = "is.example:7271", "folder 7"
	x.must(t, func(tx *Tx) error { return only(tx.PutTenant(tenant)) })
	if got, _ := x.Tenant(tenant.ID); got.Administration != tenant.Administration {
		t.Errorf("it reads as %+v", got.Administration)
	}
	tenant.Administration.IntegrationServer = strings.Repeat("x", maxName+1)
	err := x.Update(func(tx *Tx) error { return only(tx.PutTenant(tenant)) })
	if field := (*FieldError)(nil); !errors.As(err, &field) || field.Field != "administration.integrationServer" {
		t.Errorf("a long one: %v", err)
	}
}

// A backup has no tasks, not even those that change while it is made, nor that they
// were deleted; a snapshot has.
func TestBackupHasNoTasks(t *testing.T) {
	dir := t.TempDir()
	x := open(t, Config{Journal: openDir(t, dir)})
	tenant := x.tenant(t, "acme")
	for n := range byte(20) { // more than the buffer of who writes
		large := Tenant{ID: TenantID{n + 1}, Name: fmt.Sprint(n), Description: strings.Repeat("x", maxText)}
		x.must(t, func(tx *Tx) error { return only(tx.PutTenant(large)) })
	}
	under, gone := x.task(t, work("a")), x.task(t, work("a"))
	x.cancelTask(t, under.ID, "root")
	x.cancelTask(t, gone.ID, "root")
	x.must(t, func(tx *Tx) error { return only(tx.DeleteTask(gone.ID)) })
	var late TaskID
	file := writerFunc(func(p []byte) (int, error) {
		if late.IsZero() {
			late = x.task(t, work("a")).ID
			x.cancelTask(t, late, "root")
		}
		return len(p), nil
	})
	var whole bytes.Buffer
	if err := x.Backup(t.Context(), io.MultiWriter(&whole, file)); err != nil || late.IsZero() {
		t.Fatalf("Backup: %v; a task came meanwhile: %v", err, late)
	}
	for name, backup := range map[string]*bytes.Reader{"meanwhile": bytes.NewReader(whole.Bytes()), "later": x.backup(t)} {
		sum, err := CheckBackup(backup, backup.Size(), nil)
		if err != nil || sum.Kinds[KindTask]+sum.Kinds[KindTaskCancel]+sum.Tombstones != 0 || sum.Kinds[KindTenant] != 21 {
			t.Errorf("%s: CheckBackup = %+v, %v", name, sum, err)
		}
		y := restoredFrom(t, backup)
		if _, ok := y.Tenant(tenant); !ok || len(y.Tasks()) != 0 {
			t.Errorf("%s: tenant %v; tasks %+v", name, ok, y.Tasks())
		}
		for _, r := range y.all() {
			if r.Key.Kind.isOfTasks() {
				t.Errorf("%s: there is %v", name, r)
			}
		}
	}
	want := x.Tasks()
	if err := errors.Join(x.Snapshot(t.Context()), x.Close()); err != nil {
		t.Fatal(err)
	}
	x = open(t, Config{Journal: openDir(t, dir)})
	if diff := cmp.Diff(want, x.Tasks()); diff != "" || len(want) != 2 {
		t.Errorf("of %d tasks, a snapshot keeps (-before +after):\n%s", len(want), diff)
	}
}

// A snapshot that somebody took for a backup has tasks; a table that lives does not
// take them.
func TestRestoreAsNewTakesNoTasks(t *testing.T) {
	x := open(t, Config{})
	x.tenant(t, "acme")
	x.cancelTask(t, x.task(t, work("a")).ID, "root")
	var snapshot bytes.Buffer
	if _, err := x.writeSnapshot(t.Context(), &snapshot); err != nil {
		t.Fatal(err)
	}
	y := open(t, Config{})
	sum, err := y.RestoreAsNew(bytes.NewReader(snapshot.Bytes()), int64(snapshot.Len()))
	if err != nil || sum.Kinds[KindTenant] != 1 || len(y.Tasks()) != 0 {
		t.Errorf("RestoreAsNew = %+v, %v; tasks %+v", sum, err, y.Tasks())
	}
}

// A gateway that was away brings back its own tasks, those that go on and those it
// began and ended meanwhile; what was swept while it was away stays so.
func TestOffersOfTasks(t *testing.T) {
	a, b, clock, exchange := pair(t)
	under, over, old := b.task(t, work("b")), b.task(t, work("b")), b.task(t, work("b"))
	over.State, old.State = TaskCompleted, TaskCompleted
	old = b.task(t, old)
	exchange()
	clock.advance(time.Second)
	since := clock.now
	clock.advance(time.Second)
	under.Stage, under.State = "account", TaskRunning
	b.task(t, under)
	b.task(t, over)
	fresh, wish := work("b"), taskCancelRow{By: "root"}
	b.apply(t, Record{Key: Key{KindTaskCancel, fresh.ID}, Value: wish.encode()}) // it is offered first
	b.task(t, fresh)
	old.Stage = "said once more"
	b.task(t, old)
	a.must(t, func(tx *Tx) error { return only(tx.DeleteTask(old.ID)) })
	clock.advance(time.Second)
	a.Forget(clock.now.UnixMilli())
	a.takeOffers(t, b, since, clock.now)
	if got, ok := a.Task(under.ID); !ok || got.Stage != "account" {
		t.Errorf("under way: %+v, %v", got, ok)
	}
	if got, ok := a.Task(over.ID); !ok || got.State != TaskCompleted {
		t.Errorf("ended while away: %+v, %v", got, ok)
	}
	if got, ok := a.Task(fresh.ID); !ok || !got.Canceled {
		t.Errorf("begun while away, and canceled: %+v, %v", got, ok)
	}
	if got, ok := a.Task(old.ID); ok {
		t.Errorf("swept while away: %+v", got)
	}
}

// Deleted tasks are forgotten as everything is.
func TestDeletedTasksAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := open(t, Config{})
		task := x.task(t, work("a"))
		x.cancelTask(t, task.ID, "root")
		x.must(t, func(tx *Tx) error { return only(tx.DeleteTask(task.ID)) })
		if n := x.Forget(time.Now().Add(time.Hour).UnixMilli()); n != 2 || len(x.all()) != 0 {
			t.Errorf("%d are forgotten, and left is %v", n, x.all())
		}
	})
}
