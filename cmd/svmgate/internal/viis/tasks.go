package viis

import (
	"context"
	"errors"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

func (c *call) listTasks() error {
	return c.answerList("tasks", each(c.api.table.Tasks(), appendTask))
}

// readTask shows a task. Whoever was told by one gateway how far a task has come, or
// that it has ended, finds it so on every other.
func (c *call) readTask() error {
	id, err := c.taskID()
	if err != nil {
		return err
	}
	t, ok := c.api.table.Task(id)
	if !ok {
		return noTask(id.String())
	}
	c.api.settle(c.ctx, &t)
	c.answerTask(200, &t)
	return nil
}

// cancelTask answers 202 to a task that is still being undone. The documented 405, for
// tasks that are parts of others, does not occur: there are none.
func (c *call) cancelTask() error {
	id, err := c.taskID()
	if err != nil {
		return err
	}
	t, err := c.api.tenancy.Cancel(id, c.who())
	switch {
	case errors.Is(err, task.ErrNotFound):
		return noTask(id.String())
	case errors.Is(err, task.ErrEnded):
		return refuse(409, codeTaskEnded, "task "+id.String()+" has ended")
	case err != nil:
		return err
	}
	wish := store.Key{Kind: store.KindTaskCancel, ID: t.ID}
	if t.State.Ended() {
		c.api.spread(c.ctx, append(taskKeys(&t), wish))
		c.answerTask(200, &t)
		return nil
	}
	return c.accept(t, wish)
}

// accept answers 202 with a task, once other gateways know of it, of what it has changed
// if it has ended, and of what more there is.
func (c *call) accept(t store.Task, more ...store.Key) error {
	c.api.spread(c.ctx, append(taskKeys(&t), more...))
	c.ctx.Response.Header.Set("Location", Base+"/tasks/"+t.ID.String())
	c.answerTask(202, &t)
	return nil
}

func (c *call) answerTask(status int, t *store.Task) {
	c.answer(status, func(dst []byte) []byte { return appendTask(dst, t) })
}

func (c *call) taskID() (store.TaskID, error) {
	id, err := store.ParseTaskID(c.params[0])
	if err != nil {
		return id, noTask(c.params[0])
	}
	return id, nil
}

func noTask(id string) error { return refuse(404, codeTaskNotFound, "there is no task "+short(id)) }

// taskKeys are the keys of a task and of what it has changed.
func taskKeys(t *store.Task) []store.Key {
	keys := []store.Key{{Kind: store.KindTask, ID: t.ID}}
	if id := tenantOf(t); t.State.Ended() && !id.IsZero() {
		for _, kind := range []store.Kind{store.KindTenant, store.KindActivation, store.KindToken} {
			keys = append(keys, store.Key{Kind: kind, ID: id})
		}
	}
	return keys
}

// tenantOf is whom a task concerns.
func tenantOf(t *store.Task) store.TenantID {
	if t.State == store.TaskCompleted {
		if tenant, _ := tenancy.ResultOf(*t); tenant != nil {
			return tenant.ID
		}
	}
	return t.Tenant
}

// settle waits until what a task tells is so here and on every other gateway that is
// alive, or for [confirmFor]. What has not changed for longer than clocks may differ has
// been told long since.
func (a *API) settle(ctx context.Context, t *store.Task) {
	if a.confirm == nil || time.Since(t.Changed.Time) > store.MaxSkew {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, confirmFor)
	defer cancel()
	for !a.holds(t) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookAgain):
		}
	}
	a.spread(ctx, taskKeys(t))
}

// lookAgain is how long it is waited for what comes from another gateway before the next
// look.
const lookAgain = 5 * time.Millisecond

// holds reports whether the table has what a task that has ended came to. The task and
// that are one change, but may arrive one after the other.
func (a *API) holds(t *store.Task) bool {
	if t.State != store.TaskCompleted {
		return true
	}
	id := tenantOf(t)
	switch t.Type {
	case "CreateTenant":
		_, ok := a.table.Record(store.Key{Kind: store.KindTenant, ID: id}) // deleted since, perhaps
		return ok
	case "DeleteTenant":
		_, ok := a.table.Tenant(id)
		return !ok
	}
	return true
}
