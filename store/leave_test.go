package store

import (
	"crypto/sha256"
	"errors"
	"testing"
)

func openWith(t *testing.T, fn func(*Tx) error) *Table {
	t.Helper()
	table, err := Open(Config{})
	if err == nil {
		err = table.Update(fn)
	}
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestAVMThatIsUnregisteredLeavesItsSVM(t *testing.T) {
	vm, svm := BIOSID{1}, SVMID{2}
	table := openWith(t, func(tx *Tx) error {
		_, err := tx.PutSVM(SVM{ID: svm, SVMConfig: SVMConfig{Address: "10.0.0.1", Pinned: true}})
		_, err2 := tx.PutVM(VM{BIOS: vm})
		return errors.Join(err, err2)
	})
	slot, _ := table.Lookup(&vm)
	slot.Assign(0)
	table.Pick(0, +1)
	if err := table.Update(func(tx *Tx) error { _, err := tx.DeleteVM(vm); return err }); err != nil {
		t.Fatal(err)
	}
	if n := table.Agents(0); n != 0 {
		t.Errorf("the SVM is thought to have %d agents, want 0", n)
	}
}

func TestAnSVMMadeAnewHasYetToReport(t *testing.T) {
	id := SVMID{1}
	config := SVMConfig{Address: "10.0.0.1"}
	dir := t.TempDir()
	open := func() *Table {
		table, err := Open(Config{Journal: openDir(t, dir)})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	table := open()
	put := func(tx *Tx) error { _, err := tx.PutSVM(SVM{ID: id, SVMConfig: config}); return err }
	if err := errors.Join(table.Update(put), table.Close()); err != nil {
		t.Fatal(err)
	}
	table = open() // it counts as just heard, and there is no report to delete
	forget := func(tx *Tx) error { _, err := tx.DeleteSVM(id); return err }
	configure := func(tx *Tx) error { _, err := tx.ConfigureSVM(id, config, Ready); return err }
	if svm, _ := table.SVM(id); svm.State != Ready {
		t.Fatalf("after a restart it is %v, want ready", svm.State)
	}
	if err := errors.Join(table.Update(forget), table.Update(configure)); err != nil {
		t.Fatal(err)
	}
	if svm, _ := table.SVM(id); svm.State != Down {
		t.Errorf("made anew it is %v, want down: it never reported", svm.State)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestATokenIsOneTenants(t *testing.T) {
	a, b := TenantID{1}, TenantID{2}
	sum := sha256.Sum256([]byte("token"))
	table := openWith(t, func(tx *Tx) error {
		_, err := tx.PutTenant(Tenant{ID: a, Name: "a"})
		_, err2 := tx.PutTenant(Tenant{ID: b, Name: "b"})
		_, err3 := tx.SetToken(Token{Tenant: a, Current: sum})
		return errors.Join(err, err2, err3)
	})
	for name, token := range map[string]Token{"zero": {Tenant: b}, "another tenant's": {Tenant: b, Current: sum}} {
		err := table.Update(func(tx *Tx) error { _, err := tx.SetToken(token); return err })
		if field := new(FieldError); !errors.As(err, &field) || field.Field != "token" {
			t.Errorf("%s: %v, want a FieldError of token", name, err)
		}
	}
	if id, ok := table.TenantByToken(sum); !ok || id != a {
		t.Errorf("the token is %v's, %v; want %v's", id, ok, a)
	}
}
