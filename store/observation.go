package store

// An Observation is what gateways have told of something that they watch: a VM's agent,
// an SVM, a gateway. It changes when there is something new to tell, in one change with
// the event that tells it; so whichever gateway watches next knows what was told.
type Observation struct {
	ID [16]byte // of what is watched: a BIOS ID, an SVM's id

	// State is what is amiss, in the watcher's own numbers; 0 is nothing.
	State uint8

	// Times counts how often something began to be amiss, and Cause identifies what it
	// was the last time.
	Times uint32
	Cause uint64

	// Repeated is when that was told last which is told every so often.
	Repeated Time
}

func (o *Observation) encode() []byte {
	e := newEncoder()
	e.uint(uint64(o.State))
	e.uint(uint64(o.Times))
	e.uint(o.Cause)
	e.time(o.Repeated)
	return e
}

func decodeObservation(id [16]byte, value []byte) (Observation, error) {
	d := newDecoder(value)
	o := Observation{ID: id, State: uint8(min(d.uint(), 255)), Times: uint32(min(d.uint(), 1<<32-1)), Cause: d.uint(), Repeated: d.time()}
	return o, d.err
}

// Observation returns what was told of something; false if nothing ever was.
func (t *Table) Observation(id [16]byte) (Observation, bool) {
	t.mu.RLock()
	r := t.rows[Key{KindObservation, id}]
	t.mu.RUnlock()
	o, err := decodeObservation(id, r.Value)
	return o, err == nil
}

// Observation is [Table.Observation].
func (tx *Tx) Observation(id [16]byte) (Observation, bool) {
	o, err := decodeObservation(id, tx.current(KindObservation, id).Value)
	return o, err == nil
}

// PutObservation writes down what is told. That of a VM goes when the VM does.
func (tx *Tx) PutObservation(o Observation) (bool, error) {
	if o.ID == ([16]byte{}) {
		return false, errZeroID
	}
	return tx.put(KindObservation, o.ID, o.encode()), nil
}

// Amiss reports whether something is amiss with a VM, as far as was told: whether the
// State of its observation is not 0. It costs nothing beyond the lookup.
func (s Slot) Amiss() bool { return false } // until the slot has it
