package store

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
)

// Inactivity identifies since what deactivation a complete tenant is inactive: a number
// that is the same on all gateways with the same records, is not 0, and is another once
// the tenant was active in between. Deactivating it again makes no difference. It reports
// false if the tenant is active, simple, or unknown: then its agents are given SVMs.
func (t *Table) Inactivity(id TenantID) (uint64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return inactivity(t.tenant(id), t.rows[Key{KindActivation, id}])
}

// Inactivity is [Table.Inactivity].
func (tx *Tx) Inactivity(id TenantID) (uint64, bool) {
	tenant, ok := tx.Tenant(id)
	if !ok {
		return 0, false
	}
	return inactivity(&tenant, tx.current(KindActivation, id))
}

// inactivity goes by what the newest activation had seen: that changes with activations
// alone.
func inactivity(tenant *Tenant, activation Record) (uint64, bool) {
	if tenant == nil || tenant.Type != Complete || tenant.Status == Active {
		return 0, false
	}
	row, _ := decodeActivation(activation.Value) // zero if it was never activated, nor deactivated
	e := newEncoder()
	e.id(tenant.ID)
	e.version(row.On)
	e.bool(row.Ever)
	return xxhash.Sum64(e) | 1, true
}

// Event returns the event with the given id.
func (tx *Tx) Event(id EventID) (Event, bool) {
	r := tx.current(KindEvent, id)
	r.Value = bytes.Clone(r.Value) // it may be a part of what others write over after this change
	return EventOf(&r)
}
