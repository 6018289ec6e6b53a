package inventory

import (
	"testing"

	"github.com/svmgate/svmgate/store"
)

// While an inventory is applied in several changes, an administrator may give a
// tenant's name to another. A VM belongs to whoever has the name when it comes.
func TestNamesAreThoseOfTheMoment(t *testing.T) {
	table := openTable(t)
	was, is := store.TenantID{15: 1}, store.TenantID{15: 2}
	name := func(id store.TenantID, name string) {
		t.Helper()
		if err := table.Update(func(tx *store.Tx) error {
			_, err := tx.PutTenant(store.Tenant{ID: id, Name: name})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	name(was, "acme")
	vm := func(i int) Item {
		return Item{VM: &VM{BIOS: store.BIOSID{1, byte(i >> 8), byte(i)}, Tenant: &TenantRef{Name: "acme"}}}
	}
	n := 2*chunkRecords + 1
	r, err := apply(table, Options{}, func(skim bool, fn func(Item) error) error {
		for i := range n {
			if err := fn(vm(i)); err != nil {
				return err
			}
			if i == chunkRecords && !skim {
				name(was, "acme the elder")
				name(is, "acme")
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, r, n, 0)
	for i, tenant := range map[int]store.TenantID{0: was, chunkRecords - 1: was, chunkRecords: is, n - 1: is} {
		if got, _ := table.VM(vm(i).VM.BIOS); got.Tenant != tenant {
			t.Errorf("VM %d belongs to %s, want %s", i, got.Tenant, tenant)
		}
	}
	if err := table.Update(func(tx *store.Tx) error {
		_, err := tx.DeleteTenant(is)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if r := load(t, table, Options{}, `{"vm":{"biosId":"4221a0c4-0000-4000-8000-000000000001","tenant":"acme"}}`); len(r.Refused) != 1 {
		t.Errorf("%+v, want the VM of a deleted tenant refused", r)
	}
}
