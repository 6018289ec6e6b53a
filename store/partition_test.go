package store

import "testing"

// pair opens two gateways' tables with the same clock, and returns a function
// that lets them tell each other everything.
func pair(t *testing.T) (a, b tester, clock *stopped, exchange func()) {
	clock = newStopped()
	a = open(t, Config{Node: "a", Clock: clock.time})
	b = open(t, Config{Node: "b", Clock: clock.time})
	return a, b, clock, func() {
		t.Helper()
		clock.advance(1)
		a.hear(t, b)
		b.hear(t, a)
		a.mustEqual(t, b)
	}
}

func TestDeactivationSurvivesAPartition(t *testing.T) {
	tests := []struct {
		name string
		do   func(t *testing.T, a, b tester, id TenantID, later func()) // on either side of the partition
		want TenantStatus
	}{
		{"an activation elsewhere, later", func(t *testing.T, a, b tester, id TenantID, later func()) {
			b.activate(t, id, false)
			a.hear(t, b)
			a.activate(t, id, true)
			a.activate(t, id, false)
			later()
			b.activate(t, id, true)
		}, Inactive},
		{"an activation elsewhere, earlier", func(t *testing.T, a, b tester, id TenantID, later func()) {
			b.activate(t, id, false)
			b.activate(t, id, true)
			later()
			a.activate(t, id, false)
		}, Inactive},
		{"an activation that followed an even newer deactivation does not lose",
			func(t *testing.T, a, b tester, id TenantID, later func()) {
				a.activate(t, id, false)
				later()
				b.activate(t, id, false)
				b.activate(t, id, true)
			}, Active},
		{"it was inactive here, and is activated elsewhere", func(t *testing.T, a, b tester, id TenantID, later func()) {
			a.activate(t, id, false)
			b.hear(t, a)
			b.activate(t, id, true)
			later()
			a.activate(t, id, false) // again: for all that is known here, nothing changes
		}, Inactive},
		{"deactivations on both sides", func(t *testing.T, a, b tester, id TenantID, _ func()) {
			a.activate(t, id, false)
			b.activate(t, id, false)
		}, Inactive},
		{"an activation that saw the deactivation does not lose", func(t *testing.T, a, b tester, id TenantID, later func()) {
			a.activate(t, id, false)
			later()
			b.hear(t, a)
			b.activate(t, id, true)
		}, Active},
		{"nobody deactivates", func(t *testing.T, _, b tester, id TenantID, _ func()) {
			tenant, _ := b.Tenant(id)
			tenant.Description = "renamed"
			b.must(t, func(tx *Tx) error { _, err := tx.PutTenant(tenant); return err })
		}, Active},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b, clock, exchange := pair(t)
			id := a.tenant(t, "acme")
			a.activate(t, id, true)
			exchange()
			tt.do(t, a, b, id, func() { clock.advance(1e9) })
			exchange()
			if tenant, _ := a.Tenant(id); tenant.Status != tt.want {
				t.Errorf("the tenant is %v, want %v", tenant.Status, tt.want)
			}
			// The conflict is over: an activation that knows of it holds.
			b.activate(t, id, true)
			exchange()
			if tenant, _ := a.Tenant(id); tenant.Status != Active {
				t.Errorf("an activation after the partition left the tenant %v", tenant.Status)
			}
		})
	}
}

// A deleted tenant that is made again starts inactive, even if a gateway that
// had not heard of the deletion activated it meanwhile.
func TestDeletionSurvivesAnActivationElsewhere(t *testing.T) {
	a, b, clock, exchange := pair(t)
	id := a.tenant(t, "acme")
	exchange()
	a.deleteTenant(t, id)
	clock.advance(1e9)
	b.activate(t, id, true)
	exchange()
	a.must(t, func(tx *Tx) error { _, err := tx.PutTenant(Tenant{ID: id, Name: "acme"}); return err })
	exchange()
	if tenant, ok := b.Tenant(id); !ok || tenant.Status != Inactive {
		t.Errorf("made again, the tenant is %v (there: %v); want inactive", tenant.Status, ok)
	}
}

func TestTheEarlierRegistrationHolds(t *testing.T) {
	bios := BIOSID{1}
	for _, first := range []string{"a", "b"} {
		t.Run("the first is at "+first, func(t *testing.T) {
			a, b, clock, exchange := pair(t)
			early, late := a.tenant(t, "early"), a.tenant(t, "late")
			exchange()
			x, y := a, b
			if first == "b" {
				x, y = b, a
			}
			x.vm(t, bios, early, "first")
			clock.advance(1e9)
			y.vm(t, bios, late, "second")
			clock.advance(1e9)
			y.vm(t, bios, late, "second, renamed") // being written later is not being later
			exchange()
			if vm, ok := a.VM(bios); !ok || vm.Tenant != early || vm.Name != "first" {
				t.Errorf("%q of tenant %v holds; want the earlier of %v", vm.Name, vm.Tenant, early)
			}
			x.vm(t, bios, early, "first, renamed")
			exchange()
			if vm, _ := b.VM(bios); vm.Name != "first, renamed" {
				t.Errorf("a later write to the registration that holds left %q", vm.Name)
			}
		})
	}
}

func TestUnregistrationAndMoveAcrossAPartition(t *testing.T) {
	bios := BIOSID{1}
	tests := []struct {
		name string
		do   func(t *testing.T, a, b tester, from, to TenantID)
		want string // name of the VM that holds; empty: none
	}{
		{"re-registration after unregistration wins over the old one", func(t *testing.T, a, b tester, _, to TenantID) {
			a.deleteVM(t, bios)
			a.vm(t, bios, to, "again")
			b.vm(t, bios, b.registered(t, bios).Tenant, "renamed") // not knowing of it
		}, "again"},
		{"unregistration wins over a write that did not know", func(t *testing.T, a, b tester, from, _ TenantID) {
			a.deleteVM(t, bios)
			b.vm(t, bios, from, "renamed")
		}, ""},
		{"a move wins over a write that did not know", func(t *testing.T, a, b tester, from, to TenantID) {
			a.vm(t, bios, to, "moved")
			b.vm(t, bios, from, "renamed")
		}, "moved"},
		{"re-registration on both sides after one unregistration: the earlier holds",
			func(t *testing.T, a, b tester, from, to TenantID) {
				a.deleteVM(t, bios)
				b.hear(t, a)
				a.vm(t, bios, to, "earlier")
				b.lag(t)
				b.vm(t, bios, from, "later")
			}, "earlier"},
		{"unregistration of what was registered again elsewhere", func(t *testing.T, a, b tester, _, to TenantID) {
			a.deleteVM(t, bios)
			a.vm(t, bios, to, "again")
			b.hear(t, a)
			b.deleteVM(t, bios)
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, b, clock, exchange := pair(t)
			from, to := a.tenant(t, "from"), a.tenant(t, "to")
			a.vm(t, bios, from, "vm")
			exchange()
			clock.advance(1e9)
			tt.do(t, a, b, from, to)
			clock.advance(1e9)
			exchange()
			vm, ok := a.VM(bios)
			if ok != (tt.want != "") || vm.Name != tt.want {
				t.Errorf("the VM is %q (registered: %v), want %q", vm.Name, ok, tt.want)
			}
			if _, found := b.Lookup(&bios); found != ok {
				t.Errorf("Lookup finds it: %v, want %v", found, ok)
			}
		})
	}
}

// registered returns a VM that is registered.
func (x tester) registered(t *testing.T, bios BIOSID) VM {
	t.Helper()
	vm, ok := x.VM(bios)
	if !ok {
		t.Fatalf("VM %v is not registered", bios)
	}
	return vm
}

// lag makes what the table writes next later than what others wrote at the same
// moment of the test's clock.
func (x tester) lag(t *testing.T) {
	t.Helper()
	x.must(t, func(tx *Tx) error {
		for range 100 {
			tx.table.clock.next()
		}
		return nil
	})
}

// Two gateways may create one name each; every gateway takes the same for it.
func TestTenantsOfOneNameAreToldApartAlike(t *testing.T) {
	a, b, _, exchange := pair(t)
	one, two := a.tenant(t, "acme"), b.tenant(t, "acme")
	exchange()
	x, _ := a.TenantByName("acme")
	y, _ := b.TenantByName("acme")
	if x.ID != y.ID || x.ID != one && x.ID != two {
		t.Errorf("acme is %v here and %v there", x.ID, y.ID)
	}
}
