package store

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"math/bits"
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

// MaxDays is how many days of a VM are kept: those before fall away as later ones come.
const MaxDays = 400

// Days is a set of at most [MaxDays] days, none of them so much older than the latest.
// The zero value is empty.
type Days struct {
	first Day
	bits  []byte // of first and the days behind it, the lowest bit first; neither begins nor ends with a zero byte
}

// Add adds the days from first to last.
func (d *Days) Add(first, last Day) { panic("not yet") }

// Union returns the days that are in a or in b.
func (d Days) Union(o Days) Days { panic("not yet") }

// Has reports whether a day is in the set.
func (d Days) Has(day Day) bool {
	i := int(day - d.first)
	return i >= 0 && i < 8*len(d.bits) && d.bits[i/8]&(1<<(i%8)) != 0
}

// Len returns how many days there are.
func (d Days) Len() (n int) {
	for _, b := range d.bits {
		n += bits.OnesCount8(b)
	}
	return n
}

// Runs returns the first and the last of the days in a row, the oldest first.
func (d Days) Runs() iter.Seq2[Day, Day] {
	return func(yield func(Day, Day) bool) {
		for day, end := d.first, d.first+Day(8*len(d.bits)); day < end; day++ {
			if !d.Has(day) {
				continue
			}
			first := day
			for d.Has(day + 1) {
				day++
			}
			if !yield(first, day) {
				return
			}
		}
	}
}

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
	p.Days = Days{first: Day(d.int()), bits: slices.Clone(d.bytes())}
	return p, d.err
}

func protectionKey(tenant TenantID, vm BIOSID) Key {
	sum := sha256.Sum256(append(tenant[:], vm[:]...))
	return Key{Kind: KindProtection, ID: [16]byte(sum[:16])}
}

// Protect writes down that a registered VM was protected from one day to another. It
// counts for the tenant that the VM belongs to now.
func (tx *Tx) Protect(id BIOSID, first, last Day) (bool, error) {
	vm, ok := tx.VM(id)
	if !ok {
		return false, fmt.Errorf("VM %s: %w", id, ErrNotFound)
	}
	key := protectionKey(vm.Tenant, id)
	p, _ := decodeProtection(tx.record(key).Value) // empty if there is none
	if p.Days.Has(first) && (first == last || p.Days.hasAll(first, last)) {
		return false, nil
	}
	tenant, _ := tx.Tenant(vm.Tenant)
	p = Protection{Tenant: vm.Tenant, VM: id, ID: vm.ID, TenantName: tenant.Name, Name: vm.Name, Days: p.Days}
	p.Days.Add(first, last)
	return tx.put(KindProtection, key.ID, p.encode()), nil
}

func (d Days) hasAll(first, last Day) bool {
	for ; first <= last; first++ {
		if !d.Has(first) {
			return false
		}
	}
	return true
}

// Protection returns on which days a VM was protected while it belonged to a tenant.
func (t *Table) Protection(tenant TenantID, vm BIOSID) (Protection, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	p, err := decodeProtection(t.rows[protectionKey(tenant, vm)].Value)
	return p, err == nil
}

// Protections calls fn with all of them until it returns false. It takes memory for a
// piece of them at a time, and no lock while fn runs: what comes meanwhile may be left
// out. fn must not keep what it is given.
func (t *Table) Protections(fn func(*Protection) bool) { panic("not yet") }

// ForgetProtection drops, on every gateway, what has no day from a given one on, and
// returns how many that were here; see [Table.ForgetEvents].
func (t *Table) ForgetProtection(before Day) (int, error) { panic("not yet") }
