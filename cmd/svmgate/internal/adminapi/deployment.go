package adminapi

import (
	"context"
	"errors"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

// Deployments tells how far the deployment of tenants has come; [*tenancy.Guide] does.
type Deployments interface {
	Deployment(ctx context.Context, id store.TenantID) (tenancy.Deployment, error)
	Handover(ctx context.Context, id store.TenantID) (tenancy.Handover, error)
}

func (a *API) readDeployment(c *call) error { return tellTenant(c, a.guide.Deployment) }
func (a *API) readHandover(c *call) error   { return tellTenant(c, a.guide.Handover) }

// tellTenant answers what is found out about the tenant in the path.
func tellTenant[T any](c *call, find func(context.Context, store.TenantID) (T, error)) error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	found, err := find(c.ctx, id)
	unready := (*tenancy.UnreadyError)(nil)
	switch {
	case errors.As(err, &unready):
		return refuse(409, "nothing_to_hand_over", err.Error())
	case errors.Is(err, store.ErrNotFound):
		return noTenant(id)
	case errors.Is(err, context.Canceled):
		return store.ErrClosed
	case err != nil:
		return err
	}
	return c.answer(200, found)
}
