package task

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

// Before a task does what it noted, another gateway has the note: one that takes the task
// over knows what to undo.
func TestNotesSpreadFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := openTable(t, "a", nil), openTable(t, "b", nil)
		p := &fake{name: "Make", do: func(ctx context.Context, j *Job) error {
			if err := j.Note("making", 10, []byte("server 7")); err != nil {
				return err
			}
			return untilDone(ctx)
		}}
		first := startAs(t, Config{Table: a, Node: "a", Procedures: []Procedure{p}, Spread: func(_ context.Context, key store.Key) {
			if key.Kind == store.KindTask {
				merge(t, b, a)
			}
		}})
		id := begin(t, first, Spec{Procedure: p})
		synctest.Wait()
		kill(first)
		undone := ""
		p = &fake{name: p.name, undo: func(_ context.Context, j *Job) error { undone = string(j.Task.Notes); return nil }}
		second := startAs(t, Config{Table: b, Node: "b", Procedures: []Procedure{p}})
		if _, err := second.Cancel(id, audit.Who{Account: "root"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if is(t, b, id, store.TaskCanceled, ErrCanceled); undone != "server 7" {
			t.Errorf("undone is %q", undone)
		}
	})
}
