package task

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/store"
)

// Tasks that are over are kept for Keep; those of a gateway that is gone an hour longer.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := openTable(t, "a", nil), openTable(t, "b", nil)
		ra := start(t, a)
		quick := Spec{Procedure: &fake{name: "Switch"}, Quick: true}
		over := begin(t, ra, quick)
		runs := begin(t, ra, Spec{Procedure: hangs()})
		synctest.Wait()
		merge(t, b, a)
		startAs(t, Config{Table: b, Node: "b"})
		has := func(when string, table *store.Table, id store.TaskID, want bool) {
			t.Helper()
			if _, ok := table.Task(id); ok != want {
				t.Errorf("%s: there is %v, want %v", when, ok, want)
			}
		}
		pass(Keep - time.Minute)
		has("shortly before", a, over, true)
		pass(3 * time.Minute)
		has("shortly after", a, over, false)
		has("shortly after, elsewhere", b, over, true)
		pass(time.Hour)
		has("an hour after, elsewhere", b, over, false)
		pass(hours(100))
		has("as long as it runs", a, runs, true)
		has("as long as it runs, elsewhere", b, runs, true)
	})
}

// No more than MaxKept are ever kept, and the newest are.
func TestMaxKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := openTable(t, "a", nil)
		r := start(t, table)
		quick := Spec{Procedure: &fake{name: "Switch"}, Quick: true}
		var last store.TaskID
		for range MaxKept + 100 {
			last = begin(t, r, quick)
			time.Sleep(time.Millisecond)
		}
		n := len(table.Tasks())
		if n > MaxKept || n < keepFewer {
			t.Errorf("%d are kept", n)
		}
		if _, ok := table.Task(last); !ok {
			t.Error("the last is not among them")
		}
		kill(r)
		again := start(t, table) // which counts what is there
		for range MaxKept {
			begin(t, again, quick)
		}
		if n := len(table.Tasks()); n > MaxKept || n < keepFewer {
			t.Errorf("%d are kept after a restart", n)
		}
	})
}

// Nor are more results than MaxResults, about.
func TestMaxResults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := openTable(t, "a", nil)
		long := make([]byte, 128<<10)
		quick := Spec{Quick: true, Procedure: &fake{name: "Make", commit: func(*store.Tx, *Job) ([]byte, error) { return long, nil }}}
		bytes := func() (n int) {
			for _, task := range table.Tasks() {
				n += len(task.Result)
			}
			return n
		}
		for range 2 { // the second counts what is there
			r := start(t, table, quick.Procedure)
			for range MaxResults/len(long) + 50 {
				begin(t, r, quick)
				time.Sleep(time.Millisecond)
			}
			if n := bytes(); n > MaxResults || n < keepResults {
				t.Errorf("%d bytes are kept", n)
			}
			kill(r)
		}
	})
}

// Looking at tasks costs nothing of their results: it is done often.
func TestTasksAreNotCopied(t *testing.T) {
	table := openTable(t, "a", nil)
	r := start(t, table)
	long := make([]byte, 128<<10)
	begin(t, r, Spec{Quick: true, Procedure: &fake{name: "Make", commit: func(*store.Tx, *Job) ([]byte, error) { return long, nil }}})
	got := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			table.Tasks()
		}
	})
	if n := got.AllocedBytesPerOp(); n > 4<<10 {
		t.Errorf("a look takes %d bytes", n)
	}
}
