package adminapi

import (
	"encoding/base64"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

func vmBinding(vm *store.VM) binding {
	return binding{
		"biosId":   unchangeable(vm.BIOS),
		"id":       text(&vm.ID, vm.ID),
		"tenant":   text(&vm.Tenant, store.TenantID{}),
		"name":     str(&vm.Name, ""),
		"userData": str(&vm.UserData, ""),
		"os":       text(&vm.OS, store.OSUnknown),
		"kind":     text(&vm.Kind, store.AgentUnknown),
		"version":  str(&vm.Version, ""),
		"path":     pathSetter(&vm.Path),
		"created":  ownText[store.Time](),
		"updated":  ownText[store.Time](),
	}
}

func (c *call) biosID() (store.BIOSID, error) {
	id, err := store.ParseBIOSID(c.params[0])
	if err == nil && id.IsZero() {
		err = store.ErrMalformedID
	}
	if err != nil {
		return id, badPath("biosId", c.params[0], err)
	}
	return id, nil
}

func noVM(id store.BIOSID) error {
	return refuse(404, "vm_not_registered", "no VM is registered with the BIOS ID "+id.String())
}

func (c *call) answerVM(status int, id store.BIOSID) error {
	vm, ok := c.api.table.VM(id)
	if !ok {
		return noVM(id)
	}
	return c.answerObject(status, vm.Revision, vm)
}

func (a *API) listVMs(c *call) error {
	limit, after, err := c.idPage()
	if err != nil {
		return err
	}
	var tenant *store.TenantID
	if args := c.ctx.QueryArgs(); args.Has("tenant") {
		id, err := store.ParseTenantID(args.Peek("tenant"))
		if err != nil {
			return badParameter("tenant", string(args.Peek("tenant")), "a tenant's id, or the nil UUID for VMs of no tenant")
		}
		tenant = &id
	}
	vms := a.table.VMs(after, tenant, limit+1)
	page := list[store.VM]{Items: append([]store.VM{}, vms...)}
	if len(vms) > limit {
		page.Items = vms[:limit]
		page.Next = base64.RawURLEncoding.EncodeToString(vms[limit-1].BIOS[:])
	}
	return c.answer(200, page)
}

func (a *API) readVM(c *call) error {
	id, err := c.biosID()
	if err != nil {
		return err
	}
	return c.answerVM(200, id)
}

// putVM registers a VM, or replaces its registration and placement. Its record
// id stays unless the body names another.
func (a *API) putVM(c *call) error {
	id, err := c.biosID()
	if err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	vm := store.VM{BIOS: id}
	if err := vmBinding(&vm).bind(whole, body); err != nil {
		return err
	}
	status := 200
	err = a.table.Update(func(tx *store.Tx) error {
		old, exists := tx.VM(id)
		if err := c.ifMatch(exists, old.Revision); err != nil {
			return err
		}
		if err := c.ifNoneMatch(exists, old.Revision); err != nil {
			return err
		}
		if status = 200; !exists {
			status = 201
		}
		return audit.VM(tx, c.who(), "vm_put", "wrote", id, func() error {
			_, err := tx.PutVM(vm)
			return err
		})
	})
	if err != nil {
		return err
	}
	if status == 201 {
		c.ctx.Response.Header.Set("Location", "/v1/vms/"+id.String())
	}
	return c.answerVM(status, id)
}

func (a *API) deleteVM(c *call) error {
	id, err := c.biosID()
	if err != nil {
		return err
	}
	if err := c.noBody(); err != nil {
		return err
	}
	err = a.table.Update(func(tx *store.Tx) error {
		vm, ok := tx.VM(id)
		if !ok {
			return noVM(id)
		}
		if err := c.ifMatch(true, vm.Revision); err != nil {
			return err
		}
		return audit.VM(tx, c.who(), "vm_delete", "unregistered", id, func() error {
			_, err := tx.DeleteVM(id)
			return err
		})
	})
	if err != nil {
		return err
	}
	c.ctx.SetStatusCode(204)
	return nil
}
