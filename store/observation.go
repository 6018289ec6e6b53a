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
	defer t.mu.RUnlock()
	r, _ := t.row(Key{KindObservation, id})
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
func (s Slot) Amiss() bool { return s.slot.assigned.Load()&slotAmiss != 0 }

// slotAmiss is the bit of a slot that says whether something is amiss with its VM. Every
// slot has it, whether its VM is registered or not.
const slotAmiss = 1 << 31

func (s *vmSlot) setAmiss(amiss bool) {
	if amiss {
		s.assigned.Or(slotAmiss)
	} else {
		s.assigned.And(^uint32(slotAmiss))
	}
}

// assign remembers the index of an SVM + 1, and returns the one before.
func (s *vmSlot) assign(svm uint32) uint32 {
	for {
		was := s.assigned.Load()
		if s.assigned.CompareAndSwap(was, was&slotAmiss|svm) {
			return was &^ slotAmiss
		}
	}
}

// commitObservation tells the slot of a VM, if there is one.
func (t *Table) commitObservation(r *Record) {
	if slot, _ := t.vms.find((*BIOSID)(&r.Key.ID)); slot != nil {
		slot.setAmiss(isAmiss(r))
	}
}

// isAmiss reports whether an observation says that something is amiss.
func isAmiss(r *Record) bool {
	o, err := decodeObservation(r.Key.ID, r.Value)
	return err == nil && o.State != 0
}
