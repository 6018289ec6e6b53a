package discovery_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// This file is about what changes between two questions.

type changing struct {
	t     *testing.T
	table *store.Table
	sel   *discovery.Selector
}

func newChanging(t *testing.T) changing {
	t.Helper()
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := discovery.New(discovery.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sel.Close)
	return changing{t, table, sel}
}

func (c changing) update(fn func(*store.Tx) (bool, error)) {
	c.t.Helper()
	if err := c.table.Update(func(tx *store.Tx) error { _, err := fn(tx); return err }); err != nil {
		c.t.Fatal(err)
	}
}

func (c changing) tenant(id byte) store.TenantID {
	c.t.Helper()
	tenant := store.Tenant{ID: store.TenantID{id}, Name: fmt.Sprint("tenant ", id), Type: store.Simple, Discovery: store.DefaultDiscovery()}
	c.update(func(tx *store.Tx) (bool, error) { return tx.PutTenant(tenant) })
	return tenant.ID
}

func (c changing) svm(id byte, edit func(*store.SVM)) store.SVMID {
	c.t.Helper()
	svm := store.SVM{
		ID: store.SVMID{id}, SVMConfig: store.SVMConfig{Address: "10.0.0.1", Pinned: true},
		SVMFacts: store.SVMFacts{Version: "6.0"},
	}
	edit(&svm)
	c.update(func(tx *store.Tx) (bool, error) { return tx.PutSVM(svm) })
	return svm.ID
}

func (c changing) vm(id byte, tenant store.TenantID) store.BIOSID {
	c.t.Helper()
	vm := store.VM{BIOS: store.BIOSID{id}, Tenant: tenant}
	c.update(func(tx *store.Tx) (bool, error) { return tx.PutVM(vm) })
	return vm.BIOS
}

// ask answers twice, the second time from the candidate sets, and holds both
// answers to be the same.
func (c changing) ask(bios store.BIOSID) discovery.Result {
	c.t.Helper()
	q := discovery.Query{BIOS: bios}
	var first, second discovery.Answer
	c.sel.Select(&q, &first)
	c.sel.Wait()
	c.sel.Select(&q, &second)
	if first.Result != second.Result {
		c.t.Errorf("at once %v, from candidate sets %v", first.Result, second.Result)
	}
	return second.Result
}

func TestDedicatedSVMsAreJudgedAnewForATenantThatComesBack(t *testing.T) {
	for name, change := range map[string]func(changing, store.SVMID){
		"the SVM is forgotten": func(c changing, id store.SVMID) {
			c.update(func(tx *store.Tx) (bool, error) { return tx.DeleteSVM(id) })
		},
		"the SVM no longer takes its agents": func(c changing, _ store.SVMID) {
			c.svm(1, func(s *store.SVM) { s.Encryption, s.Tenants = true, []store.TenantID{{1}} })
		},
		"the SVM is dedicated to another": func(c changing, _ store.SVMID) {
			c.svm(1, func(s *store.SVM) { s.Tenants = []store.TenantID{{2}} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChanging(t)
			owner := c.tenant(1)
			svm := c.svm(1, func(s *store.SVM) { s.Tenants = []store.TenantID{owner} })
			c.svm(2, func(s *store.SVM) { s.Tenants, s.Encryption = []store.TenantID{owner}, true })
			if got := c.ask(c.vm(1, owner)); got != discovery.Assigned {
				t.Fatalf("at first the answer is %v", got)
			}
			c.update(func(tx *store.Tx) (bool, error) { return tx.DeleteTenant(owner) })
			c.tenant(2)
			change(c, svm)
			c.tenant(1)
			if got := c.ask(c.vm(1, owner)); got != discovery.NoSVM {
				t.Errorf("the answer is %v, want no SVM", got)
			}
		})
	}
}

// An SVM that reports another version every time must not fill the selector with
// versions, nor may numbering them afresh change an answer.
func TestVersionsOutOfUseAreForgotten(t *testing.T) {
	c := newChanging(t)
	c.svm(1, func(s *store.SVM) { s.Tags = []string{"gold"} })
	owner := c.tenant(1)
	c.svm(2, func(s *store.SVM) { s.Tenants = []store.TenantID{owner} })
	vm, own := c.vm(1, store.TenantID{}), c.vm(2, owner)
	for i := range 500 {
		c.svm(3, func(s *store.SVM) { s.Version = fmt.Sprintf("7.%d", i+1) })
		if i%50 == 0 && errors.Join(
			want(c.ask(vm), discovery.Assigned), want(c.ask(own), discovery.Assigned)) != nil {
			t.Fatalf("after %d versions: %v and %v", i, c.ask(vm), c.ask(own))
		}
	}
	if n := c.sel.Words(); n > 200 {
		t.Errorf("the selector keeps %d words of 3 SVMs", n)
	}
}

func want(got, want discovery.Result) error {
	if got != want {
		return fmt.Errorf("%v, want %v", got, want)
	}
	return nil
}

func TestAClosedSelectorAnswersAsTheTableWas(t *testing.T) {
	c := newChanging(t)
	c.svm(1, func(*store.SVM) {})
	before := c.vm(1, store.TenantID{})
	c.sel.Close()
	c.sel.Close()
	after := c.vm(2, c.tenant(1))
	if err := errors.Join(want(c.ask(before), discovery.Assigned), want(c.ask(after), discovery.NotRegistered)); err != nil {
		t.Error(err)
	}
}
