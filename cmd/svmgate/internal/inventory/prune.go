package inventory

import (
	"errors"
	"io"

	"github.com/svmgate/svmgate/store"
)

// A Census is what an inventory names, to tell what a table has beyond it.
type Census struct {
	vms         map[store.BIOSID]struct{}
	tenants     map[store.TenantID]struct{}
	svms        map[store.SVMID]struct{}
	tenantNames map[string]struct{}
	svmNames    map[string]struct{}
	counts      [3]int
}

// TakeCensus reads an inventory. A record that can not be read is an error: to
// prune what it names, for a misspelt word, would lose it.
func TakeCensus(r io.Reader, f Format) (*Census, error) {
	c := &Census{
		vms: make(map[store.BIOSID]struct{}), tenants: make(map[store.TenantID]struct{}), svms: make(map[store.SVMID]struct{}),
		tenantNames: make(map[string]struct{}), svmNames: make(map[string]struct{}),
	}
	err := Read(r, f, func(item Item) error {
		if item.Err != nil {
			return item.Err
		}
		c.add(item)
		return nil
	})
	return c, err
}

func (c *Census) add(item Item) {
	switch {
	case item.Tenant != nil:
		c.counts[0]++
		id := item.Tenant.ID
		if id.IsZero() {
			id = TenantIDOf(*item.Tenant.Name)
		}
		c.tenants[id] = struct{}{}
		if item.Tenant.Name != nil {
			c.tenantNames[*item.Tenant.Name] = struct{}{}
		}
	case item.SVM != nil:
		c.counts[1]++
		id := item.SVM.ID
		if id.IsZero() {
			id = SVMIDOf(*item.SVM.Name)
			c.svmNames[*item.SVM.Name] = struct{}{}
		}
		c.svms[id] = struct{}{}
	case item.VM != nil:
		c.counts[2]++
		c.vms[item.VM.BIOS] = struct{}{}
	}
}

// Counts returns how many records of each kind the inventory has.
func (c *Census) Counts() (tenants, svms, vms int) {
	return c.counts[0], c.counts[1], c.counts[2]
}

// HasTenant reports whether a tenant must stay: the inventory names it, or has
// no tenants at all and so says nothing about them.
func (c *Census) HasTenant(id store.TenantID, name string) bool {
	return c.counts[0] == 0 || has(c.tenants, id) || has(c.tenantNames, name)
}

// HasSVM is like [Census.HasTenant].
func (c *Census) HasSVM(id store.SVMID, name string) bool {
	return c.counts[1] == 0 || has(c.svms, id) || has(c.svmNames, name)
}

// HasVM is like [Census.HasTenant].
func (c *Census) HasVM(id store.BIOSID) bool {
	return c.counts[2] == 0 || has(c.vms, id)
}

func has[K comparable](set map[K]struct{}, key K) bool {
	_, ok := set[key]
	return ok
}

// Absent is what a table has and an inventory lacks. A tenant's VMs go with it,
// also those that are not listed here.
type Absent struct {
	Tenants []store.Tenant
	SVMs    []store.SVM
	VMs     []store.VM
}

// prunePage is how many VMs are read or removed at once.
const prunePage = 4096

// Absent returns what t has beyond the inventory, only of the kinds that the
// inventory has at all.
func (c *Census) Absent(t *store.Table) Absent {
	var a Absent
	for _, tenant := range t.Tenants() {
		if !c.HasTenant(tenant.ID, tenant.Name) {
			a.Tenants = append(a.Tenants, tenant)
		}
	}
	for _, svm := range t.SVMs() {
		if !c.HasSVM(svm.ID, svm.Name) {
			a.SVMs = append(a.SVMs, svm)
		}
	}
	if c.counts[2] == 0 {
		return a
	}
	for after := (store.BIOSID{}); ; {
		page := t.VMs(after, nil, prunePage)
		if len(page) == 0 {
			return a
		}
		for _, vm := range page {
			if !c.HasVM(vm.BIOS) {
				a.VMs = append(a.VMs, vm)
			}
		}
		after = page[len(page)-1].BIOS
	}
}

// Remove removes from t what is listed, and returns how much of it there still
// was.
func (a Absent) Remove(t *store.Table) (removed int, err error) {
	var steps []func(*store.Tx) (bool, error)
	for _, vm := range a.VMs {
		steps = append(steps, func(tx *store.Tx) (bool, error) { return tx.DeleteVM(vm.BIOS) })
	}
	for _, svm := range a.SVMs {
		steps = append(steps, func(tx *store.Tx) (bool, error) { return tx.DeleteSVM(svm.ID) })
	}
	for _, tenant := range a.Tenants {
		steps = append(steps, func(tx *store.Tx) (bool, error) { return tx.DeleteTenant(tenant.ID) })
	}
	for len(steps) > 0 {
		n := min(len(steps), prunePage)
		gone := 0
		err := t.Update(func(tx *store.Tx) error {
			for _, step := range steps[:n] {
				done, err := step(tx)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				if done {
					gone++
				}
			}
			return nil
		})
		if err != nil {
			return removed, err
		}
		removed, steps = removed+gone, steps[n:]
	}
	return removed, nil
}
