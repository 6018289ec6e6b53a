package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

// An outside is the world that tasks change beside the table, and it survives crashes.
// Whoever has died changes nothing any more, in it or on the disk.
type outside struct {
	disk
	t     *testing.T
	has   map[string]bool
	lanes map[string]int // who is at work in a lane
	most  int            // at work at the same time
	busy  int
}

// A life is one process: it dies after a number of effects, before or after the last.
type life struct {
	*outside
	left  int // effects until it dies; negative: never
	after bool
	dead  bool
}

var errDead = errors.New("dead")

// effect does something unless the process is dead.
func (l *life) effect(fn func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return errDead
	}
	if l.left == 0 && !l.after {
		l.dead = true
		return errDead
	}
	err := fn()
	if l.left == 0 {
		l.dead = true
		return errDead
	}
	l.left--
	return err
}

func (l *life) Append(records []store.Record) error {
	return l.effect(func() error {
		if l.full {
			return store.ErrReadOnly
		}
		l.records = append(l.records, records...)
		return nil
	})
}

func (l *life) Close() error { return nil }

func (l *life) set(key string, there bool) error {
	return l.effect(func() error {
		delete(l.has, key)
		if there {
			l.has[key] = true
		}
		return nil
	})
}

// enter checks that nobody is at work in the lane.
func (l *life) enter(lane string) (leave func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead {
		return func() {}
	}
	if l.lanes[lane]++; lane != "" && l.lanes[lane] > 1 {
		l.t.Errorf("two are at work in lane %s", lane)
	}
	l.busy++
	l.most = max(l.most, l.busy)
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.busy--
		l.lanes[lane]--
	}
}

// work is what a task of the crash test does: steps outside, and a tenant in the table.
// What it takes down, others put there before.
type crashWork struct {
	Number int
	Steps  int
	Fail   int  // the step that fails; 0: none
	Down   bool // it takes down, which can not be undone
	Begun  int
}

func (w *crashWork) key(step int) string { return fmt.Sprint(w.Number, "/", step) }
func (w *crashWork) notes() []byte       { b, _ := json.Marshal(w); return b }
func (w *crashWork) tenant() (id store.TenantID) {
	id[0], id[1] = 1+byte(w.Number), 1+byte(w.Number>>8)
	return id
}

func workOf(j *Job) (w crashWork) {
	if err := json.Unmarshal(j.Task.Notes, &w); err != nil {
		panic(err)
	}
	return w
}

type crashProcedure struct{ *life }

func (p crashProcedure) Type() string { return "Work" }

func (p crashProcedure) Do(ctx context.Context, j *Job) error {
	defer p.enter(j.Task.Lane)()
	w := workOf(j)
	for step := 1; step <= w.Steps; step++ {
		w.Begun = step
		note := j.Note
		if w.Down && step > 1 {
			note = j.PointOfNoReturn
		}
		if err := note(fmt.Sprint("step ", step), 10*step, w.notes()); err != nil {
			return err
		}
		if step == w.Fail && !j.Task.NoReturn {
			return errBroken
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
		if w.Down && step == 1 { // nothing yet
			continue
		}
		if err := p.set(w.key(step), !w.Down); err != nil {
			return err
		}
	}
	return nil
}

func (p crashProcedure) Commit(tx *store.Tx, j *Job) ([]byte, error) {
	w := workOf(j)
	if w.Fail > w.Steps {
		return nil, errBroken
	}
	_, err := tx.PutTenant(store.Tenant{ID: w.tenant(), Name: fmt.Sprint("tenant ", w.Number)})
	return []byte("done"), err
}

func (p crashProcedure) Undo(_ context.Context, j *Job) error {
	defer p.enter(j.Task.Lane)()
	w := workOf(j)
	for step := w.Begun; step > 0 && !w.Down; step-- {
		time.Sleep(time.Second)
		if err := p.set(w.key(step), false); err != nil {
			return err
		}
	}
	return nil
}

// A move is what happens next in the crash test.
type move struct {
	Do     string
	Number int
	Lane   string
	Work   crashWork
	Sleep  time.Duration
	Left   int
	After  bool
}

var anyMove = rapid.Custom(func(t *rapid.T) move {
	return move{
		Do:     rapid.SampledFrom([]string{"begin", "begin", "begin", "quick", "cancel", "sleep", "sleep", "crash", "crash", "stop", "full"}).Draw(t, "do"),
		Number: rapid.IntRange(0, 20).Draw(t, "number"),
		Lane:   rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "lane"),
		Work: crashWork{
			Steps: rapid.IntRange(0, 4).Draw(t, "steps"), Fail: max(0, rapid.IntRange(-4, 5).Draw(t, "fail")),
			Down: rapid.IntRange(0, 3).Draw(t, "down") == 0,
		},
		Sleep: time.Duration(rapid.IntRange(1, 6000).Draw(t, "sleep")) * time.Millisecond,
		Left:  rapid.IntRange(0, 8).Draw(t, "left"),
		After: rapid.Bool().Draw(t, "after"),
	}
})

// A crashTest plays moves against a gateway that dies and comes back.
type crashTest struct {
	*outside
	life   *life
	table  *store.Table
	runner *Runner
	begun  map[store.TaskID]crashWork
	order  []store.TaskID
}

func (c *crashTest) start() {
	c.life = &life{outside: c.outside, left: -1}
	c.lanes, c.busy, c.full = map[string]int{}, 0, false
	c.table = openTable(c.t, "a", c.life)
	c.runner = start(c.t, c.table, crashProcedure{c.life})
}

func (c *crashTest) end() {
	c.mu.Lock()
	c.life.dead = true
	c.mu.Unlock()
	kill(c.runner)
	c.table.Close()
}

func (c *crashTest) play(m move) {
	switch m.Do {
	case "begin", "quick":
		c.begin(m)
	case "cancel":
		if n := len(c.order); n > 0 {
			_, _ = c.runner.Cancel(c.order[m.Number%n], audit.Who{Account: "root"}) // it may have ended, or the disk be full
		}
	case "crash":
		c.mu.Lock()
		c.life.left, c.life.after = m.Left, m.After
		c.mu.Unlock()
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			c.mu.Lock()
			dead := c.life.dead
			c.mu.Unlock()
			if dead {
				break
			}
		}
		c.end()
		c.start()
	case "stop":
		ctx, cancel := context.WithTimeout(context.Background(), m.Sleep)
		c.runner.Stop(ctx)
		cancel()
		c.end()
		c.start()
	case "full":
		c.fill(true)
		time.Sleep(m.Sleep)
		c.fill(false)
	}
	time.Sleep(m.Sleep)
}

func (c *crashTest) begin(m move) {
	w := m.Work
	w.Number = len(c.order)
	if m.Do == "quick" {
		w.Steps = 0
	}
	if w.Down {
		c.mu.Lock()
		for step := 2; step <= w.Steps; step++ {
			c.has[w.key(step)] = true
		}
		c.mu.Unlock()
	}
	task, err := c.runner.Begin(Spec{Procedure: crashProcedure{c.life}, Notes: w.notes(), Lane: m.Lane, Quick: m.Do == "quick"})
	if err != nil {
		c.t.Errorf("Begin: %v", err)
		return
	}
	c.begun[task.ID] = w
	c.order = append(c.order, task.ID)
}

// check holds what was done against how the tasks ended.
func (c *crashTest) check() {
	want := map[string]bool{}
	for id, w := range c.begun {
		task, ok := c.table.Task(id)
		if !ok || !task.State.Ended() {
			c.t.Errorf("task %d was acknowledged, and is %+v", w.Number, task)
			continue
		}
		completed := task.State == store.TaskCompleted
		if partly := (&LeftError{Cause: errBroken}).Error(); task.NoReturn && !completed && (task.Error != partly || w.Fail <= w.Steps) {
			c.t.Errorf("task %d, past the point of no return, ended %v %q", w.Number, task.State, task.Error)
		}
		if _, ok := c.table.Tenant(w.tenant()); ok != completed {
			c.t.Errorf("task %d is %v, and its tenant is there: %v", w.Number, task.State, ok)
		}
		for step := 1; step <= w.Steps; step++ {
			switch {
			case w.Down && !task.NoReturn && step > 1, !w.Down && completed:
				want[w.key(step)] = true
			}
		}
	}
	for key := range c.has {
		if !want[key] {
			c.t.Errorf("there is %s, which nobody should have left", key)
		}
	}
	for key := range want {
		if !c.has[key] {
			c.t.Errorf("there is no %s", key)
		}
	}
	if c.most > MaxRunning {
		c.t.Errorf("%d were at work at the same time", c.most)
	}
}

// Whatever crashes, stops, wishes and full disks come in whatever order: every task
// that was acknowledged ends, nothing is left half done, and lanes are kept.
func TestNothingIsLeftHalfDone(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		moves := rapid.SliceOfN(anyMove, 1, 25).Draw(rt, "moves")
		ok := t.Run("", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &crashTest{outside: &outside{t: t, has: map[string]bool{}}, begun: map[store.TaskID]crashWork{}}
				c.start()
				for _, m := range moves {
					c.play(m)
				}
				c.end()
				c.start()
				time.Sleep(hours(1))
				c.check()
				c.end()
			})
		})
		if !ok {
			rt.Fatal("see above")
		}
	})
}
