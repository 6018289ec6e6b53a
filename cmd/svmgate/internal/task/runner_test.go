package task

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

// A task is on disk before it is acknowledged, tells how far it is, and ends with what
// it changes in the table.
func TestTaskFromBeginToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		table := openTable(t, "a", d)
		tenant := store.Tenant{ID: store.NewTenantID(), Name: "acme"}
		next := make(chan struct{})
		var changes []string
		stop := table.Subscribe(func(n *store.News) {
			for _, r := range n.Records {
				changes = append(changes, r.Key.Kind.String())
			}
			changes = append(changes, "|")
		})
		defer stop()
		r := start(t, table, &fake{name: "Make"})
		p := &fake{name: "Make", do: func(_ context.Context, j *Job) error {
			if string(j.Task.Notes) != "first" || j.Secret != "secret" {
				t.Errorf("it began with notes %q and secret %v", j.Task.Notes, j.Secret)
			}
			<-next
			if err := j.Note("folder", 30, []byte("folder 7")); err != nil {
				return err
			}
			<-next
			return nil
		}, commit: func(tx *store.Tx, j *Job) ([]byte, error) {
			_, err := tx.PutTenant(tenant)
			return []byte("made " + string(j.Task.Notes)), err
		}}
		task, err := r.Begin(Spec{Procedure: p, Tenant: tenant.ID, By: audit.Who{Account: "root"}, Notes: []byte("first"), Secret: "secret"})
		if err != nil {
			t.Fatal(err)
		}
		again := openTable(t, "a", d)
		if got := is(t, again, task.ID, store.TaskCreated, nil); got.By != "root" || got.Tenant != tenant.ID || got.Node != "a" || got.Type != "Make" {
			t.Errorf("on disk is %+v", got)
		}
		next <- struct{}{}
		synctest.Wait()
		if got := is(t, table, task.ID, store.TaskRunning, nil); got.Stage != "folder" || got.Done != 30 || string(got.Notes) != "folder 7" {
			t.Errorf("under way it is %+v", got)
		}
		next <- struct{}{}
		synctest.Wait()
		got := is(t, table, task.ID, store.TaskCompleted, nil)
		if string(got.Result) != "made folder 7" || got.Done != 100 || len(got.Notes) != 0 {
			t.Errorf("at its end it is %+v", got)
		}
		if _, ok := table.Tenant(tenant.ID); !ok {
			t.Error("the tenant is not there")
		}
		slices.Sort(changes[4:6])
		if got := strings.Join(changes, " "); got != "task | task | task tenant |" {
			t.Errorf("the changes were %s", got)
		}
	})
}

func TestFailures(t *testing.T) {
	undone := 0
	undo := func(context.Context, *Job) error { undone++; return nil }
	for name, tt := range map[string]struct {
		p     *fake
		quick bool
		want  error
		undo  int
	}{
		"do":           {p: &fake{do: func(context.Context, *Job) error { return errBroken }, undo: undo}, want: errBroken, undo: 1},
		"commit":       {p: &fake{commit: func(*store.Tx, *Job) ([]byte, error) { return nil, errBroken }, undo: undo}, want: errBroken, undo: 1},
		"quick":        {p: &fake{commit: func(*store.Tx, *Job) ([]byte, error) { return nil, errBroken }, undo: undo}, want: errBroken, quick: true},
		"panic":        {p: &fake{do: func(context.Context, *Job) error { panic("oh") }, undo: undo}, want: errors.New("task: the procedure panicked: oh"), undo: 1},
		"panic, quick": {p: &fake{commit: func(*store.Tx, *Job) ([]byte, error) { panic("oh") }}, want: errors.New("task: the procedure panicked: oh"), quick: true},
		"half and commit": {p: &fake{commit: func(tx *store.Tx, _ *Job) ([]byte, error) {
			_, err := tx.PutTenant(store.Tenant{ID: store.TenantID{1}, Name: "half"})
			return nil, errors.Join(err, errBroken)
		}, undo: undo}, want: errBroken, undo: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				undone = 0
				table := openTable(t, "a", nil)
				r := start(t, table)
				tt.p.name = "Make"
				id := begin(t, r, Spec{Procedure: tt.p, Quick: tt.quick})
				if !tt.quick {
					synctest.Wait()
				}
				is(t, table, id, store.TaskFailed, tt.want)
				if undone != tt.undo || len(table.Tenants()) != 0 {
					t.Errorf("undone %d times, want %d; left are %v", undone, tt.undo, table.Tenants())
				}
			})
		})
	}
}

// A quick task is one change of the table, and has ended when Begin returns.
func TestQuickTask(t *testing.T) {
	d := &disk{}
	table := openTable(t, "a", d)
	r := start(t, table)
	p := &fake{name: "Switch", commit: func(tx *store.Tx, _ *Job) ([]byte, error) {
		_, err := tx.PutTenant(store.Tenant{ID: store.TenantID{1}, Name: "acme"})
		return []byte("true"), err
	}}
	before := len(d.records)
	task, err := r.Begin(Spec{Procedure: p, Quick: true, Lane: "l"})
	if err != nil || task.State != store.TaskCompleted || string(task.Result) != "true" || task.Done != 100 {
		t.Errorf("Begin = %+v, %v", task, err)
	}
	if n := len(d.records) - before; n != 2 {
		t.Errorf("%d records were written, want the tenant and the task", n)
	}
	d.fill(true)
	if _, err := r.Begin(Spec{Procedure: p, Quick: true}); err != nil && !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("with a full disk: %v", err)
	}
	if _, err := r.Begin(Spec{Procedure: &fake{name: "Switch", commit: func(*store.Tx, *Job) ([]byte, error) { return nil, errBroken }}, Quick: true}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a failure with a full disk: %v, want ErrReadOnly", err)
	}
}

// MaxRunning run, those behind them wait, and more than MaxWaiting are refused.
func TestBoundsOfRunningAndWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := openTable(t, "a", nil)
		r := start(t, table)
		var running, most atomic.Int32
		p := &fake{name: "Make", do: func(_ context.Context, j *Job) error {
			defer running.Add(-1)
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Minute)
			return j.Note("slept", 50, nil)
		}}
		for range MaxRunning + MaxWaiting {
			begin(t, r, Spec{Procedure: p})
		}
		synctest.Wait()
		states := map[store.TaskState]int{}
		for _, task := range table.Tasks() {
			states[task.State]++
		}
		if states[store.TaskCreated] != MaxRunning || states[store.TaskQueued] != MaxWaiting {
			t.Errorf("states are %v", states)
		}
		if _, err := r.Begin(Spec{Procedure: p}); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v, want ErrBusy", err)
		}
		if _, err := r.Begin(Spec{Procedure: &fake{name: "Switch"}, Quick: true}); err != nil {
			t.Errorf("a quick one waits for others: %v", err)
		}
		pass(hours(3))
		if most.Load() != MaxRunning {
			t.Errorf("%d ran at once, want %d", most.Load(), MaxRunning)
		}
		for _, task := range table.Tasks() {
			if task.State != store.TaskCompleted {
				t.Fatalf("%+v has not ended", task)
			}
		}
	})
}

// Tasks of one lane run one after the other, in order; those of others need not wait.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := openTable(t, "a", nil)
		r := start(t, table)
		began := time.Now()
		var order []string
		makes := func(name string) *fake {
			return &fake{name: "Make", do: func(context.Context, *Job) error { time.Sleep(time.Minute); return nil },
				commit: func(*store.Tx, *Job) ([]byte, error) {
					order = append(order, fmt.Sprint(name, " ", time.Since(began)))
					return nil, nil
				}}
		}
		for _, name := range []string{"x1", "x2", "x3"} {
			begin(t, r, Spec{Procedure: makes(name), Lane: "x"})
		}
		pass(time.Second)
		begin(t, r, Spec{Procedure: makes("y1"), Lane: "y"})
		begin(t, r, Spec{Procedure: makes("none"), Lane: ""})
		pass(hours(1))
		slices.Sort(order[1:3])
		if got := strings.Join(order, ", "); got != "x1 1m0s, none 1m1s, y1 1m1s, x2 2m0s, x3 3m0s" {
			t.Errorf("they ended %s", got)
		}
	})
}

// What was interrupted is undone before anything of its lane begins.
func TestInterruptedIsUndoneFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		hang := &fake{name: "Make", do: func(ctx context.Context, j *Job) error {
			if err := j.Note("account", 40, []byte("account x")); err != nil {
				return err
			}
			return untilDone(ctx)
		}}
		first := start(t, openTable(t, "a", d), hang)
		id := begin(t, first, Spec{Procedure: hang, Lane: "l", Secret: "secret"})
		waits := begin(t, first, Spec{Procedure: hang, Lane: "l"})
		synctest.Wait()
		d.fill(true) // nothing of its end reaches the disk
		kill(first)
		d.fill(false)

		var order []string
		p := &fake{name: "Make",
			do: func(context.Context, *Job) error { order = append(order, "do"); return nil },
			undo: func(_ context.Context, j *Job) error {
				order = append(order, "undo "+string(j.Task.Notes))
				if j.Secret != nil {
					t.Error("a secret outlived the process")
				}
				pass(time.Minute)
				return nil
			}}
		table := openTable(t, "a", d)
		is(t, table, id, store.TaskRunning, nil)
		second := start(t, table, p)
		later := begin(t, second, Spec{Procedure: p, Lane: "l"})
		pass(hours(1))
		is(t, table, id, store.TaskFailed, ErrInterrupted)
		is(t, table, waits, store.TaskFailed, ErrInterrupted)
		is(t, table, later, store.TaskCompleted, nil)
		if got := strings.Join(order, ", "); got != "undo account x, undo , do" {
			t.Errorf("in the order %s", got)
		}
	})
}

// Stop lets what runs come to its end, ends what waits, and begins nothing.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := openTable(t, "a", nil)
		r := start(t, table)
		undone := false
		slow := func(d time.Duration) *fake {
			return &fake{name: "Make", do: func(ctx context.Context, _ *Job) error {
				select {
				case <-time.After(d):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}, undo: func(context.Context, *Job) error { undone = true; return nil }}
		}
		short, long := begin(t, r, Spec{Procedure: slow(time.Second), Lane: "l"}), begin(t, r, Spec{Procedure: slow(time.Hour)})
		waits := begin(t, r, Spec{Procedure: slow(time.Second), Lane: "l"})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		r.Stop(ctx)
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("Stop took %v", took)
		}
		is(t, table, short, store.TaskCompleted, nil)
		is(t, table, waits, store.TaskFailed, ErrInterrupted)
		is(t, table, long, store.TaskCreated, nil)
		if undone {
			t.Error("what is left for the next start was undone")
		}
		if _, err := r.Begin(Spec{Procedure: slow(0)}); !errors.Is(err, ErrStopped) {
			t.Errorf("Begin after Stop: %v", err)
		}
		if _, err := r.Begin(Spec{Procedure: slow(0), Quick: true}); !errors.Is(err, ErrStopped) {
			t.Errorf("a quick one after Stop: %v", err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	table := openTable(t, "a", nil)
	for name, cfg := range map[string]Config{
		"no table":   {Node: "a"},
		"no node":    {Table: table},
		"same types": {Table: table, Node: "a", Procedures: []Procedure{&fake{name: "x"}, &fake{name: "x"}}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
