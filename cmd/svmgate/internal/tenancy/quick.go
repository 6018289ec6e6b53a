package tenancy

import (
	"context"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// instant is a procedure that changes nothing but the table.
type instant struct{}

func (instant) Do(context.Context, *task.Job) error   { return nil }
func (instant) Undo(context.Context, *task.Job) error { return nil }

// changeActivation switches a tenant on or off.
type changeActivation struct {
	*Service
	instant
}

func (changeActivation) Type() string { return "ChangeTenantActivation" }

func (p changeActivation) Commit(tx *store.Tx, job *task.Job) ([]byte, error) {
	t, ok := tx.Tenant(job.Task.Tenant)
	if !ok {
		return nil, notFound(job.Task.Tenant)
	}
	if err := p.configured(&t); err != nil {
		return nil, err
	}
	return []byte("true"), audit.Switch(tx, whoAsked(job), t.ID, string(job.Task.Notes) == activate)
}

// whoAsked for a task.
func whoAsked(job *task.Job) audit.Who {
	return audit.Who{Account: job.Task.By, Address: job.Task.From}
}

// What the notes of a changeActivation say.
const activate, deactivate = "activate", "deactivate"
