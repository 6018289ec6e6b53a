package store

import (
	"bytes"
	"math"
)

// offer is a change that takes offers. It compares them with what is there, and
// writes what holds anew.
type offer struct {
	*Tx
	since int64 // the offers were written after this, in milliseconds
}

// take returns how many of the records it wrote.
func (o *offer) take(list []Record) (taken int) {
	for i := range list {
		r := &list[i]
		have := o.record(r.Key)
		var ok bool
		switch {
		case !o.belongs(r):
		case r.Key.Kind == KindActivation:
			ok = o.activation(r, &have)
		case r.Key.Kind == KindVM:
			ok = o.registration(r, &have)
		case r.Key.Kind == KindEvent:
			ok = o.event(r, &have)
		case r.Key.Kind == KindProtection:
			ok = o.addProtection(r)
		default:
			ok = o.other(r, &have)
		}
		if ok {
			taken++
		}
	}
	return taken
}

// belongs reports whether that to which a record belongs is there.
func (o *offer) belongs(r *Record) bool {
	if r.Key.isFloor() { // whoever drops what is old will raise it again
		return false
	}
	if r.Deleted() {
		return true
	}
	switch r.Key.Kind {
	case KindActivation: // that a tenant is not active holds should it be made again
		row, _ := decodeActivation(r.Value)
		return o.hasTenant(r.Key.ID) || !row.active()
	case KindToken:
		return o.hasTenant(r.Key.ID)
	case KindSVMFacts:
		return len(o.current(KindSVMConfig, r.Key.ID).Value) > 0
	case KindPlacement:
		return len(o.current(KindVM, r.Key.ID).Value) > 0
	case KindTaskCancel:
		return len(o.current(KindTask, r.Key.ID).Value) > 0
	case KindVM:
		tenant, ok := tenantOfVM(r.Value)
		return !ok || tenant.IsZero() || o.hasTenant(tenant)
	}
	return true
}

// other takes a record of which the newest holds.
func (o *offer) other(r, have *Record) bool {
	switch {
	case have.Version.IsZero() && (r.Deleted() || o.isOld(r)):
		return false
	case r.Version.Compare(have.Version) <= 0 || !have.Version.IsZero() && bytes.Equal(r.Value, have.Value):
		return false
	}
	if r.Key.Kind == KindTenant {
		row, _ := decodeTenant(r.Value)
		o.rename(r.Key.ID, row.Name)
	}
	o.write(r.Key, r.Value)
	return true
}

// event takes an event, as what happened when it did if that was not in the future.
func (o *offer) event(r, have *Record) bool {
	switch {
	case !have.Version.IsZero():
		return false
	case r.Version.Clock > latest(o.now):
		o.write(r.Key, r.Value)
	case o.table.floors.lift(r):
		o.table.clock.observe(r.Version)
		o.group.put(*r)
	default:
		return false
	}
	return true
}

// isOld reports whether a record is of something that was made before.
func (o *offer) isOld(r *Record) bool {
	var made Time
	switch r.Key.Kind {
	case KindTenant:
		row, _ := decodeTenant(r.Value)
		made = row.Created
	case KindAccount:
		a, _ := decodeAccount(r.Value)
		made = a.Created
	case KindTask:
		task, _ := decodeTask(r.Key.ID, r.Value)
		made = task.Created
	default:
		return false
	}
	return made.UnixMilli() <= o.since
}

// seen is the newest version that the writer of v can have meant by it. In the
// future there is none: v is of a wrong clock, and it had seen what there was
// when it last heard of others.
func (o *offer) seen(v Version) Version {
	if v.Clock > latest(o.now) {
		return Version{Clock: uint64(max(o.since, 0)+1)<<counterBits - 1, Node: math.MaxUint64}
	}
	return v
}

func (o *offer) activation(r, have *Record) bool {
	row, _ := decodeActivation(r.Value)
	now, _ := decodeActivation(have.Value)
	active := row.active()
	switch {
	case active && now.active():
		return false
	case active && now.Off.Compare(o.seen(row.On)) > 0:
		if r.Version.Compare(now.Off) > 0 {
			c := Conflict{Type: TenantConflict, Tenant: r.Key.ID, Lost: r.Version, Held: now.Off}
			o.conflicts = append(o.conflicts, c)
		}
		return false
	case !active && now.Off.Compare(row.Off) >= 0: // it is known here
		return false
	case !active && !now.active() && now.Off.Compare(o.seen(row.Off)) > 0: // from the future, and as good as known
		return false
	}
	o.write(r.Key, o.switched(now, active).encode())
	return true
}

func (o *offer) registration(r, have *Record) bool {
	if r.Deleted() {
		if have.Deleted() || compareRegistrations(*r, *have) <= 0 {
			return false
		}
		o.write(r.Key, nil)
		return true
	}
	row, _ := decodeVM(r.Value)
	row.Seen = o.seen(row.Seen)
	switch old, err := decodeVM(have.Value); {
	case have.Version.IsZero():
		if row.Since.Millis() <= o.since {
			return false
		}
	case err != nil: // it was unregistered
		if have.Version.Compare(row.Seen) > 0 {
			return false
		}
	case old.Tenant != row.Tenant:
		return o.rival(r, have, row, old)
	case r.Version.Compare(have.Version) <= 0 || row.Name == old.Name && row.UserData == old.UserData && row.ID == old.ID:
		return false
	}
	o.register(r, have, row)
	return true
}

// rival takes a registration in the place of another tenant's, if it holds.
func (o *offer) rival(r, have *Record, row, old vmRow) bool {
	order := row.Seen.Compare(old.Seen)
	if order == 0 && row.Since.Clock <= latest(o.now) {
		order = old.Since.Compare(row.Since)
	}
	lost, held := row, old
	if order > 0 {
		lost, held = old, row
	}
	o.conflicts = append(o.conflicts, Conflict{
		Type: VMConflict, VM: r.Key.ID, Tenant: lost.Tenant, Name: lost.Name, Holder: held.Tenant,
		Lost: lost.Since, Held: held.Since,
	})
	if order > 0 {
		o.register(r, have, row)
	}
	return order > 0
}

func (o *offer) register(r, have *Record, row vmRow) {
	var old heldRow[vmRow]
	old.hold(*have, readVM, (*vmRow).append)
	o.supersede(&row, &old)
	o.write(r.Key, row.encode())
}
