package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// offers has b write what it has to offer, and a take it.
func (x tester) takeOffers(t *testing.T, from tester, since, now time.Time) Offers {
	t.Helper()
	var file bytes.Buffer
	n, err := from.WriteOffers(&file, since, now)
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.TakeOffers(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil || got.Records != n {
		t.Fatalf("of %d offers: %+v, %v", n, got, err)
	}
	before := x.digest()
	if again, err := x.TakeOffers(bytes.NewReader(file.Bytes()), int64(file.Len())); err != nil || x.digest() != before {
		t.Fatalf("taking the same offers again changes %d records (%v)", again.Taken, err)
	}
	return got
}

// away is what holds when two gateways part: a tenant that is active, one that is
// not, and a VM. Then b is away; what it wrote is offered to a.
type away struct {
	a, b             tester
	clock            *stopped
	since            time.Time
	on, off          TenantID
	svm              SVMID
	known, new, both BIOSID
}

func parted(t *testing.T) *away {
	a, b, clock, exchange := pair(t)
	w := &away{a: a, b: b, clock: clock, svm: SVMID{7}, known: BIOSID{1}, new: BIOSID{2}, both: BIOSID{3}}
	w.on, w.off = a.tenant(t, "on"), a.tenant(t, "off")
	a.activate(t, w.on, true)
	a.svm(t, w.svm, Ready, true)
	a.vm(t, w.known, w.on, "known")
	exchange()
	clock.advance(time.Second)
	w.since = clock.now
	clock.advance(time.Second)
	return w
}

func TestOffers(t *testing.T) {
	status := func(t *testing.T, x tester, id TenantID) TenantStatus {
		tenant, ok := x.Tenant(id)
		if !ok {
			t.Fatal("the tenant is gone")
		}
		return tenant.Status
	}
	tests := []struct {
		name  string
		do    func(t *testing.T, w *away)
		taken int
		lost  ConflictType
		check func(t *testing.T, w *away) bool
	}{
		{"nothing", func(*testing.T, *away) {}, 0, "", func(*testing.T, *away) bool { return true }},
		{"what is new", func(t *testing.T, w *away) {
			id := w.b.tenant(t, "made while away")
			w.b.activate(t, id, true)
			w.b.vm(t, w.new, id, "new")
		}, 4, "", func(_ *testing.T, w *away) bool {
			tenant, ok := w.a.TenantByName("made while away")
			vm, registered := w.a.VM(w.new)
			return ok && tenant.Status == Active && registered && vm.Tenant == tenant.ID && vm.Name == "new"
		}},
		{"a deactivation", func(t *testing.T, w *away) {
			w.b.activate(t, w.on, false)
		}, 1, "", func(t *testing.T, w *away) bool { return status(t, w.a, w.on) == Inactive }},
		{"a deactivation, and an activation here later", func(t *testing.T, w *away) {
			w.b.activate(t, w.on, false)
			w.a.activate(t, w.on, false)
			w.clock.advance(time.Second)
			w.a.activate(t, w.on, true) // knows of another deactivation, which is later
		}, 0, "", func(t *testing.T, w *away) bool { return status(t, w.a, w.on) == Active }},
		{"an activation", func(t *testing.T, w *away) {
			w.b.activate(t, w.off, true)
		}, 1, "", func(t *testing.T, w *away) bool { return status(t, w.a, w.off) == Active }},
		{"an activation, and a deactivation here", func(t *testing.T, w *away) {
			w.a.activate(t, w.off, false)
			w.clock.advance(time.Second)
			w.b.activate(t, w.off, true)
		}, 0, TenantConflict, func(t *testing.T, w *away) bool { return status(t, w.a, w.off) == Inactive }},
		{"a registration that comes first", func(t *testing.T, w *away) {
			w.b.vm(t, w.both, w.on, "first")
			w.clock.advance(time.Second)
			w.a.vm(t, w.both, w.off, "second")
		}, 1, VMConflict, func(_ *testing.T, w *away) bool { vm, _ := w.a.VM(w.both); return vm.Name == "first" }},
		{"a registration that comes second", func(t *testing.T, w *away) {
			w.a.vm(t, w.both, w.on, "first")
			w.clock.advance(time.Second)
			w.b.vm(t, w.both, w.off, "second")
		}, 0, VMConflict, func(_ *testing.T, w *away) bool { vm, _ := w.a.VM(w.both); return vm.Name == "first" }},
		{"a move", func(t *testing.T, w *away) {
			w.b.vm(t, w.known, w.off, "moved")
		}, 1, VMConflict, func(_ *testing.T, w *away) bool { vm, _ := w.a.VM(w.known); return vm.Tenant == w.off }},
		{"a change of a VM", func(t *testing.T, w *away) {
			w.b.vm(t, w.known, w.on, "renamed")
		}, 1, "", func(_ *testing.T, w *away) bool { vm, _ := w.a.VM(w.known); return vm.Name == "renamed" }},
		{"a change of a VM, and a later one here", func(t *testing.T, w *away) {
			w.b.vm(t, w.known, w.on, "renamed")
			w.clock.advance(time.Second)
			w.a.vm(t, w.known, w.on, "renamed later")
		}, 0, "", func(_ *testing.T, w *away) bool { vm, _ := w.a.VM(w.known); return vm.Name == "renamed later" }},
		{"an unregistration", func(t *testing.T, w *away) {
			w.b.deleteVM(t, w.known)
		}, 2, "", func(_ *testing.T, w *away) bool { _, ok := w.a.VM(w.known); return !ok }},
		{"a change of what was deleted here, and forgotten", func(t *testing.T, w *away) {
			w.b.vm(t, w.known, w.on, "renamed")
			tenant, _ := w.b.Tenant(w.on)
			tenant.Description = "changed"
			w.b.must(t, func(tx *Tx) error { _, err := tx.PutTenant(tenant); return err })
			w.a.deleteTenant(t, w.on)
			w.clock.advance(time.Hour)
			w.a.Forget(w.clock.now.UnixMilli())
		}, 0, "", func(_ *testing.T, w *away) bool {
			_, tenant := w.a.Tenant(w.on)
			_, vm := w.a.VM(w.known)
			return !tenant && !vm
		}},
		{"a tenant's end", func(t *testing.T, w *away) {
			w.b.deleteTenant(t, w.on)
		}, 4, "", func(_ *testing.T, w *away) bool {
			_, tenant := w.a.Tenant(w.on)
			_, vm := w.a.VM(w.known)
			return !tenant && !vm
		}},
		{"a VM of a tenant that is gone", func(t *testing.T, w *away) {
			w.b.vm(t, w.new, w.on, "new")
			w.a.deleteTenant(t, w.on)
		}, 0, "", func(_ *testing.T, w *away) bool { _, ok := w.a.VM(w.new); return !ok }},
		{"the settings of an SVM, and an account", func(t *testing.T, w *away) {
			w.b.svm(t, w.svm, Draining, true)
			w.b.must(t, func(tx *Tx) error { _, err := tx.PutAccount(Account{Name: "eve", Hash: "h"}); return err })
		}, 2, "", func(_ *testing.T, w *away) bool {
			svm, _ := w.a.SVM(w.svm)
			_, ok := w.a.Account("eve")
			return ok && svm.State == Draining
		}},
		{"a record of a newer release", func(t *testing.T, w *away) {
			w.b.apply(t, Record{Key: Key{200, [16]byte{1}}, Value: []byte("newer")})
		}, 1, "", func(_ *testing.T, w *away) bool { return string(w.a.record(Key{200, [16]byte{1}}).Value) == "newer" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := parted(t)
			tt.do(t, w)
			w.clock.advance(time.Second)
			got := w.a.takeOffers(t, w.b, w.since, w.clock.now)
			if got.Taken != tt.taken {
				t.Errorf("%+v; want %d taken", got, tt.taken)
			}
			if lost := len(got.Conflicts) == 1 && got.Conflicts[0].Type == tt.lost; lost != (tt.lost != "") || !lost && got.Conflicts != nil {
				t.Errorf("conflicts: %+v; want %q", got.Conflicts, tt.lost)
			}
			if !tt.check(t, w) {
				t.Errorf("the table has %+v and %+v", w.a.Tenants(), w.a.VMs(BIOSID{}, nil, 10))
			}
			w.a.mustCount(t, "after taking offers")
		})
	}
}

// A gateway whose clock was a year ahead has written what its peers refuse. It
// starts anew, and what it wrote comes back with versions of today.
func TestOffersFromTheFuture(t *testing.T) {
	w := parted(t)
	deactivated, activated := w.a.tenant(t, "deactivated"), w.a.tenant(t, "activated and not")
	w.a.activate(t, deactivated, true)
	w.b.hear(t, w.a)
	w.since = w.clock.now
	wrong := newStopped()
	wrong.now = w.clock.now.Add(365 * 24 * time.Hour)
	b := open(t, Config{Node: "b", Clock: wrong.time})
	b.hear(t, w.b)
	b.vm(t, w.known, w.on, "renamed")
	b.vm(t, w.new, w.on, "new")
	b.vm(t, w.both, w.on, "second, whatever its clock says")
	b.activate(t, w.off, true)
	b.activate(t, deactivated, false)
	b.activate(t, activated, false)
	b.activate(t, activated, true) // knows of no deactivation but its own
	w.clock.advance(time.Second)
	w.a.vm(t, w.both, w.off, "first")
	w.a.activate(t, activated, false)
	w.a.hear(t, b)
	if n := w.a.Stats().SkewRefused; n == 0 {
		t.Fatal("nothing was refused")
	}
	if ahead := b.Stats().Ahead; ahead > MaxSkew || ahead < -time.Second {
		t.Errorf("by its own clock it is %v ahead", ahead)
	}
	wrong.now = w.clock.now
	if ahead := b.Stats().Ahead; ahead < 364*24*time.Hour {
		t.Errorf("when its clock is right it is %v ahead", ahead)
	}

	fresh := open(t, Config{Node: "b", Clock: w.clock.time})
	fresh.hear(t, w.a)
	got := fresh.takeOffers(t, b, w.since, w.clock.now)
	if len(got.Conflicts) != 2 {
		t.Errorf("conflicts: %+v; want an activation and a registration", got.Conflicts)
	}
	w.a.hear(t, fresh)
	w.a.mustEqual(t, fresh)
	want := map[TenantID]TenantStatus{w.on: Active, w.off: Active, deactivated: Inactive, activated: Inactive}
	for id, status := range want {
		if tenant, _ := w.a.Tenant(id); tenant.Status != status {
			t.Errorf("tenant %q is %v", tenant.Name, tenant.Status)
		}
	}
	for id, name := range map[BIOSID]string{w.known: "renamed", w.new: "new", w.both: "first"} {
		if vm, _ := w.a.VM(id); vm.Name != name {
			t.Errorf("a VM is named %q, want %q", vm.Name, name)
		}
	}
	// Nothing is immortal: what is written now replaces it.
	w.clock.advance(time.Second)
	w.a.activate(t, w.off, false)
	w.a.vm(t, w.known, w.on, "renamed again")
	fresh.hear(t, w.a)
	fresh.mustEqual(t, w.a)
}

func TestOffersThatAreDamagedChangeNothing(t *testing.T) {
	w := parted(t)
	w.b.vm(t, w.new, w.on, "new")
	w.b.activate(t, w.on, false)
	var file bytes.Buffer
	if _, err := w.b.WriteOffers(&file, w.since, w.clock.now); err != nil {
		t.Fatal(err)
	}
	before := w.a.digest()
	for cut := range file.Len() {
		if got, err := w.a.TakeOffers(bytes.NewReader(file.Bytes()), int64(cut)); !errors.Is(err, ErrOffers) {
			t.Fatalf("cut at byte %d: %+v, %v", cut, got, err)
		}
		damaged := bytes.Clone(file.Bytes())
		damaged[cut] ^= 0x10
		if got, err := w.a.TakeOffers(bytes.NewReader(damaged), int64(len(damaged))); !errors.Is(err, ErrOffers) {
			t.Fatalf("damaged at byte %d: %+v, %v", cut, got, err)
		}
	}
	if w.a.digest() != before {
		t.Error("damaged offers changed the table")
	}
	_, err := w.a.TakeOffers(strings.NewReader("svmgate offers 2\n"), 17)
	if err == nil || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("offers of a newer release: %v", err)
	}
}
