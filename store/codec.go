package store

import (
	"encoding/binary"
	"errors"
	"slices"
	"unsafe"
)

// Values of records are a format byte and then fields in a fixed order. A
// decoder takes missing trailing fields as zero (an older writer) and ignores
// further ones (a newer writer), so that neighbouring releases understand each
// other.
const valueFormat = 1

var (
	errCorrupt    = errors.New("store: record value is damaged")
	errZeroID     = errors.New("store: record of the zero id, which identifies nothing")
	errAhead      = errors.New("store: record value names a version newer than the record's own")
	errOtherKey   = errors.New("store: record value does not belong to its key")
	errNoRecord   = errors.New("store: sightings are told, and kept by nobody")
	errTooLong    = errors.New("store: record value is longer than any of its kind")
	errNoDeletion = errors.New("store: records of the kind are never deleted")
)

type encoder []byte

func newEncoder() encoder { return emptyValue(make([]byte, 0, 128)) }

// emptyValue begins a value in the memory of b.
func emptyValue(b []byte) encoder { return append(b[:0], valueFormat) }

func (e *encoder) uint(v uint64)      { *e = binary.AppendUvarint(*e, v) }
func (e *encoder) int(v int64)        { *e = binary.AppendVarint(*e, v) }
func (e *encoder) str(s string)       { e.uint(uint64(len(s))); *e = append(*e, s...) }
func (e *encoder) id(id [16]byte)     { *e = append(*e, id[:]...) }
func (e *encoder) sum(s [32]byte)     { *e = append(*e, s[:]...) }
func (e *encoder) version(v Version)  { e.uint(v.Clock); e.uint(v.Node) }
func (e *encoder) time(t Time)        { e.int(unixMilli(t)) }
func (e *encoder) strs(list []string) { encodeList(e, list, e.str) }

func (e *encoder) bool(b bool) {
	if b {
		*e = append(*e, 1)
	} else {
		*e = append(*e, 0)
	}
}

func encodeList[T any](e *encoder, list []T, one func(T)) {
	e.uint(uint64(len(list)))
	for _, v := range list {
		one(v)
	}
}

func unixMilli(t Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// decoder reads what encoder writes. After damage every method returns zero
// values and err is set.
type decoder struct {
	b      []byte
	borrow bool // strings are parts of b, not copies
	err    error
}

func newDecoder(value []byte) *decoder {
	if len(value) == 0 || value[0] == 0 {
		return &decoder{err: errCorrupt}
	}
	return &decoder{b: value[1:]}
}

// borrow is newDecoder for who keeps no string of what is read: they are parts of
// value, and keep all of it from being freed.
func borrow(value []byte) *decoder {
	d := newDecoder(value)
	d.borrow = true
	return d
}

func (d *decoder) fail() { d.b, d.err = nil, errCorrupt }

func (d *decoder) take(n int) []byte {
	if len(d.b) == 0 { // a field that an older writer did not have
		return nil
	}
	if n < 0 || n > len(d.b) {
		d.fail()
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) uint() uint64 {
	if len(d.b) == 0 {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	if len(d.b) == 0 {
		return 0
	}
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) str() string {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return ""
	}
	text := d.take(int(n))
	if d.borrow {
		return borrowed(text)
	}
	return string(text)
}

// bytes is str for what is long and nobody changes: it is part of what is decoded.
func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	return slices.Clip(d.take(int(n)))
}

// borrowed is b as a string, for as long as b does not change.
func borrowed(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func (d *decoder) id() (id [16]byte)   { copy(id[:], d.take(16)); return id }
func (d *decoder) sum() (s [32]byte)   { copy(s[:], d.take(32)); return s }
func (d *decoder) bool() bool          { b := d.take(1); return len(b) == 1 && b[0] == 1 }
func (d *decoder) version() Version    { return Version{Clock: d.uint(), Node: d.uint()} }
func (d *decoder) strs() []string      { return decodeList(d, d.str) }
func (d *decoder) amount() int         { return int(min(max(d.int(), 0), maxCapacity)) }
func (d *decoder) svmIDs() []SVMID     { return decodeList(d, func() SVMID { return d.id() }) }
func (d *decoder) tenants() []TenantID { return decodeList(d, func() TenantID { return d.id() }) }

func (d *decoder) time() Time {
	ms := d.int()
	if ms == 0 {
		return Time{}
	}
	return milliTime(min(max(ms, minMillis), maxMillis))
}

// Times are kept within what RFC 3339 can write, in milliseconds since 1970.
const (
	minMillis = -62_135_596_800_000 // 0001-01-01T00:00:00Z
	maxMillis = 253_402_300_799_999 // 9999-12-31T23:59:59.999Z
)

// decodeEnum reads the index of a word. One of a newer release, which this one
// does not know, is taken as other: the careful choice, which is not always zero.
func decodeEnum[T ~uint8](d *decoder, names []string, other T) T {
	v := d.uint()
	if v >= uint64(len(names)) {
		return other
	}
	return T(v)
}

func decodeList[T any](d *decoder, one func() T) []T {
	n := d.uint()
	if n > uint64(len(d.b)) { // every element takes at least a byte
		d.fail()
		return nil
	}
	var list []T
	for range n {
		if len(d.b) == 0 { // a list is all there or damaged
			d.fail()
			return nil
		}
		list = append(list, one())
	}
	return list
}
