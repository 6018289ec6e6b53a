package inventory

import (
	"github.com/svmgate/svmgate/store"
)

// set changes what is at only if there is something to say.
func set[T any](at, to *T) {
	if to != nil {
		*at = *to
	}
}

func (p *Path) over(at *store.Path) {
	if p != nil {
		set(&at.Host, p.Host)
		set(&at.Cluster, p.Cluster)
		set(&at.Zone, p.Zone)
	}
}

func (a *applier) tenant(tx *store.Tx, in *Tenant) (bool, error) {
	id, renamed := in.ID, false
	if id.IsZero() {
		var known bool
		if id, known = a.tenantNamed(tx, *in.Name); !known {
			id = TenantIDOf(*in.Name)
		}
	}
	have, exists := tx.Tenant(id)
	switch {
	case exists:
		renamed = in.ID.IsZero() && have.Name != *in.Name
	case in.Name == nil:
		return false, failure(0, "tenant.name", "is missing; the table has no tenant %s, and a new one needs a name", id)
	default:
		have = store.Tenant{ID: id, Discovery: store.DefaultDiscovery()}
	}
	if !renamed {
		set(&have.Name, in.Name)
	}
	set(&have.Description, in.Description)
	set(&have.Type, in.Type)
	set(&have.UserData, in.UserData)
	set(&have.Subnets, in.Subnets)
	if d := in.Discovery; d != nil {
		set(&have.Discovery.Algorithm, d.Algorithm)
		set(&have.Discovery.Path, d.Path)
		set(&have.Discovery.Load, d.Load)
		set(&have.Discovery.Tag, d.Tag)
		set(&have.Discovery.Protection, d.Protection)
		set(&have.Discovery.AgentVersion, d.AgentVersion)
		set(&have.Discovery.Locked, d.Locked)
	}
	if d := in.Administration; d != nil {
		set(&have.Administration.Server, d.Server)
		set(&have.Administration.Address, d.Address)
		set(&have.Administration.User, d.User)
	}
	changed, err := tx.PutTenant(have)
	if err != nil {
		return false, err
	}
	a.tenants[have.Name] = id
	if in.Status != nil && *in.Status != have.Status && (!exists || a.opt.WithStatus) {
		switched, err := tx.SetActive(id, *in.Status == store.Active)
		return changed || switched, err
	}
	return changed, nil
}

// tenantNamed finds a tenant by its name or, if it was renamed, by the id that
// an inventory once gave it for that name.
func (a *applier) tenantNamed(tx *store.Tx, name string) (store.TenantID, bool) {
	if a.view != nil {
		if i, ok := a.indexes[name]; ok {
			if t := a.view.Tenant(i); t != nil && t.Name == name {
				return t.ID, true
			}
		}
	}
	if id, ok := a.tenants[name]; ok {
		if t, exists := tx.Tenant(id); exists && t.Name == name {
			return id, true
		}
	}
	// Others may have written since the names were indexed.
	if t, ok := tx.TenantByName(name); ok {
		a.tenants[name] = t.ID
		return t.ID, true
	}
	id := TenantIDOf(name)
	_, ok := tx.Tenant(id)
	return id, ok
}

// resolve returns the id of the tenant that ref means.
func (a *applier) resolve(tx *store.Tx, ref TenantRef, field string) (store.TenantID, error) {
	if ref.IsZero() {
		return store.TenantID{}, nil
	}
	id, known := ref.ID, false
	if id.IsZero() {
		id, known = a.tenantNamed(tx, ref.Name)
	} else {
		_, known = tx.Tenant(id)
	}
	if !known {
		return id, failure(0, field, "there is no tenant %s, neither in the table nor in this inventory", shown(ref.String()))
	}
	return id, nil
}

func (a *applier) svm(tx *store.Tx, in *SVM) (bool, error) {
	id, renamed := in.ID, false
	if id.IsZero() {
		var err error
		if id, err = a.svmNamed(tx, *in.Name); err != nil {
			return false, err
		}
	}
	old, exists := tx.SVM(id)
	next := old
	switch {
	case exists:
		renamed = in.ID.IsZero() && old.Name != *in.Name
	case in.Address == nil:
		return false, failure(0, "svm.address", "is missing; the table does not have this SVM, and a new one needs an address")
	default:
		next = store.SVM{ID: id}
	}
	if !renamed {
		set(&next.Name, in.Name)
	}
	set(&next.Address, in.Address)
	set(&next.Tags, in.Tags)
	set(&next.Capacity, in.Capacity)
	set(&next.HardCap, in.HardCap)
	set(&next.Pinned, in.Pinned)
	if in.Tenants != nil {
		next.Tenants = make([]store.TenantID, 0, len(*in.Tenants))
		for _, ref := range *in.Tenants {
			tenant, err := a.resolve(tx, ref, "svm.tenants")
			if err != nil {
				return false, err
			}
			next.Tenants = append(next.Tenants, tenant)
		}
	}
	if !exists || a.opt.WithStatus {
		set(&next.State, in.State)
	}
	changed, err := putSVM(tx, in, &next)
	if err != nil {
		return false, err
	}
	if in.Name != nil {
		if other, known := a.svms[*in.Name]; known && other != id {
			id = store.SVMID{} // no longer one alone
		}
		a.svms[*in.Name] = id
	}
	return changed, nil
}

func putSVM(tx *store.Tx, in *SVM, next *store.SVM) (bool, error) {
	observed := in.Version != nil || in.Platform != nil || in.Path != nil || in.LargeInfra != nil || in.License != nil ||
		in.Encryption != nil || in.AllowUnprotected != nil || in.Kinds != nil || in.ConnectedAgents != nil
	if !observed {
		return tx.ConfigureSVM(next.ID, next.SVMConfig, next.State)
	}
	set(&next.Version, in.Version)
	set(&next.Platform, in.Platform)
	in.Path.over(&next.Path)
	set(&next.LargeInfra, in.LargeInfra)
	if l := in.License; l != nil {
		set(&next.License.State, l.State)
		set(&next.License.Key, l.Key)
		set(&next.License.Edition, l.Edition)
		set(&next.License.Expires, l.Expires)
	}
	set(&next.Encryption, in.Encryption)
	set(&next.AllowUnprotected, in.AllowUnprotected)
	set(&next.Kinds, in.Kinds)
	set(&next.ConnectedAgents, in.ConnectedAgents)
	return tx.PutSVM(*next)
}

// svmNamed returns the id of the SVM with the given name, which is one derived
// from the name if there is none yet. Names of SVMs are not unique.
func (a *applier) svmNamed(tx *store.Tx, name string) (store.SVMID, error) {
	id, known := a.svms[name]
	if known && id.IsZero() {
		return id, failure(0, "svm.name", "several SVMs are called %s; give the id of the one that is meant", shown(name))
	}
	if s, exists := tx.SVM(id); exists && s.Name == name {
		return id, nil
	}
	return SVMIDOf(name), nil
}

func (a *applier) vm(tx *store.Tx, in *VM) (bool, error) {
	next, _ := tx.VM(in.BIOS)
	next.BIOS = in.BIOS
	if !in.ID.IsZero() {
		next.ID = in.ID
	}
	if in.Tenant != nil {
		tenant, err := a.resolve(tx, *in.Tenant, "vm.tenant")
		if err != nil {
			return false, err
		}
		next.Tenant = tenant
	}
	set(&next.Name, in.Name)
	set(&next.UserData, in.UserData)
	set(&next.OS, in.OS)
	set(&next.Kind, in.Kind)
	set(&next.Version, in.Version)
	in.Path.over(&next.Path)
	return tx.PutVM(next)
}
