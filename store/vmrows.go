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

// packing is memory for the VMs of a change, kept for the next.
type packing struct {
	vms []packedVM
	mem values
}

// packedVM is a VM that is about to be shown to questions.
type packedVM struct {
	id    BIOSID
	facts vmFacts
}

// packVMs writes the staged VMs, but for what questions see of them.
func (t *Table) packVMs(s *stage) error {
	p := &t.packing
	p.vms = p.vms[:0]
	for i := range s.rows {
		body, err := t.pack(s, i)
		if err != nil {
			return err
		}
		if body == nil {
			continue
		}
		facts, err := t.symbols.factsOf(&t.symbols.last)
		if err != nil {
			return err
		}
		id := BIOSID(s.rows[i].Key.ID)
		t.vms.setPacked(t.vms.claim(&id), body)
		p.vms = append(p.vms, packedVM{id, facts})
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

// showVMs shows questions what packVMs has written.
func (t *Table) showVMs() {
	for i := range t.packing.vms {
		vm := &t.packing.vms[i]
		slot, _ := t.vms.find(&vm.id) // it has moved if its shard has grown
		t.vms.setFacts(slot, vm.facts)
		if vm.facts&factsLive == 0 { // it leaves its SVM, and starts with nothing should it come back
			if was := slot.assigned.Swap(0); was > 0 {
				t.loads[was-1].Pick(-1)
			}
		}
	}
	if cap(t.packing.vms) > maxKept {
		t.packing = packing{}
	}
}

// tenantOfVM returns the tenant that a registration names.
func tenantOfVM(value []byte) (TenantID, bool) {
	d := newDecoder(value)
	d.version()
	d.version()
	return d.id(), d.err == nil
}
