package store

import (
	"encoding/hex"
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
	var buf [36]byte
	b := [16]byte(id)
	hex.Encode(buf[0:8], b[0:4])
	hex.Encode(buf[9:13], b[4:6])
	hex.Encode(buf[14:18], b[6:8])
	hex.Encode(buf[19:23], b[8:10])
	hex.Encode(buf[24:36], b[10:16])
	buf[8], buf[13], buf[18], buf[23] = '-', '-', '-', '-'
	return append(dst, buf[:]...)
}

// parseID is on the hot path: one pass, no allocation, whatever the form.
func parseID[T string | []byte](s T) (id [16]byte, err error) {
	if len(s) >= 2 && s[0] == '{' && s[len(s)-1] == '}' {
		s = s[1 : len(s)-1]
	}
	hyphens := len(s) == 36
	if !hyphens && len(s) != 32 {
		return [16]byte{}, ErrMalformedID
	}
	pos, bad := 0, byte(0)
	for i := range id {
		if hyphens && (i == 4 || i == 6 || i == 8 || i == 10) {
			if s[pos] != '-' {
				return [16]byte{}, ErrMalformedID
			}
			pos++
		}
		hi, lo := nibble[s[pos]], nibble[s[pos+1]]
		bad |= hi | lo
		id[i] = hi<<4 | lo&0x0f
		pos += 2
	}
	if bad > 0x0f {
		return [16]byte{}, ErrMalformedID
	}
	return id, nil
}

// nibble maps a hexadecimal digit to its value and every other byte to 0xff.
var nibble = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i, 10+i
	}
	return t
}()
