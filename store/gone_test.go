package store

import (
	"errors"
	"testing"
)

// A VM that was registered for a tenant while another gateway deleted it can be
// registered again, and that holds everywhere.
func TestRegisterVMOfATenantThatIsGone(t *testing.T) {
	var tables []*Table
	for _, node := range []string{"a", "b"} {
		x, err := Open(Config{Node: node})
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		tables = append(tables, x)
	}
	a, b := tables[0], tables[1]
	update := func(x *Table, fn func(*Tx) error) {
		t.Helper()
		if err := x.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	share := func() {
		for i, from := range tables {
			var all []Record
			from.Records(func(r Record) bool { all = append(all, r); return true })
			if _, err := tables[1-i].Apply(Batch{Records: all, From: "peer"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone, there, bios := NewTenantID(), NewTenantID(), BIOSID{1}
	register := func(tenant TenantID) func(*Tx) error {
		return func(tx *Tx) error { return tx.RegisterVM(VM{BIOS: bios, ID: NewVMID(), Tenant: tenant}) }
	}
	update(a, func(tx *Tx) error {
		_, err := tx.PutTenant(Tenant{ID: gone, Name: "gone", Discovery: DefaultDiscovery()})
		return errors.Join(err, only(tx.PutTenant(Tenant{ID: there, Name: "there", Discovery: DefaultDiscovery()})))
	})
	share()
	update(a, func(tx *Tx) error { return only(tx.DeleteTenant(gone)) })
	update(b, register(gone))
	share()
	update(a, register(there))
	share()
	for _, x := range tables {
		if vm, ok := x.VM(bios); !ok || vm.Tenant != there {
			t.Errorf("the VM is %+v, %v", vm, ok)
		}
		if err := x.Update(register(there)); !errors.Is(err, ErrExists) {
			t.Errorf("registered twice: %v", err)
		}
	}
}
