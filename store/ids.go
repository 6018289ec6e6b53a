package store

import (
	"encoding/binary"
	"errors"

	"github.com/google/uuid"
)

// TenantID identifies a tenant. The zero value means "no tenant".
type TenantID [16]byte

// SVMID identifies an SVM (secure virtual machine). The zero value is the id of
// the SVM that does not exist, which agents of inactive tenants are given.
type SVMID [16]byte

// VMID is a VM's record id. It is not what agents present: that is [BIOSID].
type VMID [16]byte

// BIOSID is the UUID that a virtual machine's firmware shows to its guest, and
// by which its agent is known. It is unique in the whole table.
type BIOSID [16]byte

// ErrMalformedID reports text that is not a UUID.
var ErrMalformedID = errors.New("not a UUID: want 32 hexadecimal digits, with or without hyphens or braces")

// NewTenantID returns a fresh random id, ordered by time (RFC 9562, version 7).
// It panics if the system has no randomness left.
func NewTenantID() TenantID { return TenantID(uuid.Must(uuid.NewV7())) }

// NewSVMID returns a fresh id; see [NewTenantID].
func NewSVMID() SVMID { return SVMID(uuid.Must(uuid.NewV7())) }

// NewVMID returns a fresh id; see [NewTenantID].
func NewVMID() VMID { return VMID(uuid.Must(uuid.NewV7())) }

// ParseTenantID reads a UUID in any case, with or without hyphens or braces.
func ParseTenantID[T string | []byte](s T) (TenantID, error) { id, err := parseID(s); return id, err }

// ParseSVMID reads a UUID; see [ParseTenantID].
func ParseSVMID[T string | []byte](s T) (SVMID, error) { id, err := parseID(s); return id, err }

// ParseVMID reads a UUID; see [ParseTenantID].
func ParseVMID[T string | []byte](s T) (VMID, error) { id, err := parseID(s); return id, err }

// ParseBIOSID reads a UUID; see [ParseTenantID]. It does not allocate.
func ParseBIOSID[T string | []byte](s T) (BIOSID, error) { id, err := parseID(s); return id, err }

// Swapped returns id in the other byte order: some platforms show the first
// three fields of a BIOS UUID (SMBIOS 2.6, section 7.2.1) little-endian, others
// big-endian, so one VM can be seen under two ids.
func (id BIOSID) Swapped() BIOSID {
	id[0], id[1], id[2], id[3] = id[3], id[2], id[1], id[0]
	id[4], id[5] = id[5], id[4]
	id[6], id[7] = id[7], id[6]
	return id
}

// IsZero reports whether id is the zero value, which identifies nothing.
func (id TenantID) IsZero() bool { return id == TenantID{} }

// IsZero reports whether id is the zero value, the SVM that does not exist.
func (id SVMID) IsZero() bool { return id == SVMID{} }

// IsZero reports whether id is the zero value, which identifies nothing.
func (id VMID) IsZero() bool { return id == VMID{} }

// IsZero reports whether id is the zero value, which identifies nothing.
func (id BIOSID) IsZero() bool { return id == BIOSID{} }

func (id TenantID) String() string { return uuid.UUID(id).String() }
func (id SVMID) String() string    { return uuid.UUID(id).String() }
func (id VMID) String() string     { return uuid.UUID(id).String() }
func (id BIOSID) String() string   { return uuid.UUID(id).String() }

// MarshalText writes the canonical form: lower case with hyphens. The zero id
// is the empty text, so that an absent tenant reads as "" in JSON.
func (id TenantID) MarshalText() ([]byte, error) { return marshalID(id) }

// MarshalText writes the canonical form; see [TenantID.MarshalText].
func (id SVMID) MarshalText() ([]byte, error) { return marshalID(id) }

// MarshalText writes the canonical form; see [TenantID.MarshalText].
func (id VMID) MarshalText() ([]byte, error) { return marshalID(id) }

// MarshalText writes the canonical form; see [TenantID.MarshalText].
func (id BIOSID) MarshalText() ([]byte, error) { return marshalID(id) }

// UnmarshalText reads what [ParseTenantID] reads; empty text is the zero id.
func (id *TenantID) UnmarshalText(b []byte) (err error) { *id, err = unmarshalID(b); return err }

// UnmarshalText reads what [ParseSVMID] reads; empty text is the zero id.
func (id *SVMID) UnmarshalText(b []byte) (err error) { *id, err = unmarshalID(b); return err }

// UnmarshalText reads what [ParseVMID] reads; empty text is the zero id.
func (id *VMID) UnmarshalText(b []byte) (err error) { *id, err = unmarshalID(b); return err }

// UnmarshalText reads what [ParseBIOSID] reads; empty text is the zero id.
func (id *BIOSID) UnmarshalText(b []byte) (err error) { *id, err = unmarshalID(b); return err }

func marshalID(id [16]byte) ([]byte, error) {
	if id == ([16]byte{}) {
		return []byte{}, nil
	}
	return uuid.UUID(id).MarshalText()
}

func unmarshalID(b []byte) ([16]byte, error) {
	if len(b) == 0 {
		return [16]byte{}, nil
	}
	return parseID(b)
}

// AppendID appends the canonical text of an id to dst.
func AppendID[T ~[16]byte](dst []byte, id T) []byte {
	var digits [32]byte
	for i := 0; i < 16; i += 4 {
		putDigits(digits[2*i:], binary.LittleEndian.Uint32(id[i:i+4]))
	}
	n := len(dst)
	dst = append(dst, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"...)
	text := dst[n : n+36]
	copy(text[0:8], digits[0:8])
	copy(text[9:13], digits[8:12])
	copy(text[14:18], digits[12:16])
	copy(text[19:23], digits[16:20])
	copy(text[24:36], digits[20:32])
	return dst
}

// parseID is on the hot path: eight digits at a time, no allocation, whatever the form.
func parseID[T string | []byte](s T) (id [16]byte, err error) {
	if len(s) >= 2 && s[0] == '{' && s[len(s)-1] == '}' {
		s = s[1 : len(s)-1]
	}
	var a, b, c, d uint64 // all digits, in order
	switch {
	case len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-':
		a, b, c, d = wordAt(s, 0), halvesAt(s, 9, 14), halvesAt(s, 19, 24), wordAt(s, 28)
	case len(s) == 32:
		a, b, c, d = wordAt(s, 0), wordAt(s, 8), wordAt(s, 16), wordAt(s, 24)
	default:
		return [16]byte{}, ErrMalformedID
	}
	if notDigits(a)|notDigits(b)|notDigits(c)|notDigits(d) != 0 {
		return [16]byte{}, ErrMalformedID
	}
	binary.LittleEndian.PutUint64(id[:8], uint64(digits(a))|uint64(digits(b))<<32)
	binary.LittleEndian.PutUint64(id[8:], uint64(digits(c))|uint64(digits(d))<<32)
	return id, nil
}
