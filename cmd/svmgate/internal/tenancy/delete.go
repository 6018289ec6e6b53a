package tenancy

import (
	"context"
	"fmt"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// deleteTenant removes a tenant, and before that its site if it has one that is to go.
// Its notes are the site, once its removal has begun.
type deleteTenant struct{ *Service }

func (deleteTenant) Type() string { return "DeleteTenant" }

// Do removes the site. Whether Kaspersky Security Center answers at all it finds out
// before anything can not be brought back any more.
func (p deleteTenant) Do(ctx context.Context, job *task.Job) error {
	if p.cfg.Servers == nil {
		return notConfigured()
	}
	site := siteOf(job.Task.Notes)
	if !job.Task.NoReturn {
		err := job.Note("looking for the virtual Administration Server", 0, job.Task.Notes)
		if err != nil {
			return err
		}
		if site, err = p.siteToRemove(ctx, job.Task.Tenant); err != nil {
			return err
		}
	}
	return fromKSC(p.cfg.Servers.Remove(ctx, site, noting(job.PointOfNoReturn)))
}

// siteToRemove returns the site that was made with a tenant.
func (p deleteTenant) siteToRemove(ctx context.Context, id store.TenantID) (ksc.Site, error) {
	t, ok := p.cfg.Table.Tenant(id)
	if !ok {
		return ksc.Site{}, notFound(id)
	}
	site := siteOf([]byte(t.Administration.Artifacts))
	if recorded := t.Administration.Server; site.Mark != id.String() || recorded != "" && recorded != site.Server {
		return site, &Failure{CodeKSC, fmt.Sprintf("the virtual Administration Server %q of the tenant is recorded, but was not made here: "+
			"remove it, with its account and its folder, in Kaspersky Security Center, and delete the tenant without artifacts", t.Administration.Server)}
	}
	_, _, err := p.cfg.Servers.Describe(ctx, site)
	return site, fromKSC(err)
}

func (p deleteTenant) Commit(tx *store.Tx, job *task.Job) ([]byte, error) {
	t, ok := tx.Tenant(job.Task.Tenant)
	if !ok && job.Task.NoReturn { // somebody else was quicker with the rest
		site := siteOf(job.Task.Notes)
		return appendResult(nil, &store.Tenant{
			ID: job.Task.Tenant, Name: site.Name, Administration: store.Administration{Server: site.Server, User: site.User},
		}), nil
	}
	if !ok {
		return nil, notFound(job.Task.Tenant)
	}
	if err := p.configured(&t); err != nil {
		return nil, err
	}
	err := audit.Tenant(tx, whoAsked(job), "tenant_delete", "deleted", t.ID, func() error {
		_, err := tx.DeleteTenant(t.ID)
		return err
	})
	return appendResult(nil, &t), err
}

// Undo has nothing to do: until the point of no return nothing was changed.
func (deleteTenant) Undo(context.Context, *task.Job) error { return nil }
