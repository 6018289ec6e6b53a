package viis

import (
	"errors"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/store"
)

const (
	// vmPage is how many VMs are read from the table at a time.
	vmPage = 500
	// maxWaited bounds for how many of a deleted tenant's VMs the answer waits until
	// other gateways know that they are gone.
	maxWaited = 2000
)

func (c *call) listVMs() error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	if _, ok := c.api.table.Tenant(id); !ok {
		return noTenant(id.String())
	}
	var after store.BIOSID
	return c.answerList("vms", func(dst []byte) ([]byte, bool) {
		page := c.api.table.VMs(after, &id, vmPage)
		for i := range page {
			dst = appendVM(dst, &page[i])
		}
		if len(page) < vmPage {
			return dst, false
		}
		after = page[len(page)-1].BIOS
		return dst, true
	})
}

// registerVM registers a VM that is registered nowhere: neither for another tenant nor
// for none. Where a VM runs and what it is an inventory says, and nothing here.
func (c *call) registerVM() error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	raw, err := c.body()
	if err != nil {
		return err
	}
	vm, err := readVM(raw)
	if err != nil {
		return err
	}
	vm.Tenant = id
	err = c.api.table.Update(func(tx *store.Tx) error {
		if _, ok := tx.Tenant(id); !ok {
			return noTenant(id.String())
		}
		return audit.VM(tx, c.who(), "vm_put", "registered", vm.BIOS, func() error { return tx.RegisterVM(vm) })
	})
	if errors.Is(err, store.ErrExists) {
		return refuse(409, codeVMExists, "a VM with the BIOS ID "+vm.BIOS.String()+" is registered already")
	}
	if err != nil {
		return err
	}
	c.api.spread(c.ctx, vmKeys(nil, vm.BIOS))
	return c.done()
}

// unregisterVM unregisters a VM of a tenant, and no other tenant's.
func (c *call) unregisterVM() error {
	id, err := c.tenantID()
	if err != nil {
		return err
	}
	find, text, err := c.whichVM()
	if err != nil {
		return err
	}
	if _, ok := c.api.table.Tenant(id); !ok { // looking for the VM may take long
		return noTenant(id.String())
	}
	vm, ok := find(id)
	noVM := refuse(404, codeVMNotFound, "tenant "+id.String()+" has no VM "+text)
	if !ok {
		return noVM
	}
	err = c.api.table.Update(func(tx *store.Tx) error {
		if _, ok := tx.Tenant(id); !ok {
			return noTenant(id.String())
		}
		if now, ok := tx.VM(vm.BIOS); !ok || now.Tenant != id || now.ID != vm.ID {
			return noVM
		}
		return audit.VM(tx, c.who(), "vm_delete", "unregistered", vm.BIOS, func() error {
			_, err := tx.DeleteVM(vm.BIOS)
			return err
		})
	})
	if err != nil {
		return err
	}
	c.api.spread(c.ctx, vmKeys(nil, vm.BIOS))
	return c.done()
}

// whichVM reads which VM is meant: by one of two ids. It returns how to find it, and the
// id for a message.
func (c *call) whichVM() (find func(store.TenantID) (store.VM, bool), text string, err error) {
	biosText, byBIOS, err := c.parameter("biosId")
	if err != nil {
		return nil, "", err
	}
	vmText, byID, err := c.parameter("vmId")
	if err != nil {
		return nil, "", err
	}
	if byBIOS == byID {
		return nil, "", bad("say which VM is meant by one of the query parameters biosId and vmId")
	}
	if byBIOS {
		bios, err := store.ParseBIOSID(biosText)
		if err != nil {
			return nil, "", badParameter("biosId", biosText, "a UUID")
		}
		return func(store.TenantID) (store.VM, bool) { return c.api.table.VM(bios) }, "with the BIOS ID " + bios.String(), nil
	}
	id, err := store.ParseVMID(vmText)
	if err != nil {
		return nil, "", badParameter("vmId", vmText, "a UUID")
	}
	return func(tenant store.TenantID) (store.VM, bool) { return c.api.vmByID(tenant, id) }, "with the id " + id.String(), nil
}

// vmByID looks at a tenant's VMs one by one, since the table finds VMs by BIOS ID alone:
// BenchmarkVMByID has what that takes.
func (a *API) vmByID(tenant store.TenantID, id store.VMID) (store.VM, bool) {
	var after store.BIOSID
	for {
		page := a.table.VMs(after, &tenant, vmPage)
		for _, vm := range page {
			if vm.ID == id {
				return vm, true
			}
		}
		if len(page) < vmPage {
			return store.VM{}, false
		}
		after = page[len(page)-1].BIOS
	}
}

// someVMs returns the keys of a tenant's first VMs.
func (a *API) someVMs(tenant store.TenantID) (keys []store.Key) {
	if a.confirm == nil || tenant.IsZero() {
		return nil
	}
	for _, vm := range a.table.VMs(store.BIOSID{}, &tenant, maxWaited) {
		keys = vmKeys(keys, vm.BIOS)
	}
	return keys
}

// vmKeys appends the keys of a VM's records.
func vmKeys(keys []store.Key, id store.BIOSID) []store.Key {
	return append(keys, store.Key{Kind: store.KindVM, ID: id}, store.Key{Kind: store.KindPlacement, ID: id})
}
