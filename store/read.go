package store

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// The functions of this file are for administrators. They return copies of
// their own, in which slices are shared and must not be modified.

// Tenant returns the tenant with the given id.
func (t *Table) Tenant(id TenantID) (Tenant, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return copied(t.tenant(id))
}

func copied(tenant *Tenant) (Tenant, bool) {
	if tenant == nil {
		return Tenant{}, false
	}
	return *tenant, true
}

// tenant returns the tenant with the given id, or nil.
func (t *Table) tenant(id TenantID) *Tenant {
	view := t.view.Load()
	i, ok := t.symbols.tenantIndex[id]
	if !ok || i >= len(view.tenants) {
		return nil
	}
	return view.tenants[i]
}

// TenantByName returns the tenant with the given name. Should two gateways have
// created one each before they saw each other, it is the one with the lower id.
func (t *Table) TenantByName(name string) (Tenant, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ids := t.tenantNames[name]
	if len(ids) == 0 {
		return Tenant{}, false
	}
	return copied(t.tenant(slices.MinFunc(ids, func(a, b TenantID) int { return compareID(a, b) })))
}

// Tenants returns all tenants, ordered by id.
func (t *Table) Tenants() []Tenant {
	view := t.view.Load()
	out := make([]Tenant, 0, len(view.tenants))
	for _, tenant := range view.tenants {
		if tenant != nil {
			out = append(out, *tenant)
		}
	}
	slices.SortFunc(out, func(a, b Tenant) int { return compareID(a.ID, b.ID) })
	return out
}

// SVM returns the SVM with the given id and its state as it is now.
func (t *Table) SVM(id SVMID) (SVM, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	view := t.view.Load()
	i, ok := t.svmIndex[id]
	if !ok || i >= len(view.svms) || view.svms[i] == nil {
		return SVM{}, false
	}
	return t.svmNow(view.svms[i]), true
}

func (t *Table) svmNow(e *SVMEntry) SVM {
	load, svm := &t.loads[e.Index], e.SVM
	svm.State = load.State()
	svm.ConnectedAgents = int(load.reported.Load())
	if at := load.at.Load(); at != 0 {
		svm.LastReport = milliTime(at)
	}
	return svm
}

// SVMs returns all SVMs with their states as they are now, ordered by id.
func (t *Table) SVMs() []SVM {
	view := t.view.Load()
	out := make([]SVM, 0, len(view.svms))
	for _, e := range view.svms {
		if e != nil {
			out = append(out, t.svmNow(e))
		}
	}
	slices.SortFunc(out, func(a, b SVM) int { return compareID(a.ID, b.ID) })
	return out
}

// VM returns the registered VM with the given BIOS ID.
func (t *Table) VM(id BIOSID) (VM, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var v heldVM
	t.hold(&v, &id)
	return v.vm(id)
}

// vm returns the VM for who reads; false if it is not registered.
func (v *heldVM) vm(id BIOSID) (VM, bool) {
	row, place := &v.registration.row, &v.placement.row
	if !v.registration.live {
		return VM{}, false
	}
	return VM{
		BIOS: id, ID: row.ID, Tenant: row.Tenant, Name: strings.Clone(row.Name), UserData: strings.Clone(row.UserData),
		OS: place.OS, Kind: place.Kind, Version: place.Version, Path: place.Path,
		Created: row.Created, Revision: fingerprint(v.registration.version, v.placement.version),
		Updated: milliTime(max(v.registration.version.Millis(), v.placement.version.Millis())),
	}, true
}

// VMs returns up to limit registered VMs that come after the given BIOS ID, which
// need not be there any more; the zero id starts. If tenant is not nil, only its
// VMs are returned. The order is that of a hash of the ids. It depends on nothing
// else, so a walk by pages returns a VM that is there throughout exactly once,
// whatever happens to others and even across a restart. A page takes time for
// what it returns; one of a tenant may take time for all of the tenant's VMs if
// some have changed since the last one, and the first of all looks at the whole
// table once.
func (t *Table) VMs(after BIOSID, tenant *TenantID, limit int) []VM {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var ids []BIOSID
	if tenant == nil {
		ids = t.vms.page(after, limit)
	} else if index, ok := t.symbols.tenantIndex[*tenant]; ok {
		ids = t.vms.pageOf(uint32(index), after, limit)
	}
	var out []VM
	for _, id := range ids {
		var v heldVM
		t.hold(&v, &id)
		if vm, ok := v.vm(id); ok {
			out = append(out, vm)
		}
	}
	return out
}

// Records calls fn with every record of the table, tombstones included, until it
// returns false. Writers wait meanwhile; readers do not.
func (t *Table) Records(fn func(Record) bool) {
	t.writing.Lock()
	defer t.writing.Unlock()
	t.records(fn)
}

func (t *Table) records(fn func(Record) bool) {
	all := t.eachRow(func(r Record) bool {
		if r.Key.isBulk() {
			r.Value = bytes.Clone(r.Value)
		}
		return fn(r)
	})
	if !all {
		return
	}
	stop := false
	for i := range t.vms.shards {
		t.vms.shards[i].each(func(slot *vmSlot, _ vmFacts) {
			e := t.entryOf(slot.id())
			for _, r := range []Record{e.registration, e.placement} {
				stop = stop || !r.Version.IsZero() && !fn(r)
			}
		})
		if stop {
			return
		}
	}
}

// Sweep lets time pass: SVMs that were silent for too long go down, licences
// expire, tokens that were replaced end, what is below a floor goes. [Table.Run] calls it every second with
// the present time; tests may name another.
func (t *Table) Sweep(now time.Time) {
	if t.floors.sinking.Load() {
		t.sinkPiece()
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	since := now.Sub(t.start)
	old := t.view.Load()
	change := &ViewChange{}
	var svms []*SVMEntry
	for i, e := range old.svms {
		if e == nil {
			continue
		}
		t.settle(e, since)
		if ok := licensed(&e.License, now); ok != e.Licensed {
			if svms == nil {
				svms = slices.Clone(old.svms)
			}
			next := *e
			next.Licensed = ok
			svms[i] = &next
			change.SVMs = append(change.SVMs, i)
		}
	}
	t.sweepTokens(now)
	if svms == nil {
		return
	}
	view := *old
	view.revision++
	view.svms = svms
	change.View = &view
	t.view.Store(&view)
	for _, fn := range t.observers.fns {
		fn(change)
	}
}
