package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Protection is on which days a VM was protected while it belonged to a tenant. It is
// kept when the VM is unregistered and when the tenant is deleted, with their names as
// they were last: who was protected is asked at the end of a month.
type Protection struct {
	Tenant     TenantID // zero: while it belonged to none
	VM         BIOSID
	ID         VMID
	TenantName string
	Name       string
	Days       Days
}

// A Day is a day of UTC, counted from 1970-01-01.
type Day int32

// DayOf returns the day of a moment.
func DayOf(t time.Time) Day {
	s := t.Unix()
	if s < 0 {
		s -= 86399
	}
	return Day(s / 86400)
}

// Start returns the first moment of the day.
func (d Day) Start() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

func (d Day) String() string { return d.Start().Format(time.DateOnly) }

func (p *Protection) encode() []byte {
	e := newEncoder()
	e.id(p.Tenant)
	e.id(p.VM)
	e.id(p.ID)
	e.str(p.TenantName)
	e.str(p.Name)
	e.int(int64(p.Days.first))
	e.str(string(p.Days.bits))
	return e
}

func decodeProtection(value []byte) (Protection, error) {
	d := newDecoder(value)
	p := Protection{Tenant: d.id(), VM: d.id(), ID: d.id(), TenantName: d.str(), Name: d.str()}
	first := d.int()
	p.Days = Days{first: Day(first), bits: slices.Clone(d.bytes())}
	if d.err == nil && (first < 0 || first > math.MaxInt32-2*MaxDays || !p.Days.canonical()) {
		d.fail()
	}
	return p, d.err
}

// checkProtection fails if the value of a record is not of its key, or has days after
// its version: they would keep what comes before them from being known.
func (r *Record) checkProtection() error {
	p, err := decodeProtection(r.Value)
	switch {
	case err != nil:
		return err
	case protectionKey(p.Tenant, p.VM) != r.Key:
		return errOtherKey
	case Day(p.Days.last()) > r.Version.day():
		return errAhead
	}
	return nil
}

// day is the day of a version.
func (v Version) day() Day { return Day(v.Millis() / (24 * time.Hour).Milliseconds()) }

// mergeProtection joins the days of two records, with the names of the newer. The result
// is encoded anew even if there is nothing to merge with: equal protections are equal bytes.
func mergeProtection(have, got Record) (Record, bool) {
	p, err := decodeProtection(got.Value)
	if err != nil { // refused before it gets here
		return have, false
	}
	if h, err := decodeProtection(have.Value); err == nil { // else there is none
		days := h.Days.Union(p.Days)
		p.Days, h.Days = Days{}, Days{}
		if cmp.Or(have.Version.Compare(got.Version), bytes.Compare(h.encode(), p.encode())) >= 0 {
			p = h
		}
		p.Days = days
	}
	out := Record{Key: got.Key, Version: maxVersion(have.Version, got.Version), Value: p.encode()}
	return out, out.Version != have.Version || !bytes.Equal(out.Value, have.Value)
}

func hasDays(r *Record) bool {
	p, err := decodeProtection(r.Value)
	return err == nil && len(p.Days.bits) > 0
}

func protectionKey(tenant TenantID, vm BIOSID) Key {
	sum := sha256.Sum256(append(tenant[:], vm[:]...))
	return Key{Kind: KindProtection, ID: [16]byte(sum[:16])}
}

// Protect writes down that a registered VM was protected from one day to another. It
// counts for the tenant that the VM belongs to now. Days after today are left out.
func (tx *Tx) Protect(id BIOSID, first, last Day) (bool, error) {
	vm, ok := tx.VM(id)
	if !ok {
		return false, fmt.Errorf("VM %s: %w", id, ErrNotFound)
	}
	key := protectionKey(vm.Tenant, id)
	p, _ := decodeProtection(tx.record(key).Value) // empty if there is none
	before := p.Days
	p.Days.Add(max(first, tx.table.floors.day), min(last, DayOf(tx.now)))
	if p.Days.Equal(before) {
		return false, nil
	}
	tenant, _ := tx.Tenant(vm.Tenant)
	p = Protection{Tenant: vm.Tenant, VM: id, ID: vm.ID, TenantName: tenant.Name, Name: vm.Name, Days: p.Days}
	return tx.put(KindProtection, key.ID, p.encode()), nil
}

// addProtection joins the days of a record to what is known of them here, as if it was
// told now.
func (tx *Tx) addProtection(r *Record) bool {
	p, err := decodeProtection(r.Value)
	if err != nil {
		return false
	}
	p.Days.cutAfter(DayOf(tx.now))
	if have, err := decodeProtection(tx.record(r.Key).Value); err == nil {
		days := have.Days.Union(p.Days)
		p, p.Days = have, days
	}
	p.Days.cut(tx.table.floors.day)
	return len(p.Days.bits) > 0 && tx.put(KindProtection, r.Key.ID, p.encode())
}

// Protection returns on which days a VM was protected while it belonged to a tenant.
func (t *Table) Protection(tenant TenantID, vm BIOSID) (Protection, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r, _ := t.row(protectionKey(tenant, vm))
	return t.protectionOf(&r)
}

// protectionOf returns what a record says above the floor.
func (t *Table) protectionOf(r *Record) (Protection, bool) {
	p, err := decodeProtection(r.Value)
	p.Days.cut(t.floors.day)
	return p, err == nil && len(p.Days.bits) > 0
}

// Protections calls fn with all of them until it returns false. It takes memory for a
// piece of them at a time, and no lock while fn runs: what comes meanwhile may be left
// out. fn must not keep what it is given.
func (t *Table) Protections(fn func(*Protection) bool) {
	var list []Protection
	for i := range Buckets {
		list = list[:0]
		t.mu.RLock()
		t.buckets[i].bulk.each(func(r Record) bool {
			if r.Key.Kind != KindProtection {
				return true
			}
			if p, ok := t.protectionOf(&r); ok {
				list = append(list, p)
			}
			return true
		})
		t.mu.RUnlock()
		for j := range list {
			if !fn(&list[j]) {
				return
			}
		}
	}
}

// ForgetProtection drops, on every gateway, the days before a given one, which is at most
// today, and returns how many VMs of tenants have none left here; see [Table.ForgetEvents].
func (t *Table) ForgetProtection(before Day) (int, error) {
	_, was := t.dropped()
	err := t.Update(func(tx *Tx) error {
		if before = min(before, DayOf(tx.now)); before > max(t.floors.day, Day(tx.floor(KindProtection))) {
			tx.write(Key{Kind: KindProtection}, encodeFloor(uint64(before)))
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	t.sinkAll()
	_, is := t.dropped()
	return is - was, nil
}
