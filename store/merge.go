package store

import (
	"bytes"
	"cmp"
)

func compareID(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }

// merge returns what a table that holds have keeps once it hears got, and
// whether that differs from have. Both have the same key, and have is zero if
// there is none.
//
// The function is a join: it gives the same whatever the order and however
// often. A version identifies its contents, so ties need no rule but equality;
// should two writers break that promise, the greater bytes win, and tables
// still agree.
func merge(have, got Record) (Record, bool) {
	switch {
	case got.Key.isFloor():
		return mergeFloor(have, got)
	case got.Key.Kind == KindActivation:
		return mergeActivation(have, got)
	case got.Key.Kind == KindProtection:
		return mergeProtection(have, got)
	}
	if have.Version.IsZero() {
		return got, true
	}
	switch got.Key.Kind {
	case KindVM:
		return got, compareRegistrations(got, have) > 0
	case KindEvent:
		return got, compareRecords(got, have) < 0
	default:
		return got, compareRecords(got, have) > 0
	}
}

// compareRecords orders records of one key: the greater is kept.
func compareRecords(a, b Record) int {
	return cmp.Or(a.Version.Compare(b.Version), bytes.Compare(a.Value, b.Value))
}

// mergeActivation keeps the maximum of either register. A deactivation raises
// Off beyond any On that did not know of it: so a deactivation on one side of a
// partition survives an activation on the other. The result is encoded anew even
// if there is nothing to merge with: equal flags are equal bytes.
func mergeActivation(have, got Record) (Record, bool) {
	h, _ := decodeActivation(have.Value) // zero if there is none
	g, err := decodeActivation(got.Value)
	if err != nil { // refused before it gets here
		return have, false
	}
	m := activationRow{Off: maxVersion(h.Off, g.Off), On: maxVersion(h.On, g.On), Ever: h.Ever || g.Ever}
	out := Record{Key: got.Key, Version: maxVersion(have.Version, got.Version), Value: m.encode()}
	return out, out.Version != have.Version || !bytes.Equal(out.Value, have.Value)
}

// compareRegistrations orders what can be said of one BIOS ID; the greater is
// kept. Whoever has seen the later unregistration knows more. Among those, a
// registration follows the unregistration it has seen. Of two registrations the
// earlier holds, on every gateway, as it would if one of them had been told of
// the other and had refused it. And of two states of one registration the newer.
func compareRegistrations(a, b Record) int {
	aSeen, aSince := registration(a)
	bSeen, bSince := registration(b)
	if c := aSeen.Compare(bSeen); c != 0 {
		return c
	}
	if a.Deleted() != b.Deleted() {
		if b.Deleted() {
			return +1
		}
		return -1
	}
	return cmp.Or(bSince.Compare(aSince), compareRecords(a, b))
}

// registration returns the version of the last unregistration that r has seen,
// which for a tombstone is its own, and that of the registration.
func registration(r Record) (seen, since Version) {
	if r.Deleted() {
		return r.Version, Version{}
	}
	row, err := readVM(borrow(r.Value))
	if err != nil {
		return Version{}, Version{}
	}
	return row.Seen, row.Since
}

func maxVersion(a, b Version) Version {
	if a.Compare(b) >= 0 {
		return a
	}
	return b
}
