package store

import "fmt"

// VM returns the registered VM with the given BIOS ID.
func (tx *Tx) VM(id BIOSID) (VM, bool) {
	v := tx.vm(id)
	return v.vm(id)
}

// PutVM registers a VM or replaces what is known of it. A zero ID is kept or
// made. A VM that is registered to another tenant is moved. Created, Updated and
// Revision are ignored.
func (tx *Tx) PutVM(vm VM) (bool, error) {
	if err := validateVM(&vm); err != nil {
		return false, err
	}
	if !vm.Tenant.IsZero() && !tx.hasTenant(vm.Tenant) {
		return false, fieldError("tenant", vm.Tenant.String(), "must be the id of a tenant")
	}
	have := tx.vm(vm.BIOS)
	old := &have.registration
	row := vmRow{Tenant: vm.Tenant, ID: vm.ID, Name: vm.Name, UserData: vm.UserData, Created: Time{tx.now}}
	if old.live {
		row.Created = old.row.Created
		if row.ID.IsZero() {
			row.ID = old.row.ID
		}
	}
	if row.ID.IsZero() {
		row.ID = NewVMID()
	}
	tx.supersede(&row, old)
	if !old.live { // what was told of one that had the id before, by who did not know that it had gone
		tx.put(KindObservation, vm.BIOS, nil)
	}
	registered := !old.exact || old.row != row
	if registered {
		tx.putVM(have.at[0], Key{KindVM, vm.BIOS}, row.append(tx.group.emptyValue()))
	}
	place := placementRow{Path: vm.Path, OS: vm.OS, Kind: vm.Kind, Version: vm.Version}
	placed := !have.placement.exact || have.placement.row != place
	if placed {
		tx.putVM(have.at[1], Key{KindPlacement, vm.BIOS}, place.append(tx.group.emptyValue()))
	}
	return registered || placed, nil
}

// supersede sets what makes a registration win over the one that the table has.
func (tx *Tx) supersede(row *vmRow, old *heldRow[vmRow]) {
	switch {
	case !old.live: // new, or unregistered before
		row.Seen, row.Since = old.version, tx.table.clock.next()
	case old.row.Tenant != row.Tenant: // an unregistration and a registration in one
		row.Seen, row.Since = tx.table.clock.next(), tx.table.clock.next()
	default:
		row.Seen, row.Since = old.row.Seen, old.row.Since
	}
}

// putVM stages a value in the memory of the group; the place in the stage of what
// it replaces is known.
func (tx *Tx) putVM(at int, key Key, value []byte) {
	tx.group.putAt(at, Record{Key: key, Version: tx.table.clock.next(), Value: tx.group.keep(value)})
}

// RegisterVM registers a VM that is registered nowhere; otherwise the error is
// [ErrExists]. A BIOS ID is unique in the whole table, not per tenant. A registration for
// a tenant that is gone is none: it was made where nobody had heard of that yet.
func (tx *Tx) RegisterVM(vm VM) error {
	if now, ok := tx.VM(vm.BIOS); ok && (now.Tenant.IsZero() || tx.hasTenant(now.Tenant)) {
		return fmt.Errorf("VM %s: %w", vm.BIOS, ErrExists)
	}
	_, err := tx.PutVM(vm)
	return err
}

// DeleteVM unregisters a VM.
func (tx *Tx) DeleteVM(id BIOSID) (bool, error) {
	if v := tx.vm(id); !v.registration.live {
		return false, fmt.Errorf("VM %s: %w", id, ErrNotFound)
	}
	tx.put(KindPlacement, id, nil)
	tx.put(KindObservation, id, nil)
	return tx.put(KindVM, id, nil), nil
}

// stagedVM is a VM as a change finds it, and where its records are in the stage;
// -1 if they are not.
type stagedVM struct {
	heldVM
	at [2]int
}

func (tx *Tx) vm(id BIOSID) (v stagedVM) {
	s := &tx.group.stage
	v.at = [2]int{s.at(Key{KindVM, id}), s.at(Key{KindPlacement, id})}
	if v.at[0] < 0 || v.at[1] < 0 {
		tx.table.hold(&v.heldVM, &id)
	}
	if i := v.at[0]; i >= 0 {
		v.registration.hold(s.rows[i], readVM, (*vmRow).append)
	}
	if i := v.at[1]; i >= 0 {
		v.placement.hold(s.rows[i], readPlacement, (*placementRow).append)
	}
	return v
}

// valuesChunk is how much memory for the values of VMs is made at once. They are
// short, and nobody keeps them for long: the table has its own way to.
const valuesChunk = 1 << 14

// emptyValue begins a value of a VM in the memory of the group; keep keeps it.
func (g *group) emptyValue() encoder {
	if cap(g.values)-len(g.values) < 256 {
		g.values = make([]byte, 0, valuesChunk)
	}
	return emptyValue(g.values[len(g.values):])
}

// keep returns a value of which nothing comes behind.
func (g *group) keep(value []byte) []byte {
	if end := len(g.values) + len(value); end <= cap(g.values) { // else it is in memory of its own
		g.values = g.values[:end]
	}
	return value[:len(value):len(value)]
}
