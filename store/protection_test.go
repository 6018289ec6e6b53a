package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (x tester) days() (list []string) {
	x.Protections(func(p *Protection) bool {
		list = append(list, fmt.Sprint(p.Tenant, p.VM, p.ID, p.TenantName, p.Name, p.Days.list()))
		return true
	})
	slices.Sort(list)
	return list
}

func (x tester) protect(t testing.TB, vm BIOSID, first, last Day) (changed bool) {
	t.Helper()
	x.must(t, func(tx *Tx) (err error) { changed, err = tx.Protect(vm, first, last); return err })
	return changed
}

// Days of protection are those of the tenant that the VM belonged to, and stay with the
// names of the time when VM and tenant are gone.
func TestProtectionOutlivesVMAndTenant(t *testing.T) {
	clock := newStopped()
	x := open(t, Config{Clock: clock.time})
	acme, other := x.tenant(t, "acme"), x.tenant(t, "other")
	vm := BIOSID{7}
	x.vm(t, vm, acme, "vm")
	today := DayOf(clock.time())
	if !x.protect(t, vm, today-2, today) || x.protect(t, vm, today-1, today) || x.protect(t, vm, today, today+5) {
		t.Error("what is news and what is not")
	}
	clock.advance(24 * time.Hour)
	x.must(t, func(tx *Tx) error { _, err := tx.PutVM(VM{BIOS: vm, Tenant: other, Name: "moved"}); return err })
	x.protect(t, vm, today+1, today+1)
	x.must(t, func(tx *Tx) error { _, err := tx.DeleteTenant(acme); return err })
	x.must(t, func(tx *Tx) error { _, err := tx.DeleteVM(vm); return err })
	if err := x.Update(func(tx *Tx) error { _, err := tx.Protect(vm, today, today); return err }); err == nil {
		t.Error("a VM that is not registered is protected")
	}
	p, ok := x.Protection(acme, vm)
	if !ok || p.TenantName != "acme" || p.Name != "vm" || !slices.Equal(p.Days.list(), []Day{today - 2, today - 1, today}) {
		t.Errorf("of acme: %+v", p)
	}
	p, ok = x.Protection(other, vm)
	if !ok || p.TenantName != "other" || p.Name != "moved" || !slices.Equal(p.Days.list(), []Day{today + 1}) {
		t.Errorf("of other: %+v", p)
	}
	if _, ok := x.Protection(TenantID{}, vm); ok || len(x.days()) != 2 {
		t.Errorf("protections: %q", x.days())
	}
}

// Days that two gateways have written are added up, with the newer names.
func TestProtectionsAreJoined(t *testing.T) {
	clock := newStopped()
	a, b := open(t, Config{Clock: clock.time, Node: "a"}), open(t, Config{Clock: clock.time, Node: "b"})
	vm := BIOSID{7}
	a.vm(t, vm, a.tenant(t, "acme"), "vm")
	b.hear(t, a)
	today := DayOf(clock.time())
	a.protect(t, vm, today-3, today-3)
	clock.advance(time.Second)
	b.must(t, func(tx *Tx) error {
		v, _ := tx.VM(vm)
		v.Name = "renamed"
		_, err := tx.PutVM(v)
		return err
	})
	b.protect(t, vm, today-1, today)
	a.hear(t, b)
	b.hear(t, a)
	a.mustEqual(t, b)
	list := a.days()
	v, _ := a.VM(vm)
	p, _ := a.Protection(v.Tenant, vm)
	if len(list) != 1 || p.Name != "renamed" || !slices.Equal(p.Days.list(), []Day{today - 3, today - 1, today}) {
		t.Errorf("%q", list)
	}
}

// Days before the floor are dropped everywhere, also when they come later.
func TestOldDaysAreForgotten(t *testing.T) {
	dir := t.TempDir()
	clock := newStopped()
	x := open(t, Config{Clock: clock.time, Journal: openDir(t, dir)})
	acme, vms := x.tenant(t, "acme"), []BIOSID{{1}, {2}, {3}}
	first := DayOf(clock.time())
	for i, vm := range vms {
		x.vm(t, vm, acme, "vm")
		x.protect(t, vm, first, first)
		clock.advance(24 * time.Hour)
		x.protect(t, vms[0], first+Day(i)+1, first+Day(i)+1)
	}
	cutOff := open(t, Config{Clock: clock.time})
	cutOff.hear(t, x)
	for _, tt := range []struct {
		before Day
		want   int // VMs that have no day left
		days   []Day
	}{
		{first - 1, 0, []Day{first, first + 1, first + 2, first + 3}},
		{first, 0, []Day{first, first + 1, first + 2, first + 3}},
		{first + 2, 2, []Day{first + 2, first + 3}},
		{first + 1, 0, []Day{first + 2, first + 3}},
		{first + 99, 0, []Day{first + 3}}, // today, at most
	} {
		n, err := x.ForgetProtection(tt.before)
		if err != nil || n != tt.want {
			t.Errorf("ForgetProtection(%v) = %d, %v, want %d", tt.before, n, err, tt.want)
		}
		x.hear(t, cutOff)
		p, _ := x.Protection(acme, vms[0])
		if got := p.Days.list(); !slices.Equal(got, tt.days) {
			t.Errorf("before %v was forgotten: %v, want %v", tt.before, got, tt.days)
		}
		p, _ = x.Protection(acme, vms[1])
		if got := p.Days.Len() > 0; got != (tt.before <= first) {
			t.Errorf("before %v was forgotten: of another VM there is %v", tt.before, p.Days.list())
		}
		x.mustCount(t, "after days were forgotten")
	}
	peer := open(t, Config{Clock: clock.time})
	peer.hear(t, x)
	peer.hear(t, cutOff)
	x.mustEqual(t, peer)
	want := x.lasting()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, Config{Clock: clock.time, Journal: openDir(t, dir)})
	if diff := diff(want, x.lasting()); diff != "" {
		t.Errorf("a restart changed the table:\n%s", diff)
	}
}

// A backup brings days back beside those that are there, and neither events nor
// observations.
func TestRestoreAsNewAddsDays(t *testing.T) {
	clock := newStopped()
	x := open(t, Config{Clock: clock.time})
	vm, tenant := BIOSID{7}, x.tenant(t, "acme")
	x.vm(t, vm, tenant, "vm")
	first := DayOf(clock.time())
	x.protect(t, vm, first, first)
	x.emit(t, happened(1))
	x.must(t, func(tx *Tx) error { _, err := tx.PutObservation(Observation{ID: vm, State: 1}); return err })
	backup := x.backup(t)
	clock.advance(24 * time.Hour)
	x.must(t, func(tx *Tx) error { _, err := tx.DeleteVM(vm); return err })
	for _, into := range []tester{x, open(t, Config{Clock: clock.time})} {
		if into.NumEvents() == 0 {
			into.tenant(t, "beside")
		} else {
			into.must(t, func(tx *Tx) error { _, err := tx.PutVM(VM{BIOS: vm, Tenant: tenant, Name: "vm"}); return err })
			into.protect(t, vm, first+1, first+1)
		}
		events := into.NumEvents()
		sum, err := into.RestoreAsNew(backup, backup.Size())
		if err != nil || sum.Kinds[KindProtection] != int64(1-events) || sum.Kinds[KindEvent]+sum.Kinds[KindObservation] != 0 {
			t.Errorf("RestoreAsNew = %+v, %v", sum, err)
		}
		want := []Day{first, first + 1}[:1+events]
		p, _ := into.Protection(tenant, vm)
		if diff := cmp.Diff(want, p.Days.list()); diff != "" || into.NumEvents() != events {
			t.Errorf("%d events, days (-want +got):\n%s", into.NumEvents(), diff)
		}
		if o, ok := into.Observation(vm); ok {
			t.Errorf("the observation %+v came back", o)
		}
	}
}

// Days that a gateway wrote while it was away are added to those that were written
// meanwhile, be they before or behind them.
func TestOfferedDaysAreAdded(t *testing.T) {
	w := parted(t)
	today := DayOf(w.clock.time())
	w.a.protect(t, w.known, today-5, today-4)
	w.b.protect(t, w.known, today-9, today-8)
	w.b.protect(t, w.known, today, today)
	w.clock.advance(time.Second)
	if got := w.a.takeOffers(t, w.b, w.since, w.clock.now); got.Taken != 1 {
		t.Errorf("%+v", got)
	}
	p, _ := w.a.Protection(w.on, w.known)
	if diff := cmp.Diff([]Day{today - 9, today - 8, today - 5, today - 4, today}, p.Days.list()); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
}
