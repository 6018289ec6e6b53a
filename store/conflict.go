package store

import "github.com/cespare/xxhash/v2"

// A ConflictType says what two gateways did without knowing of each other.
type ConflictType string

// Types of conflicts.
//
// TenantConflict: a merge undid an activation. One of the two records said that the
// tenant is active, the merged one does not, and yet the newest activation is later
// than the newest deactivation: whoever goes by the times would think that it
// holds. A deactivation that knew of the activation is later than it, so this takes
// two gateways that could not hear each other.
//
// VMConflict: there are two registrations of one BIOS ID for different tenants,
// both since its same last unregistration. The earlier holds. Moving a VM is an
// unregistration and a registration in one: of two moves the later holds, and is no
// conflict, since it may have known of the other.
const (
	TenantConflict ConflictType = "tenant.conflict"
	VMConflict     ConflictType = "vm.conflict"
)

// A Conflict tells of what merging gave up. Every gateway that merges the two tells
// of it, in the same words, when it does; the same one tells of it once, unless it is
// restarted or thousands of others come between.
type Conflict struct {
	Type   ConflictType
	Tenant TenantID // whose activation was undone, or whose registration lost

	VM     BIOSID   // of a VMConflict, as are the next two
	Name   string   // of the VM, by the registration that lost
	Holder TenantID // whose registration holds

	// Lost is the version of the activation or registration that does not hold, Held
	// that of the deactivation or registration that does.
	Lost, Held Version
}

// conflicting adds to the conflicts of a change those of merging got into have.
func (tx *Tx) conflicting(have, got, winner *Record) {
	switch {
	case have.Version.IsZero():
	case got.Key.Kind == KindActivation:
		if c, ok := undone(have, got, winner); ok {
			tx.conflicts = append(tx.conflicts, c)
		}
	case got.Key.Kind == KindVM:
		if c, ok := rivals(have, got); ok {
			tx.conflicts = append(tx.conflicts, c)
		}
	}
}

// undone tells whether merging two records of an activation undid one.
func undone(have, got, merged *Record) (Conflict, bool) {
	m, _ := decodeActivation(merged.Value)
	if m.active() {
		return Conflict{}, false
	}
	var newest Version // of an active record: that of its newest activation
	for _, r := range []*Record{have, got} {
		if row, _ := decodeActivation(r.Value); row.active() {
			newest = maxVersion(newest, r.Version)
		}
	}
	return Conflict{Type: TenantConflict, Tenant: got.Key.ID, Lost: newest, Held: m.Off}, newest.Compare(m.Off) > 0
}

// rivals tells whether two records are registrations of which either did not know
// of the other, and which one lost.
func rivals(have, got *Record) (Conflict, bool) {
	if have.Deleted() || got.Deleted() {
		return Conflict{}, false
	}
	holds, err := decodeVM(have.Value)
	lost, failed := decodeVM(got.Value)
	if err != nil || failed != nil || holds.Seen != lost.Seen || holds.Tenant == lost.Tenant {
		return Conflict{}, false
	}
	if compareRegistrations(*got, *have) > 0 {
		holds, lost = lost, holds
	}
	return Conflict{
		Type: VMConflict, VM: got.Key.ID, Tenant: lost.Tenant, Name: lost.Name, Holder: holds.Tenant,
		Lost: lost.Since, Held: holds.Since,
	}, true
}

// toldConflicts is how many conflicts a table remembers to have told.
const toldConflicts = 8192

// conflictsTold are the last conflicts that were told: a record that lost may be
// heard any number of times.
type conflictsTold struct {
	has  map[uint64]bool
	ring []uint64 // in order of arrival, from next on
	next int
}

// fresh returns those of a list that were not told yet.
func (s *conflictsTold) fresh(list []Conflict) (out []Conflict) {
	for i := range list {
		if s.add(list[i].hash()) {
			out = append(out, list[i])
		}
	}
	return out
}

func (s *conflictsTold) add(hash uint64) bool {
	if s.has[hash] {
		return false
	}
	if s.has == nil {
		s.has = map[uint64]bool{}
	}
	s.has[hash] = true
	if len(s.ring) < toldConflicts {
		s.ring = append(s.ring, hash)
		return true
	}
	delete(s.has, s.ring[s.next])
	s.ring[s.next] = hash
	s.next = (s.next + 1) % toldConflicts
	return true
}

func (c *Conflict) hash() uint64 {
	e := newEncoder()
	e.str(string(c.Type))
	e.id(c.Tenant)
	e.id(c.VM)
	e.version(c.Lost)
	e.version(c.Held)
	return xxhash.Sum64(e)
}
