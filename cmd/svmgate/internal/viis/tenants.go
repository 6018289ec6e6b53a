package viis

import (
	"errors"
	"strings"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/store"
)

func (c *call) listTenants() error {
	return c.answerList("tenants", each(c.api.table.Tenants(), appendTenant))
}

func (c *call) readTenant() error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	t, ok := c.api.table.Tenant(id)
	if !ok {
		return noTenant(id.String())
	}
	c.answer(200, func(dst []byte) []byte { return appendTenant(dst, &t) })
	return nil
}

// createTenant refuses what can be found wrong before anything is begun. Where the
// tenant's agents find the Integration Server is, unless the body says so, the host that
// this call came to.
func (c *call) createTenant() error {
	raw, err := c.body()
	if err != nil {
		return err
	}
	n, address, err := readTenant(raw)
	if err != nil {
		return err
	}
	if host := fence.Host(c.ctx); address == "" && isAddress(host) {
		address = host
	}
	n.Tenant.Administration.IntegrationServer = address
	t, err := c.api.tenancy.Create(c.who(), n)
	var field *store.FieldError
	if errors.As(err, &field) {
		return bad("<%s> %s", strings.ReplaceAll(field.Field, "administration.user", "vKsc/user/name"), field.Reason)
	}
	if err != nil {
		return err
	}
	return c.accept(t)
}

func (c *call) activateTenant() error   { return c.setActive(true) }
func (c *call) deactivateTenant() error { return c.setActive(false) }

// setActive has a task for an unknown tenant, too, as is documented.
func (c *call) setActive(active bool) error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	t, err := c.api.tenancy.SetActive(c.who(), id, active)
	if err != nil {
		return err
	}
	return c.accept(t)
}

func (c *call) deleteTenant() error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	const name = "removeTenantArtifacts"
	value, given, err := c.parameter(name)
	if err != nil {
		return err
	}
	artifacts := strings.EqualFold(value, "true")
	if given && !artifacts && !strings.EqualFold(value, "false") {
		return badParameter(name, value, "true or false")
	}
	vms := c.api.someVMs(id)
	t, err := c.api.tenancy.Delete(c.who(), id, artifacts)
	if err != nil {
		return err
	}
	return c.accept(t, vms...)
}
