package store

// entryOf returns the records of a VM; those that it does not have are zero but
// for the key. It needs the table's read lock, or the writer's.
func (t *Table) entryOf(id BIOSID) vmEntry {
	return t.entryIn(&values{newEncoder(), newEncoder()}, id)
}

// entryIn is entryOf into memory that was used before.
func (t *Table) entryIn(mem *values, id BIOSID) vmEntry {
	e, err := t.symbols.unpackIn(mem, id, t.packedOf(&id))
	if err != nil {
		panic(err) // arenas hold what pack made and what loadBlock has checked
	}
	return e
}

// hold fills in v, which is zero, with a VM taken apart. It needs the table's read
// lock, or the writer's.
func (t *Table) hold(v *heldVM, id *BIOSID) {
	if err := t.symbols.hold(v, t.packedOf(id)); err != nil {
		panic(err) // as above
	}
}

// packedOf returns the entry of a VM, or nil. It points into the arena.
func (t *Table) packedOf(id *BIOSID) []byte {
	slot, _ := t.vms.find(id)
	if slot == nil {
		return nil
	}
	return t.vms.packed(slot)
}

// packing is the VMs of a group, packed; its memory is used for one after another.
type packing struct {
	vms    []packedVM
	bodies []byte
	rows   int // of the stage, up to which the VMs are packed
	mem    values
}

// packedVM is a VM that is about to be written.
type packedVM struct {
	id    BIOSID
	end   int // of its entry in bodies; it begins where the one before ends
	facts vmFacts
}

// forget makes packing ready for the next group.
func (p *packing) forget() {
	if cap(p.vms) > maxKept {
		*p = packing{}
	}
	p.vms, p.bodies, p.rows = p.vms[:0], p.bodies[:0], 0
}

// manyRows are more than one change has, as a rule: they pay for a goroutine.
const manyRows = 4

// packMeanwhile packs the staged VMs, as far as nothing has to be numbered for
// that: until the group is on disk it must not leave a trace. Readers go on, and
// the caller does, too; what changes the table waits for done.
func (t *Table) packMeanwhile(s *stage) (done func()) {
	if len(s.rows) < manyRows {
		return func() {}
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		t.symbols.frozen = true
		_ = t.packVMs(s) // packing them again will tell
		t.symbols.frozen = false
	}()
	return func() { <-end }
}

// packVMs packs the staged VMs that are not packed yet, up to the first for which
// the dictionary lacks something.
func (t *Table) packVMs(s *stage) error {
	p, d := &t.packing, t.symbols
	for d.lacks = false; p.rows < len(s.rows); p.rows++ {
		body, err := t.pack(s, p.rows)
		if err != nil || d.lacks {
			return err
		}
		if body == nil {
			continue
		}
		facts, err := d.factsOf(&d.last)
		if err != nil {
			return err
		}
		p.bodies = append(p.bodies, body...)
		p.vms = append(p.vms, packedVM{s.rows[p.rows].Key.ID, len(p.bodies), facts})
	}
	return nil
}

// pack returns the entry of the VM of which row i is a record; nil if it is none
// of a VM, or if another row brings the VM, too.
func (t *Table) pack(s *stage, i int) ([]byte, error) {
	r := &s.rows[i]
	switch r.Key.Kind {
	case KindVM:
		e := vmEntry{registration: *r}
		if at := s.beside(i+1, Key{KindPlacement, r.Key.ID}); at >= 0 {
			e.placement = s.rows[at]
		} else {
			e.placement = t.entryIn(&t.packing.mem, r.Key.ID).placement
		}
		return t.symbols.pack(&e), nil
	case KindPlacement:
		if s.beside(i-1, Key{KindVM, r.Key.ID}) >= 0 {
			return nil, nil
		}
		if body := t.packedOf((*BIOSID)(&r.Key.ID)); body != nil {
			return t.symbols.repack(body, r)
		}
		return t.symbols.pack(&vmEntry{placement: *r}), nil
	}
	return nil, nil
}

// writeVMs writes what packVMs has packed, and then what questions see of it.
func (t *Table) writeVMs() {
	begin := 0
	for i := range t.packing.vms {
		vm := &t.packing.vms[i]
		slot, isNew := t.vms.obtain(&vm.id)
		if isNew {
			if r, ok := t.row(Key{KindObservation, vm.id}); ok {
				slot.setAmiss(isAmiss(&r))
			}
		}
		body := t.packing.bodies[begin:vm.end]
		t.recount(&vm.id, t.vms.packed(slot), body)
		t.vms.setPacked(slot, body)
		t.vms.setFacts(slot, vm.facts)
		begin = vm.end
		if vm.facts&factsLive == 0 { // it leaves its SVM, and starts with nothing should it come back
			if was := slot.assign(0); was > 0 {
				t.Pick(int(was-1), -1)
			}
		}
	}
}

// tenantOfVM returns the tenant that a registration names.
func tenantOfVM(value []byte) (TenantID, bool) {
	d := newDecoder(value)
	d.version()
	d.version()
	return d.id(), d.err == nil
}
