package audit

import (
	"strconv"

	"github.com/svmgate/svmgate/store"
)

// Switch activates or deactivates a tenant. That somebody did is told in any case;
// "tenant.activated" and "tenant.deactivated" are told only if the status changed.
func Switch(tx *store.Tx, who Who, id store.TenantID, active bool) error {
	before, _ := tx.Tenant(id)
	if _, err := tx.SetActive(id, active); err != nil {
		return err
	}
	after, _ := tx.Tenant(id)
	verb := "deactivate"
	if active {
		verb = "activate"
	}
	name := strconv.Quote(after.Name)
	err := Note(tx, who, Entry{
		Type: "tenant_" + verb, Message: verb + "d tenant " + name, Tenant: id,
		Before: map[string]any{"status": before.Status}, After: map[string]any{"status": after.Status}, Always: true,
	})
	if err != nil || before.Status == after.Status {
		return err
	}
	_, err = tx.Emit(store.Event{
		ID: store.NewEventID(), Type: "tenant." + verb + "d", Tenant: id, Actor: who.Account, From: who.Address,
		Message: "tenant " + name + " is " + after.Status.String(),
	})
	return err
}

// Tenant makes a change of a tenant: fn. What it is called is the type of the event, as
// of [Entry]; did says what was done, such as "changed".
func Tenant(tx *store.Tx, who Who, event, did string, id store.TenantID, fn func() error) error {
	return object(tx, who, Entry{Type: event, Tenant: id}, did+" tenant", func() (any, string, bool) {
		t, ok := tx.Tenant(id)
		return t, t.Name, ok
	}, fn)
}

// VM makes a change of a VM: fn.
func VM(tx *store.Tx, who Who, event, did string, id store.BIOSID, fn func() error) error {
	e := Entry{Type: event, VM: id}
	if vm, ok := tx.VM(id); ok {
		e.Tenant = vm.Tenant
	}
	return object(tx, who, e, did+" VM", func() (any, string, bool) {
		vm, ok := tx.VM(id)
		return vm, vm.Name, ok
	}, fn)
}

// object makes a change of what look finds, and notes it.
func object(tx *store.Tx, who Who, e Entry, did string, look func() (object any, name string, found bool), fn func() error) error {
	before, name, had := look()
	if err := fn(); err != nil {
		return err
	}
	after, newName, has := look()
	if had {
		e.Before = before
	}
	if has {
		e.After, name = after, newName
	}
	if !had && !has {
		return nil
	}
	e.Message = did + " " + strconv.Quote(name)
	return Note(tx, who, e)
}

// SVM makes a change of an SVM: fn. What SVMs report of themselves is no administrative
// action, whoever sends it: only what administrators configure counts.
func SVM(tx *store.Tx, who Who, event, did string, id store.SVMID, fn func() error) error {
	return object(tx, who, Entry{Type: event, SVM: id}, did+" SVM", func() (any, string, bool) {
		s, ok := tx.SVM(id)
		return configured{s.ID, s.SVMConfig, s.State, s.Drain}, s.Name, ok
	}, fn)
}

// configured is what administrators write of an SVM.
type configured struct {
	ID store.SVMID `json:"id"`
	store.SVMConfig
	State store.SVMState `json:"state"`
	Drain store.Drain    `json:"drain,omitzero"`
}

// Account makes a change of an account: fn. Of its password nothing is told.
func Account(tx *store.Tx, who Who, event, did, name string, fn func() error) error {
	return object(tx, who, Entry{Type: event}, did+" account", func() (any, string, bool) {
		a, ok := tx.Account(name)
		return a, a.Name, ok
	}, fn)
}
