package store

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// A Tx is a change in the making: see [Table.Update]. What it reads includes
// what it has already changed. Methods that change report whether anything
// differs from before: writing what is already there changes nothing. Their
// errors are a [*FieldError], or wrap [ErrNotFound] or [ErrExists].
type Tx struct {
	table *Table
	group *group
	names map[string]TenantID // of tenants named in this change; zero: name given up
	now   time.Time

	conflicts []Conflict
}

// Update makes a change of several steps: fn describes it, and when fn returns
// nil all of it is applied as by one [Table.Apply]. When fn returns an error
// nothing happens, and Update returns that error. Writers wait while fn runs,
// readers do not. fn must not keep the Tx, nor write to the table otherwise. It
// may run on the goroutine of another caller, whose changes are made together
// with this one: it must return, not end its goroutine as FailNow of a test does,
// and it must ask the Tx, not the Table, which does not have those changes yet.
func (t *Table) Update(fn func(*Tx) error) error {
	c := &change{fn: fn}
	t.do(c)
	return c.err
}

// Now is the moment of the change by the table's clock.
func (tx *Tx) Now() time.Time { return tx.now }

func (tx *Tx) current(kind Kind, id [16]byte) Record {
	return tx.record(Key{Kind: kind, ID: id})
}

// put stages a value; an empty one deletes. It reports whether that is news.
func (tx *Tx) put(kind Kind, id [16]byte, value []byte) bool {
	key := Key{Kind: kind, ID: id}
	have := tx.record(key)
	if have.Version.IsZero() && len(value) == 0 || !have.Version.IsZero() && bytes.Equal(have.Value, value) {
		return false
	}
	tx.write(key, value)
	return true
}

// write stages a value, whether it is news or not.
func (tx *Tx) write(key Key, value []byte) {
	tx.group.put(Record{Key: key, Version: tx.table.clock.next(), Value: value})
}

// Tenant returns the tenant with the given id.
func (tx *Tx) Tenant(id TenantID) (Tenant, bool) {
	settings, activation := tx.current(KindTenant, id), tx.current(KindActivation, id)
	tenant := tenantFrom(id, settings, activation)
	if tenant == nil {
		return Tenant{}, false
	}
	return *tenant, true
}

func (tx *Tx) hasTenant(id TenantID) bool {
	if at := tx.group.at(Key{KindTenant, id}); at >= 0 {
		return !tx.group.rows[at].Deleted()
	}
	return tx.table.tenant(id) != nil
}

// TenantByName returns the tenant with the given name.
func (tx *Tx) TenantByName(name string) (Tenant, bool) {
	id, ok := tx.names[name]
	if !ok {
		id, ok = tx.group.names[name]
	}
	if ok {
		if id.IsZero() {
			return Tenant{}, false
		}
		return tx.Tenant(id)
	}
	tenant, ok := tx.table.TenantByName(name)
	if !ok {
		return Tenant{}, false
	}
	return tx.Tenant(tenant.ID)
}

// PutTenant creates a tenant or replaces its settings. Status, Created, Updated
// and Revision of t are ignored: a new tenant is inactive. Names are unique:
// one that another tenant has is [ErrExists].
func (tx *Tx) PutTenant(t Tenant) (bool, error) {
	if t.ID.IsZero() {
		return false, fieldError("id", "", "must not be empty")
	}
	row := t.row()
	row.Created = Time{tx.now}
	if err := row.validate(); err != nil {
		return false, err
	}
	if other, ok := tx.TenantByName(t.Name); ok && other.ID != t.ID {
		return false, fmt.Errorf("tenant name %q: %w", t.Name, ErrExists)
	}
	if old, ok := tx.Tenant(t.ID); ok {
		row.Created = old.Created
	}
	value := row.encode()
	have, err := decodeTenant(tx.current(KindTenant, t.ID).Value)
	if err == nil && bytes.Equal(have.encode(), value) { // an older release may have written fewer fields of the same
		return false, nil
	}
	tx.rename(t.ID, t.Name)
	return tx.put(KindTenant, t.ID, value), nil
}

// rename keeps track of the names of tenants; without one the tenant is deleted.
// It comes before the tenant's settings are staged.
func (tx *Tx) rename(id TenantID, name string) {
	if old, ok := tx.Tenant(id); ok && old.Name != name {
		if holder, ok := tx.TenantByName(old.Name); ok && holder.ID == id { // two may share one: see [Table.TenantByName]
			tx.claim(old.Name, TenantID{})
		}
	}
	if name != "" {
		tx.claim(name, id)
	}
}

func (tx *Tx) claim(name string, id TenantID) {
	if tx.names == nil {
		tx.names = map[string]TenantID{}
	}
	tx.names[name] = id
}

// SetActive activates or deactivates a tenant. It takes effect on this gateway's
// very next answer. Deactivating a tenant that is inactive here already changes
// nothing that can be seen, but is written all the same: another gateway may have
// activated the tenant, and has to learn that this came after.
func (tx *Tx) SetActive(id TenantID, active bool) (bool, error) {
	if !tx.hasTenant(id) {
		return false, fmt.Errorf("tenant %s: %w", id, ErrNotFound)
	}
	row, _ := decodeActivation(tx.current(KindActivation, id).Value)
	was := row.active()
	if was && active {
		return false, nil
	}
	row = tx.switched(row, active)
	tx.put(KindActivation, id, row.encode())
	return was != active, nil
}

// switched returns an activation turned on or off.
func (tx *Tx) switched(row activationRow, active bool) activationRow {
	switch {
	case !active:
		row.Off = tx.table.clock.next()
	case !row.active():
		row.On, row.Ever = row.Off, true
	}
	return row
}

// DeleteTenant removes a tenant with its VMs and its token.
func (tx *Tx) DeleteTenant(id TenantID) (bool, error) {
	if !tx.hasTenant(id) {
		return false, fmt.Errorf("tenant %s: %w", id, ErrNotFound)
	}
	for _, bios := range tx.vmsOf(id) {
		if _, err := tx.DeleteVM(bios); err != nil {
			return false, err
		}
	}
	// Should a tenant with this id ever be made again, it starts inactive, even if
	// a gateway that had not heard of this activates it meanwhile.
	if _, err := tx.SetActive(id, false); err != nil {
		return false, err
	}
	tx.put(KindToken, id, nil)
	tx.rename(id, "")
	return tx.put(KindTenant, id, nil), nil
}

// vmsOf returns the BIOS IDs of a tenant's VMs, staged ones included.
func (tx *Tx) vmsOf(id TenantID) []BIOSID {
	t := tx.table
	var out []BIOSID
	index, known := t.symbols.tenantIndex[id]
	if known {
		out = t.vms.pageOf(uint32(index), BIOSID{}, int(t.vms.live.Load()))
	}
	out = slices.DeleteFunc(out, func(b BIOSID) bool {
		vm, ok := tx.VM(b)
		return !ok || vm.Tenant != id
	})
	for i := range tx.group.rows {
		key := tx.group.rows[i].Key
		if key.Kind != KindVM {
			continue
		}
		bios := BIOSID(key.ID)
		if _, facts := t.vms.find(&bios); known && facts&factsLive != 0 && facts.tenant() == uint32(index) {
			continue // it is among them
		}
		if vm, ok := tx.VM(bios); ok && vm.Tenant == id {
			out = append(out, bios)
		}
	}
	return out
}

// Token returns a tenant's agent token.
func (tx *Tx) Token(id TenantID) (Token, bool) {
	token, err := decodeToken(id, tx.current(KindToken, id).Value)
	return token, err == nil
}

// SetToken replaces a tenant's agent token. A digest that is zero or another
// tenant's is refused.
func (tx *Tx) SetToken(token Token) (bool, error) {
	if !tx.hasTenant(token.Tenant) {
		return false, fmt.Errorf("tenant %s: %w", token.Tenant, ErrNotFound)
	}
	if token.Current == [32]byte{} {
		return false, fieldError("token", "", "must be the SHA-256 of a token, not zero")
	}
	if other, ok := tx.tenantByToken(token.Current); ok && other != token.Tenant {
		return false, fieldError("token", "", "is another tenant's")
	}
	return tx.put(KindToken, token.Tenant, encodeToken(&token)), nil
}

// tenantByToken returns the tenant whose token has the SHA-256 sum.
func (tx *Tx) tenantByToken(sum [32]byte) (TenantID, bool) {
	for i := range tx.group.rows {
		r := &tx.group.rows[i]
		if r.Key.Kind != KindToken {
			continue
		}
		token, err := decodeToken(r.Key.ID, r.Value)
		if err == nil && (token.Current == sum || token.Previous == sum && tx.now.Before(token.PreviousUntil)) {
			return token.Tenant, true
		}
	}
	owner, ok := tx.table.TenantByToken(sum)
	return owner, ok && tx.group.at(Key{KindToken, owner}) < 0 // else it has another by now
}

// SVM returns the SVM with the given id. Its state is what was written, not what
// reports make of it: for that see [Table.SVM].
func (tx *Tx) SVM(id SVMID) (SVM, bool) {
	config, facts := tx.current(KindSVMConfig, id), tx.current(KindSVMFacts, id)
	c, err := decodeSVMConfig(config.Value)
	if err != nil {
		return SVM{}, false
	}
	f, err := decodeFacts(facts.Value)
	if err != nil {
		f = SVMFacts{}
	}
	load, _ := decodeLoad(tx.current(KindSVMLoad, id).Value)
	c.Tags, c.Tenants, f.Kinds = notNil(c.Tags), notNil(c.Tenants), notNil(f.Kinds)
	return SVM{
		ID: id, SVMConfig: c.SVMConfig, SVMFacts: f, ConnectedAgents: load.Connected, State: c.Wanted, Drain: c.Drain,
		LastReport: load.Reported, Revision: fingerprint(config.Version, facts.Version),
	}, true
}

// PutSVM creates or replaces an SVM: its configuration, with State as written,
// and its facts and connected agents as a report. LastReport and Drain are ignored.
func (tx *Tx) PutSVM(s SVM) (bool, error) {
	if err := validateReport(&s.SVMFacts, s.ConnectedAgents); err != nil {
		return false, err
	}
	configured, err := tx.ConfigureSVM(s.ID, s.SVMConfig, s.State)
	if err != nil {
		return false, err
	}
	reported, err := tx.ReportSVM(s.ID, s.SVMFacts, s.ConnectedAgents)
	return configured || reported, err
}

// ConfigureSVM creates an SVM or replaces what administrators write of it. One
// that has never reported is down unless it is pinned. If it begins to drain, its
// agents leave over [DefaultDrain]; see [Tx.DrainSVM].
func (tx *Tx) ConfigureSVM(id SVMID, c SVMConfig, state SVMState) (bool, error) {
	if id.IsZero() {
		return false, fieldError("id", id.String(), "must not be empty or zero, which means the SVM that does not exist")
	}
	row := svmConfigRow{SVMConfig: c, Wanted: state}
	if err := row.validate(); err != nil {
		return false, err
	}
	if state == Draining {
		row.Drain = tx.drainOf(id)
	}
	return tx.put(KindSVMConfig, id, row.encode()), nil
}

// ReportSVM records what an SVM says of itself: the facts, which are kept when
// they change, and the number of connected agents, which is not kept over a
// restart. The report counts as heard now even if it changes nothing.
func (tx *Tx) ReportSVM(id SVMID, f SVMFacts, connected int) (bool, error) {
	old, ok := tx.SVM(id)
	if !ok {
		return false, fmt.Errorf("SVM %s: %w", id, ErrNotFound)
	}
	if err := validateReport(&f, connected); err != nil {
		return false, err
	}
	changed := tx.put(KindSVMFacts, id, encodeFacts(&f))
	load := loadRow{Connected: connected, Reported: Time{tx.now}}
	tx.write(Key{KindSVMLoad, id}, load.encode())
	return changed || old.ConnectedAgents != connected, nil
}

// DeleteSVM forgets an SVM.
func (tx *Tx) DeleteSVM(id SVMID) (bool, error) {
	if _, ok := tx.SVM(id); !ok {
		return false, fmt.Errorf("SVM %s: %w", id, ErrNotFound)
	}
	tx.put(KindSVMFacts, id, nil)
	tx.put(KindSVMLoad, id, nil)
	tx.put(KindObservation, id, nil)
	return tx.put(KindSVMConfig, id, nil), nil
}

func itoa(n int) string { return strconv.Itoa(n) }
