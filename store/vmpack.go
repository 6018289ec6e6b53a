package store

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// An entry is what the arena, and a snapshot, hold of a VM: its registration and
// its placement, packed with the help of a dictionary.
//
//	length of what follows (varint)
//	head     bits 0-1 form of the registration, 2-3 of the placement; then
//	         what a packed registration has: 4 Seen, 5 a Since of another node,
//	         6 an ID, 7 user data
//	registration, unless absent
//	  clock (8 bytes), node
//	  packed: Seen, Since (as versions), tenant, ID, name, user data, Created
//	placement, unless absent
//	  version
//	  packed: path, then (text of the version, guest OS, agent kind) in one number
//
// A version is the distance of its clock from that of the registration, and its
// node; a node is its number in the dictionary, or 0 and 8 bytes. Created is the
// distance in milliseconds from Since. A raw value is its length and its bytes.
//
// Values are packed only if what comes out is what went in, to the byte: fields
// of a newer release stay as they are, and so does what finds no room in the
// dictionary.

// form says how an entry has a record.
type form byte

const (
	absent form = iota
	tombstone
	packed
	raw
)

const (
	headSeen      = 1 << 4
	headSinceNode = 1 << 5
	headID        = 1 << 6
	headUserData  = 1 << 7
)

var errEntry = errors.New("store: entry of a VM is damaged")

// A vmEntry is the records of a VM: its registration and its placement, either
// of which may be absent (zero but for the key).
type vmEntry struct{ registration, placement Record }

func (e *vmEntry) record(kind Kind) *Record {
	if kind == KindVM {
		return &e.registration
	}
	return &e.placement
}

// cutEntry splits what starts with an entry into the entry without its length,
// and the rest.
func cutEntry(b []byte) (body, rest []byte, ok bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return nil, nil, false
	}
	return b[size : size+int(n)], b[size+int(n):], true
}

func entrySize(b []byte) int {
	_, rest, _ := cutEntry(b)
	return len(b) - len(rest)
}

// pack returns the entry of e without its length; it is valid until the next
// call. It numbers what has no number yet: it needs the writer's lock. Of what it
// packed d.last has the numbers, as if it had been parsed.
func (d *dictionary) pack(e *vmEntry) []byte {
	d.scratch, d.last = append(d.scratch[:0], 0), parsedVM{} // the head
	b := d.scratch
	if r := &e.registration; !r.Version.IsZero() || !r.Deleted() {
		b = binary.LittleEndian.AppendUint64(b, r.Version.Clock)
		b = d.appendNode(b, r.Version.Node)
		b = d.appendRegistration(b, r)
	}
	if r := &e.placement; !r.Version.IsZero() || !r.Deleted() {
		b = d.appendVersion(b, r.Version, e.registration.Version)
		b = d.appendPlacement(b, r)
	}
	b[0] |= byte(d.last.registration.form) | byte(d.last.placement.form)<<2
	d.scratch = b
	return b
}

func (d *dictionary) appendNode(b []byte, node uint64) []byte {
	i := d.nodeIndex(node)
	b = binary.AppendUvarint(b, uint64(i))
	if i == 0 {
		b = binary.LittleEndian.AppendUint64(b, node)
	}
	return b
}

func (d *dictionary) appendVersion(b []byte, v, base Version) []byte {
	return d.appendNode(binary.AppendVarint(b, int64(v.Clock-base.Clock)), v.Node)
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (d *dictionary) appendRegistration(b []byte, r *Record) []byte {
	p := &d.last
	if r.Deleted() {
		p.registration.form = tombstone
		return b
	}
	row, err := readVM(borrow(r.Value))
	tenant, ok := d.tenantIndex[row.Tenant]
	if !ok {
		d.mayAdd() // the commit will
	}
	if d.again = row.append(emptyValue(d.again)); err != nil || !ok || !bytes.Equal(d.again, r.Value) {
		p.registration.form, p.registration.value = raw, r.Value
		return appendBytes(b, r.Value)
	}
	p.registration.form, p.tenant = packed, uint64(tenant)
	if !row.Seen.IsZero() {
		b[0] |= headSeen
		b = d.appendVersion(b, row.Seen, r.Version)
	}
	b = binary.AppendVarint(b, int64(row.Since.Clock-r.Version.Clock))
	if row.Since.Node != r.Version.Node {
		b[0] |= headSinceNode
		b = d.appendNode(b, row.Since.Node)
	}
	b = binary.AppendUvarint(b, uint64(tenant))
	if !row.ID.IsZero() {
		b[0] |= headID
		b = append(b, row.ID[:]...)
	}
	b = appendBytes(b, row.Name)
	if row.UserData != "" {
		b[0] |= headUserData
		b = appendBytes(b, row.UserData)
	}
	return binary.AppendVarint(b, unixMilli(row.Created)-row.Since.Millis())
}

func (d *dictionary) appendPlacement(b []byte, r *Record) []byte {
	p := &d.last
	if r.Deleted() {
		p.placement.form = tombstone
		return b
	}
	p.placement.form, p.placement.value = raw, r.Value
	row, err := readPlacement(borrow(r.Value))
	if err != nil {
		return appendBytes(b, r.Value)
	}
	// What a raw value names needs its number, too.
	path, err := d.pathIndex(row.Path)
	text, ok := uint32(0), err == nil
	if ok {
		text, ok = d.textIndex(row.Version)
	}
	if !ok {
		_, _ = d.versionIndex(row.Version)
	}
	if d.again = row.append(emptyValue(d.again)); !ok || !bytes.Equal(d.again, r.Value) {
		return appendBytes(b, r.Value)
	}
	p.placement.form, p.path, p.text, p.os, p.kind = packed, uint64(path), uint64(text), row.OS, row.Kind
	b = binary.AppendUvarint(b, p.path)
	return binary.AppendUvarint(b, p.text<<4|uint64(p.os)<<2|uint64(p.kind))
}

// A parsedVM is an entry taken apart; its slices point into the entry.
type parsedVM struct {
	registration, placement parsedRecord
	first                   []byte // what the entry has of the registration

	// Of a packed registration.
	seen, since    Version
	tenant         uint64
	id             VMID
	name, userData []byte
	created        int64

	// Of a packed placement.
	path, text uint64
	os         GuestOS
	kind       AgentKind
}

type parsedRecord struct {
	form    form
	version Version
	value   []byte // if raw
}

// parse takes an entry apart into p, which is zero, whatever the bytes are: every
// number is in the dictionary. It may run beside other readers.
func (d *dictionary) parse(p *parsedVM, body []byte) error {
	s := strict{b: body}
	head := s.byte()
	p.registration.form, p.placement.form = form(head&3), form(head>>2&3)
	if p.registration.form != absent {
		p.registration.version.Clock = s.word()
		p.registration.version.Node = d.parseNode(&s)
	}
	switch p.registration.form {
	case packed:
		d.parseRegistration(&s, p, head)
	case raw:
		p.registration.value = s.text()
	}
	if len(body) > 0 {
		p.first = body[1 : len(body)-len(s.b)]
	}
	if p.placement.form != absent {
		p.placement.version = d.parseVersion(&s, p.registration.version)
	}
	switch p.placement.form {
	case packed:
		p.path = s.number(len(d.paths))
		word := s.uint()
		p.text, p.os, p.kind = word>>4, GuestOS(word>>2&3), AgentKind(word&3)
		if p.text >= uint64(len(d.texts)) || int(p.os) >= len(guestOSes) || int(p.kind) >= len(agentKinds) {
			s.fail()
		}
	case raw:
		p.placement.value = s.text()
	}
	if s.bad || len(s.b) > 0 {
		return errEntry
	}
	return nil
}

func (d *dictionary) parseRegistration(s *strict, p *parsedVM, head byte) {
	version := p.registration.version
	if head&headSeen != 0 {
		p.seen = d.parseVersion(s, version)
	}
	p.since = Version{Clock: version.Clock + uint64(s.int()), Node: version.Node}
	if head&headSinceNode != 0 {
		p.since.Node = d.parseNode(s)
	}
	p.tenant = s.number(len(d.tenants))
	if head&headID != 0 {
		p.id = s.id()
	}
	p.name = s.text()
	if head&headUserData != 0 {
		p.userData = s.text()
	}
	p.created = p.since.Millis() + s.int()
	if p.created < minMillis || p.created > maxMillis {
		s.fail()
	}
}

func (d *dictionary) parseNode(s *strict) uint64 {
	i := s.number(len(d.nodes))
	if i == 0 {
		return s.word()
	}
	return d.nodes[i]
}

func (d *dictionary) parseVersion(s *strict, base Version) Version {
	clock := base.Clock + uint64(s.int())
	return Version{Clock: clock, Node: d.parseNode(s)}
}

// repack is pack for the entry of body with another placement. It need not look
// at the registration.
func (d *dictionary) repack(body []byte, placement *Record) ([]byte, error) {
	d.last = parsedVM{}
	p := &d.last
	if err := d.parse(p, body); err != nil {
		return nil, err
	}
	b := append(append(d.scratch[:0], body[0]&^(3<<2)), p.first...)
	b = d.appendVersion(b, placement.Version, p.registration.version)
	b = d.appendPlacement(b, placement)
	b[0] |= byte(p.placement.form) << 2
	d.scratch = b
	return b, nil
}

// values is memory for the values of a VM's records; empty, it is made anew.
type values struct{ registration, placement []byte }

// unpack returns the records of an entry; an entry of no bytes is none of them.
func (d *dictionary) unpack(id BIOSID, body []byte) (vmEntry, error) {
	return d.unpackIn(&values{newEncoder(), newEncoder()}, id, body)
}

// unpackIn is unpack into memory that was used before.
func (d *dictionary) unpackIn(mem *values, id BIOSID, body []byte) (vmEntry, error) {
	e := vmEntry{registration: Record{Key: Key{KindVM, id}}, placement: Record{Key: Key{KindPlacement, id}}}
	if len(body) == 0 {
		return e, nil
	}
	var p parsedVM
	if err := d.parse(&p, body); err != nil {
		return vmEntry{}, err
	}
	e.registration.Version, e.placement.Version = p.registration.version, p.placement.version
	switch p.registration.form {
	case packed:
		row := d.registrationOf(&p)
		e.registration.Value = row.append(emptyValue(mem.registration))
	case raw:
		e.registration.Value = copyTo(mem.registration, p.registration.value)
	}
	switch p.placement.form {
	case packed:
		row := d.placementOf(&p)
		e.placement.Value = row.append(emptyValue(mem.placement))
	case raw:
		e.placement.Value = copyTo(mem.placement, p.placement.value)
	}
	*mem = values{e.registration.Value, e.placement.Value}
	return e, nil
}

// registrationOf returns a packed registration. Its strings are parts of the entry.
func (d *dictionary) registrationOf(p *parsedVM) vmRow {
	row := vmRow{
		Seen: p.seen, Since: p.since, Tenant: d.tenants[p.tenant], ID: p.id,
		Name: borrowed(p.name), UserData: borrowed(p.userData),
	}
	if p.created != 0 {
		row.Created = milliTime(p.created)
	}
	return row
}

// placementOf returns a packed placement. Its strings are the dictionary's.
func (d *dictionary) placementOf(p *parsedVM) placementRow {
	return placementRow{Path: d.pathOf(p.path), OS: p.os, Kind: p.kind, Version: d.texts[p.text]}
}

// copyTo returns the bytes of b in the memory of mem, if that is enough.
func copyTo(mem, b []byte) []byte { return append(mem[:0], b...) }

// facts returns what a question sees of a VM with the given entry. It may run
// beside other readers.
func (d *dictionary) facts(body []byte) (vmFacts, error) {
	var p parsedVM
	return d.parseFacts(&p, body)
}

// parseFacts is facts for who also wants the entry taken apart, into p, which is
// zero.
func (d *dictionary) parseFacts(p *parsedVM, body []byte) (vmFacts, error) {
	if err := d.parse(p, body); err != nil {
		return 0, err
	}
	return d.factsOf(p)
}

// factsOf is facts for an entry taken apart. What a raw value refers to has its
// number, too.
func (d *dictionary) factsOf(p *parsedVM) (vmFacts, error) {
	tenant, registered := int(p.tenant), p.registration.form == packed
	if p.registration.form == raw {
		if row, err := decodeVM(p.registration.value); err == nil {
			if tenant, registered = d.tenantIndex[row.Tenant]; !registered {
				return 0, errEntry
			}
		}
	}
	if !registered {
		return factsClaimed, nil
	}
	switch p.placement.form {
	case packed:
		return packFacts(uint32(tenant), uint32(p.path), d.textOf[p.text], p.os, p.kind), nil
	case raw:
		row, err := decodePlacement(p.placement.value)
		v, _ := ParseProductVersion(row.Version)
		path, known := d.knownPath(row.Path)
		version, ok := d.byVersion[v]
		if err != nil || !known || !ok {
			return 0, errEntry
		}
		return packFacts(uint32(tenant), path, version, row.OS, row.Kind), nil
	}
	return packFacts(uint32(tenant), 0, 0, 0, 0), nil
}
