package task

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

// A procedure that hangs in Do, and counts what is undone.
type hanging struct {
	fake
	undone int
}

func hangs() *hanging {
	h := &hanging{}
	h.fake = fake{name: "Make",
		do: func(ctx context.Context, j *Job) error {
			if err := j.Note("folder", 10, []byte("folder")); err != nil {
				return err
			}
			return untilDone(ctx)
		},
		undo: func(_ context.Context, j *Job) error {
			h.undone++
			time.Sleep(time.Minute)
			return j.Note("undone", 0, nil)
		}}
	return h
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := openTable(t, "a", nil)
		r := start(t, table)
		p := hangs()
		runs, waits := begin(t, r, Spec{Procedure: p, Lane: "l"}), begin(t, r, Spec{Procedure: p, Lane: "l"})
		synctest.Wait()
		if got, err := r.Cancel(waits, audit.Who{Account: "root"}); err != nil || got.State != store.TaskCanceled {
			t.Errorf("Cancel of one that waits = %v, %v", got.State, err)
		}
		is(t, table, waits, store.TaskCanceled, ErrCanceled)
		for range 2 { // the second changes nothing
			if got, err := r.Cancel(runs, audit.Who{Account: "root"}); err != nil || got.State != store.TaskStopping {
				t.Errorf("Cancel of one that runs = %v, %v", got.State, err)
			}
		}
		synctest.Wait()
		if got, _ := table.Task(runs); View(got).State != store.TaskStopping || p.undone != 1 {
			t.Errorf("it is %v, and undone %d times", View(got).State, p.undone)
		}
		pass(hours(1))
		is(t, table, runs, store.TaskCanceled, ErrCanceled)
		if p.undone != 1 {
			t.Errorf("undone %d times; one waited and had done nothing", p.undone)
		}
		for _, id := range []store.TaskID{runs, waits} {
			if _, err := r.Cancel(id, audit.Who{Account: "root"}); !errors.Is(err, ErrEnded) {
				t.Errorf("Cancel of one that has ended: %v", err)
			}
		}
		if _, err := r.Cancel(store.NewTaskID(), audit.Who{Account: "root"}); !errors.Is(err, ErrNotFound) {
			t.Errorf("Cancel of nothing: %v", err)
		}
	})
}

// A wish that can not be written leaves the task where it was.
func TestCancelWithAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		table := openTable(t, "a", d)
		r := start(t, table)
		p := hangs()
		runs := begin(t, r, Spec{Procedure: p, Lane: "l"})
		waits := begin(t, r, Spec{Procedure: &fake{name: "Make"}, Lane: "l"})
		synctest.Wait()
		d.fill(true)
		for _, id := range []store.TaskID{runs, waits} {
			if _, err := r.Cancel(id, audit.Who{Account: "root"}); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("Cancel = %v", err)
			}
		}
		d.fill(false)
		if _, err := r.Cancel(runs, audit.Who{Account: "root"}); err != nil {
			t.Fatal(err)
		}
		pass(hours(1))
		is(t, table, runs, store.TaskCanceled, ErrCanceled)
		is(t, table, waits, store.TaskCompleted, nil)
	})
}

// The wish of another gateway reaches a task that runs, and one that waits.
func TestCancelFromAnotherGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := openTable(t, "a", nil), openTable(t, "b", nil)
		p := hangs()
		ra := start(t, a)
		rb := startAs(t, Config{Table: b, Node: "b", Procedures: []Procedure{p}, Alive: func(string) (bool, time.Time) { return true, time.Time{} }})
		runs, waits := begin(t, ra, Spec{Procedure: p, Lane: "l"}), begin(t, ra, Spec{Procedure: p, Lane: "l"})
		synctest.Wait()
		merge(t, b, a)
		for _, id := range []store.TaskID{runs, waits} {
			if got, err := rb.Cancel(id, audit.Who{Account: "root"}); err != nil || got.State != store.TaskStopping {
				t.Errorf("Cancel = %v, %v", got.State, err)
			}
		}
		merge(t, a, b)
		pass(hours(1))
		merge(t, b, a)
		for _, id := range []store.TaskID{runs, waits} {
			if got := is(t, b, id, store.TaskCanceled, ErrCanceled); got.Node != "a" {
				t.Errorf("it was ended by %s", got.Node)
			}
		}
		if p.undone != 1 {
			t.Errorf("undone %d times", p.undone)
		}
	})
}

// A task whose gateway is gone is undone by the one that is asked to cancel it, not
// before AdoptAfter, and not unasked.
func TestAdoption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := openTable(t, "a", nil), openTable(t, "b", nil)
		p := hangs()
		ra := start(t, a)
		id := begin(t, ra, Spec{Procedure: p, Lane: "l"})
		synctest.Wait()
		kill(ra)
		merge(t, b, a)
		dead := time.Now().Add(-hours(5)) // for all that b has heard; it has just started
		rb := startAs(t, Config{Table: b, Node: "b", Procedures: []Procedure{p}, Alive: func(node string) (bool, time.Time) {
			if node != "a" {
				t.Errorf("asked after %s", node)
			}
			return false, dead
		}})
		pass(AdoptAfter - time.Second)
		if got, err := rb.Cancel(id, audit.Who{Account: "root"}); err != nil || got.State != store.TaskStopping || got.Node != "a" {
			t.Errorf("Cancel before its time = %+v, %v", got, err)
		}
		pass(hours(1))
		if p.undone != 0 {
			t.Error("it was undone unasked")
		}
		if got, err := rb.Cancel(id, audit.Who{Account: "root"}); err != nil || got.State != store.TaskStopping || got.Node != "b" {
			t.Errorf("Cancel = %+v, %v", got, err)
		}
		pass(hours(1))
		is(t, b, id, store.TaskCanceled, ErrCanceled)
		if p.undone != 1 {
			t.Errorf("undone %d times", p.undone)
		}
		merge(t, a, b) // its gateway comes back after all
		start(t, a, p)
		pass(hours(1))
		is(t, a, id, store.TaskCanceled, ErrCanceled)
		if p.undone != 1 {
			t.Error("it was undone again")
		}
	})
}

// A gateway that was only cut off learns that its task was taken over: it undoes what it
// did since, and writes nothing.
func TestTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := openTable(t, "a", nil), openTable(t, "b", nil)
		pa, pb := hangs(), hangs()
		id := begin(t, start(t, a), Spec{Procedure: pa})
		synctest.Wait()
		merge(t, b, a)
		rb := startAs(t, Config{Table: b, Node: "b", Procedures: []Procedure{pb}})
		if _, err := rb.Cancel(id, audit.Who{Account: "root"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		merge(t, a, b)
		pass(hours(1))
		if pa.undone != 1 || pb.undone != 1 {
			t.Errorf("undone %d and %d times", pa.undone, pb.undone)
		}
		if got, _ := a.Task(id); got.Node != "b" || got.State.Ended() {
			t.Errorf("a wrote %+v", got)
		}
		is(t, b, id, store.TaskCanceled, ErrCanceled)
	})
}

// A task past the point of no return that is adopted is gone on with.
func TestAdoptionPastTheReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := openTable(t, "a", nil), openTable(t, "b", nil)
		p := &fake{name: "Remove", do: func(ctx context.Context, j *Job) error {
			if j.Task.Node == "b" {
				return nil
			}
			return errors.Join(j.PointOfNoReturn("removing", 50, nil), untilDone(ctx))
		}}
		ra := start(t, a)
		id := begin(t, ra, Spec{Procedure: p})
		synctest.Wait()
		kill(ra)
		merge(t, b, a)
		rb := startAs(t, Config{Table: b, Node: "b", Procedures: []Procedure{p}})
		if got, err := rb.Cancel(id, audit.Who{Account: "root"}); err != nil || got.State != store.TaskRunning {
			t.Errorf("Cancel = %v, %v", got.State, err)
		}
		synctest.Wait()
		is(t, b, id, store.TaskCompleted, nil)
	})
}

// A gateway that lost its disk learns of its tasks from others, and undoes them.
func TestInterruptedIsLearntFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := openTable(t, "a", nil), openTable(t, "b", nil)
		p := hangs()
		ra := start(t, a)
		id := begin(t, ra, Spec{Procedure: p})
		synctest.Wait()
		kill(ra)
		merge(t, b, a)
		again := openTable(t, "a", nil)
		start(t, again, p)
		merge(t, again, b)
		pass(hours(1))
		is(t, again, id, store.TaskFailed, ErrInterrupted)
		if p.undone != 1 {
			t.Errorf("undone %d times", p.undone)
		}
	})
}

// A task that was canceled, and then interrupted, is Canceled in the end.
func TestCanceledAndInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		table := openTable(t, "a", d)
		r := start(t, table)
		p := hangs()
		id := begin(t, r, Spec{Procedure: p})
		synctest.Wait()
		if _, err := r.Cancel(id, audit.Who{Account: "root"}); err != nil {
			t.Fatal(err)
		}
		kill(r)
		table = openTable(t, "a", d)
		start(t, table, p)
		pass(hours(1))
		is(t, table, id, store.TaskCanceled, ErrCanceled)
	})
}

// What a newer release began stays for it.
func TestUnknownTypeIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		table := openTable(t, "a", d)
		r := start(t, table)
		id := begin(t, r, Spec{Procedure: hangs()})
		synctest.Wait()
		kill(r)
		table = openTable(t, "a", d)
		start(t, table, &fake{name: "Other"})
		pass(hours(48))
		is(t, table, id, store.TaskRunning, nil)
	})
}

// A wish that comes when all is done but the commit is heeded.
func TestCancelJustBeforeTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := openTable(t, "a", nil)
		r := start(t, table)
		undone := false
		id := begin(t, r, Spec{Procedure: &fake{name: "Make",
			do: func(_ context.Context, j *Job) error {
				return table.Update(func(tx *store.Tx) error { _, err := tx.CancelTask(j.Task.ID, "root"); return err })
			},
			commit: func(*store.Tx, *Job) ([]byte, error) { t.Error("it was committed"); return nil, nil },
			undo:   func(context.Context, *Job) error { undone = true; return nil },
		}})
		pass(time.Minute)
		is(t, table, id, store.TaskCanceled, ErrCanceled)
		if !undone {
			t.Error("it was not undone")
		}
	})
}

// A gateway that was only cut off lets go of a task past the point of no return that
// another one goes on with.
func TestTakenOverPastTheReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := openTable(t, "a", nil), openTable(t, "b", nil)
		let := false
		id := begin(t, start(t, a), Spec{Procedure: &fake{name: "Remove", do: func(ctx context.Context, j *Job) error {
			err := errors.Join(j.PointOfNoReturn("removing", 50, nil), untilDone(ctx))
			let = true
			return err
		}}})
		synctest.Wait()
		merge(t, b, a)
		rb := startAs(t, Config{Table: b, Node: "b", Procedures: []Procedure{&fake{name: "Remove"}}})
		if _, err := rb.Cancel(id, audit.Who{Account: "root"}); err != nil {
			t.Fatal(err)
		}
		merge(t, a, b)
		synctest.Wait()
		is(t, b, id, store.TaskCompleted, nil)
		if got, _ := a.Task(id); !let || got.State == store.TaskFailed {
			t.Errorf("a has let go: %v; it has %+v", let, got)
		}
	})
}
