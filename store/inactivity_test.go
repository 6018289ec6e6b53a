package store

import "testing"

// An inactivity is that of a deactivation: to deactivate again makes no other, to activate
// in between does, and every table with the same records has the same.
func TestInactivity(t *testing.T) {
	table, other := open(t, Config{Node: "a"}), open(t, Config{Node: "b"})
	complete, simple := TenantID{1}, TenantID{2}
	table.must(t, func(tx *Tx) error {
		if _, err := tx.PutTenant(Tenant{ID: simple, Name: "simple", Type: Simple, Discovery: DefaultDiscovery()}); err != nil {
			return err
		}
		_, err := tx.PutTenant(Tenant{ID: complete, Name: "complete", Discovery: DefaultDiscovery()})
		return err
	})
	seen := map[uint64]string{}
	is := func(what string, inactive bool) (cause uint64) {
		t.Helper()
		table.Records(func(r Record) bool {
			_, err := other.Apply(Batch{Records: []Record{r}})
			return err == nil
		})
		cause, ok := table.Inactivity(complete)
		if got, same := other.Inactivity(complete); ok != inactive || got != cause || same != ok {
			t.Errorf("%s: %x, %t; another gateway has %x, %t; want it to be inactive: %t", what, cause, ok, got, same, inactive)
		}
		table.must(t, func(tx *Tx) error {
			if got, same := tx.Inactivity(complete); got != cause || same != ok {
				t.Errorf("%s: a change sees %x, %t; want %x, %t", what, got, same, cause, ok)
			}
			return nil
		})
		return cause
	}
	set := func(active bool) {
		table.must(t, func(tx *Tx) error { _, err := tx.SetActive(complete, active); return err })
	}
	never := is("never active", true)
	seen[never] = "never active"
	set(false)
	if again := is("deactivated, never active", true); again != never || never == 0 {
		t.Errorf("a tenant that was never active has %x, and %x once it is deactivated again", never, again)
	}
	for range 3 {
		set(true)
		is("active", false)
		set(false)
		cause := is("deactivated", true)
		if was, ok := seen[cause]; ok {
			t.Errorf("this deactivation has %x, as %s has", cause, was)
		}
		seen[cause] = "an earlier one"
		set(false)
		if again := is("deactivated again", true); again != cause {
			t.Errorf("deactivating again makes %x of %x", again, cause)
		}
	}
	for _, id := range []TenantID{simple, {9}, {}} {
		if _, ok := table.Inactivity(id); ok {
			t.Errorf("tenant %s is inactive, want not: its agents get SVMs", id)
		}
	}
}
