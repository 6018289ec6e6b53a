package adminapi

import (
	"fmt"
	"strconv"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/store"
)

func tenantBinding(t *store.Tenant) binding {
	d := store.DefaultDiscovery()
	return binding{
		"id":          text(&t.ID, store.TenantID{}),
		"name":        str(&t.Name, ""),
		"description": str(&t.Description, ""),
		"type":        text(&t.Type, store.Complete),
		"status":      text(&t.Status, store.Inactive),
		"userData":    str(&t.UserData, ""),
		"subnets":     texts(&t.Subnets),
		"discovery": nested(&t.Discovery, d, binding{
			"algorithm":    text(&t.Discovery.Algorithm, d.Algorithm),
			"path":         text(&t.Discovery.Path, d.Path),
			"load":         text(&t.Discovery.Load, d.Load),
			"tag":          str(&t.Discovery.Tag, d.Tag),
			"protection":   boolean(&t.Discovery.Protection, d.Protection),
			"agentVersion": str(&t.Discovery.AgentVersion, d.AgentVersion),
			"locked":       boolean(&t.Discovery.Locked, d.Locked),
		}),
		"administration": nested(&t.Administration, store.Administration{Artifacts: t.Administration.Artifacts}, binding{
			"server":  str(&t.Administration.Server, ""),
			"address": str(&t.Administration.Address, ""),
			"user":    str(&t.Administration.User, ""),

			"integrationServer": str(&t.Administration.IntegrationServer, ""),
		}),
		"created":  ownText[store.Time](),
		"updated":  ownText[store.Time](),
		"revision": ownNumber,
	}
}

// tenantID reads the id in the path.
func (c *call) tenantID() (store.TenantID, error) {
	id, err := store.ParseTenantID(c.params[0])
	if err == nil && id.IsZero() {
		err = store.ErrMalformedID
	}
	if err != nil {
		return id, badPath("id", c.params[0], err)
	}
	return id, nil
}

func badPath(name, given string, err error) error {
	return refuse(400, "invalid_id", fmt.Sprintf("%s %q in the path: %v", name, given, err))
}

func noTenant(id store.TenantID) error {
	return refuse(404, "tenant_not_found", "there is no tenant "+id.String())
}

func (c *call) answerTenant(status int, id store.TenantID) error {
	t, ok := c.api.table.Tenant(id)
	if !ok {
		return noTenant(id)
	}
	return c.answerObject(status, t.Revision, t)
}

func (a *API) listTenants(c *call) error {
	limit, after, err := c.page()
	if err != nil {
		return err
	}
	if after != nil && len(after) != len(store.TenantID{}) {
		return badAfter(string(c.ctx.QueryArgs().Peek("after")))
	}
	all := a.table.Tenants()
	if args := c.ctx.QueryArgs(); args.Has("name") {
		all = all[:0]
		if t, ok := a.table.TenantByName(string(args.Peek("name"))); ok {
			all = append(all, t)
		}
	}
	page := pageOf(all, limit, after, func(t store.Tenant) []byte { return t.ID[:] })
	return c.answer(200, page)
}

func (a *API) readTenant(c *call) error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	return c.answerTenant(200, id)
}

func (a *API) createTenant(c *call) error {
	body, err := c.body()
	if err != nil {
		return err
	}
	t := store.Tenant{Discovery: store.DefaultDiscovery()}
	if err := tenantBinding(&t).bind(whole, body); err != nil {
		return err
	}
	if t.ID.IsZero() {
		t.ID = store.NewTenantID()
	}
	err = a.table.Update(func(tx *store.Tx) error {
		if _, taken := tx.Tenant(t.ID); taken {
			return refuse(409, "exists", "id "+t.ID.String()+" is another tenant's")
		}
		err := audit.Tenant(tx, c.who(), "tenant_create", "created", t.ID, func() error {
			_, err := tx.PutTenant(t)
			return err
		})
		if err != nil || t.Status != store.Active {
			return err
		}
		return audit.Switch(tx, c.who(), t.ID, true)
	})
	if err != nil {
		return err
	}
	c.ctx.Response.Header.Set("Location", "/v1/tenants/"+t.ID.String())
	return c.answerTenant(201, t.ID)
}

func (a *API) patchTenant(c *call) error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	err = a.table.Update(func(tx *store.Tx) error {
		t, ok := tx.Tenant(id)
		if !ok {
			return noTenant(id)
		}
		if err := c.ifMatch(true, t.Revision); err != nil {
			return err
		}
		b := tenantBinding(&t)
		b["id"] = unchangeable(id)
		b["status"] = reserved("POST to /activate or /deactivate of the tenant")
		if err := b.bind(patch, body); err != nil {
			return err
		}
		return audit.Tenant(tx, c.who(), "tenant_update", "changed", id, func() error {
			_, err := tx.PutTenant(t)
			return err
		})
	})
	if err != nil {
		return err
	}
	return c.answerTenant(200, id)
}

func (a *API) deleteTenant(c *call) error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	if err := c.noBody(); err != nil {
		return err
	}
	err = a.table.Update(func(tx *store.Tx) error {
		t, ok := tx.Tenant(id)
		if !ok {
			return noTenant(id)
		}
		if err := c.ifMatch(true, t.Revision); err != nil {
			return err
		}
		return audit.Tenant(tx, c.who(), "tenant_delete", "deleted", id, func() error {
			_, err := tx.DeleteTenant(id)
			return err
		})
	})
	if err != nil {
		return err
	}
	c.ctx.SetStatusCode(204)
	return nil
}

func (a *API) activateTenant(c *call) error   { return a.setActive(c, true) }
func (a *API) deactivateTenant(c *call) error { return a.setActive(c, false) }

// setActive answers once the change is on disk here, and, if asked to wait, on
// that of others.
func (a *API) setActive(c *call, active bool) error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	w, err := c.wait()
	if err != nil {
		return err
	}
	if err := c.noBody(); err != nil {
		return err
	}
	err = a.table.Update(func(tx *store.Tx) error {
		t, ok := tx.Tenant(id)
		if !ok {
			return noTenant(id)
		}
		if err := c.ifMatch(true, t.Revision); err != nil {
			return err
		}
		return audit.Switch(tx, c.who(), id, active)
	})
	if err != nil {
		return err
	}
	return c.answerActivation(id, w)
}

// renewedToken is the answer to a new agent token, the only time it is shown.
type renewedToken struct {
	Tenant             store.TenantID `json:"tenant"`
	Token              string         `json:"token"`
	PreviousValidUntil store.Time     `json:"previousValidUntil"`
}

func (a *API) renewToken(c *call) error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	if err := c.noBody(); err != nil {
		return err
	}
	answer := renewedToken{Tenant: id}
	err = a.table.Update(func(tx *store.Tx) error {
		t, ok := tx.Tenant(id)
		if !ok {
			return noTenant(id)
		}
		token, sum := auth.NewToken()
		next := store.Token{Tenant: id, Current: sum}
		answer.Token, answer.PreviousValidUntil = token, store.Time{}
		if old, ok := tx.Token(id); ok && a.overlap > 0 {
			next.Previous, next.PreviousUntil = old.Current, tx.Now().Add(a.overlap)
			answer.PreviousValidUntil = store.Time{Time: next.PreviousUntil}
		}
		if _, err := tx.SetToken(next); err != nil {
			return err
		}
		return audit.Note(tx, c.who(), audit.Entry{
			Type: "token_renew", Message: "renewed the agent token of tenant " + strconv.Quote(t.Name), Tenant: id,
		})
	})
	if err != nil {
		return err
	}
	return c.answer(200, answer)
}
