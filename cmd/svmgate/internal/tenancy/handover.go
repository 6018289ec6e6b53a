package tenancy

import (
	"cmp"
	"context"
	"fmt"

	"github.com/svmgate/svmgate/store"
)

// A Handover is what the administrator of a tenant is given. A password is never part
// of it.
type Handover struct {
	Tenant store.TenantID `json:"tenant"`
	Name   string         `json:"name"` // of the tenant

	Server  string `json:"server"`  // name of the virtual Administration Server
	ID      string `json:"id"`      // its KLVSRV_UID
	Address string `json:"address"` // where it is
	User    string `json:"user"`    // account of the tenant administrator

	// IntegrationServer is what the policies of agents name; empty if it is not known.
	IntegrationServer string `json:"integrationServer"`

	Ready   bool     `json:"ready"`   // no step before is missing
	Missing []Step   `json:"missing"` // those that are; never nil
	Advice  []string `json:"advice"`  // sentences for the tenant administrator
}

// An UnreadyError reports a tenant that there is nothing to hand over of.
type UnreadyError struct{ Step Step }

func (e *UnreadyError) Error() string {
	text := "there is nothing to hand over: " + e.Step.Found
	if e.Step.Remedy != "" {
		text += "; " + e.Step.Remedy
	}
	return text
}

// Handover returns what the administrator of a tenant is given. It costs what
// [Guide.Deployment] does. The error is an [*UnreadyError] if the tenant has no virtual
// Administration Server, wraps [store.ErrNotFound], or is that of ctx.
func (g *Guide) Handover(ctx context.Context, id store.TenantID) (Handover, error) {
	tenant, ok := g.Table.Tenant(id)
	if !ok {
		return Handover{}, fmt.Errorf("tenant %s: %w", id, store.ErrNotFound)
	}
	steps, name, err := g.steps(ctx, &tenant)
	if err != nil {
		return Handover{}, err
	}
	if first := steps[0]; first.State == StepMissing || first.State == StepNotNeeded {
		return Handover{}, &UnreadyError{first}
	}
	a := &tenant.Administration
	h := Handover{
		Tenant: id, Name: tenant.Name, Server: cmp.Or(name, tenant.Name), ID: a.Server, Address: a.Address, User: a.User,
		IntegrationServer: a.IntegrationServer, Missing: []Step{},
		Advice: []string{"The password of the account comes separately.", "Change it when you log in for the first time."},
	}
	for _, step := range steps {
		if step.State == StepMissing {
			h.Missing = append(h.Missing, step)
		}
	}
	h.Ready = len(h.Missing) == 0
	return h, nil
}

// handingOver is step 7. Whether it was done is known to people alone.
func handingOver(t *store.Tenant, server *Step) Step {
	s := Step{Title: "Hand-over", State: StepUnknown, Found: "nothing here can tell whether the tenant's administrator has what is needed"}
	switch {
	case t.Type == store.Simple:
		s.State, s.Found = StepNotNeeded, "the tenant is simple: it has no administrator of its own"
	case server.State == StepMissing:
		s.State, s.Found, s.Remedy = StepMissing, "there is nothing to hand over yet", "make the virtual Administration Server (step 1)"
	default:
		s.Remedy = "send what this prints: svmgate tenant handover " + argument(t)
	}
	return s
}
