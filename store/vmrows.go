package store

// entryOf returns the records of a VM; those that it does not have are zero but
// for the key. It needs the table's read lock, or the writer's.
func (t *Table) entryOf(id BIOSID) vmEntry {
	var body []byte
	if slot, _ := t.vms.find(&id); slot != nil {
		body = t.vms.packed(slot)
	}
	e, err := t.symbols.unpack(id, body)
	if err != nil {
		panic(err) // arenas hold what pack made and what loadBlock has checked
	}
	return e
}

// packedVM is a VM that is about to be written.
type packedVM struct {
	id    BIOSID
	end   int // of its entry in packing.bodies; it begins where the one before ends
	facts vmFacts
}

// packing is memory for the VMs of a change, kept for the next.
type packing struct {
	vms    []packedVM
	bodies []byte
}

// packVMs packs the staged VMs.
func (t *Table) packVMs(s *stage) error {
	p := &t.packing
	p.vms, p.bodies = p.vms[:0], p.bodies[:0]
	for i := range s.rows {
		r := &s.rows[i]
		var e vmEntry
		switch r.Key.Kind {
		case KindVM:
			if at := s.beside(i+1, Key{KindPlacement, r.Key.ID}); at >= 0 {
				e.placement = s.rows[at]
			} else {
				e = t.entryOf(r.Key.ID)
			}
			e.registration = *r
		case KindPlacement:
			if s.beside(i-1, Key{KindVM, r.Key.ID}) >= 0 {
				continue // done
			}
			e = t.entryOf(r.Key.ID)
			e.placement = *r
		default:
			continue
		}
		body := t.symbols.pack(&e)
		facts, err := t.symbols.facts(body)
		if err != nil {
			return err
		}
		p.bodies = append(p.bodies, body...)
		p.vms = append(p.vms, packedVM{r.Key.ID, len(p.bodies), facts})
	}
	return nil
}

// writeVMs writes what packVMs has packed, and then what questions see of it.
func (t *Table) writeVMs() {
	begin := 0
	for i := range t.packing.vms {
		vm := &t.packing.vms[i]
		slot := t.vms.claim(&vm.id)
		t.vms.setPacked(slot, t.packing.bodies[begin:vm.end])
		t.vms.setFacts(slot, vm.facts)
		begin = vm.end
		if vm.facts&factsLive == 0 { // it leaves its SVM, and starts with nothing should it come back
			if was := slot.assigned.Swap(0); was > 0 {
				t.loads[was-1].Pick(-1)
			}
		}
	}
	if cap(t.packing.bodies) > maxGroup {
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
