package store

import "bytes"

// heldVM is a VM taken apart: what its records say, without their values. Its
// strings may be parts of the table or of the stage, and change when these do.
type heldVM struct {
	registration heldRow[vmRow]
	placement    heldRow[placementRow]
}

// heldRow is a record of a VM; zero if there is none.
type heldRow[R any] struct {
	version Version
	live    bool // there is a row: the record can be read, and is no tombstone
	exact   bool // the row encodes to the very value of the record
	row     R
}

// hold takes an entry apart into v, which is zero; one of no bytes is no VM.
func (d *dictionary) hold(v *heldVM, body []byte) error {
	if len(body) == 0 {
		return nil
	}
	var p parsedVM
	if err := d.parse(&p, body); err != nil {
		return err
	}
	if r := &v.registration; p.registration.form == packed {
		r.version, r.live, r.exact, r.row = p.registration.version, true, true, d.registrationOf(&p)
	} else {
		r.hold(Record{Version: p.registration.version, Value: p.registration.value}, readVM, (*vmRow).append)
	}
	if r := &v.placement; p.placement.form == packed {
		r.version, r.live, r.exact, r.row = p.placement.version, true, true, d.placementOf(&p)
	} else {
		r.hold(Record{Version: p.placement.version, Value: p.placement.value}, readPlacement, (*placementRow).append)
	}
	return nil
}

// hold takes a record apart, given how rows are read and written.
func (h *heldRow[R]) hold(r Record, read func(*decoder) (R, error), write func(*R, encoder) []byte) {
	*h = heldRow[R]{version: r.Version}
	row, err := read(newDecoder(r.Value))
	if err == nil {
		h.live, h.row, h.exact = true, row, bytes.Equal(write(&row, newEncoder()), r.Value)
	}
}
