package store

import "testing"

func TestTenantNamesFollowRenamesAndDeletions(t *testing.T) {
	table, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := Tenant{ID: NewTenantID(), Name: "acme"}, Tenant{ID: NewTenantID(), Name: "globex"}
	update := func(fn func(*Tx) (bool, error)) {
		t.Helper()
		if err := table.Update(func(tx *Tx) error { _, err := fn(tx); return err }); err != nil {
			t.Fatal(err)
		}
	}
	want := func(name string, id TenantID) {
		t.Helper()
		got, ok := table.TenantByName(name)
		if got.ID != id || ok == id.IsZero() {
			t.Errorf("TenantByName(%q) = %v %v, want %v", name, got.ID, ok, id)
		}
	}
	update(func(tx *Tx) (bool, error) { return tx.PutTenant(a) })
	update(func(tx *Tx) (bool, error) { return tx.PutTenant(b) })
	want("acme", a.ID)
	a.Name = "acme labs"
	update(func(tx *Tx) (bool, error) { return tx.PutTenant(a) })
	want("acme", TenantID{})
	want("acme labs", a.ID)
	b.Name = "acme" // a name given up is free
	update(func(tx *Tx) (bool, error) { return tx.PutTenant(b) })
	want("acme", b.ID)

	// Another gateway made a tenant of the same name before it heard of this one.
	row := tenantRow{Name: "acme", Discovery: DefaultDiscovery()}
	twin := TenantID{1}
	if _, err := table.Apply(Batch{Records: []Record{{Key: Key{KindTenant, twin}, Value: row.encode()}}}); err != nil {
		t.Fatal(err)
	}
	want("acme", twin) // the lower id
	update(func(tx *Tx) (bool, error) { return tx.DeleteTenant(twin) })
	want("acme", b.ID)
}

func TestARefusedSVMChangesNoPartOfItself(t *testing.T) {
	table, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	id := NewSVMID()
	bad := SVM{ID: id, SVMConfig: SVMConfig{Address: "10.0.0.1"}, ConnectedAgents: -1}
	err = table.Update(func(tx *Tx) error {
		if _, err := tx.PutSVM(bad); err == nil {
			t.Error("an SVM with -1 agents was taken")
		}
		return nil // a caller may go on with other objects
	})
	if err != nil {
		t.Fatal(err)
	}
	if svm, ok := table.SVM(id); ok {
		t.Errorf("the refused SVM left %+v", svm)
	}
}
