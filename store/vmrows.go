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

// commitVM writes a VM's records and then what questions see of it.
func (t *Table) commitVM(id [16]byte, s *stage) error {
	entry := t.entryOf(id)
	for _, kind := range []Kind{KindVM, KindPlacement} {
		if r, ok := s.find(Key{kind, id}); ok {
			*entry.record(kind) = r
		}
	}
	body := t.symbols.pack(&entry)
	facts, err := t.symbols.facts(body)
	if err != nil {
		return err
	}
	slot := t.vms.claim((*BIOSID)(&id))
	t.vms.setPacked(slot, body)
	t.vms.setFacts(slot, facts)
	if facts&factsLive == 0 { // it leaves its SVM, and starts with nothing should it come back
		if was := slot.assigned.Swap(0); was > 0 {
			t.loads[was-1].Pick(-1)
		}
	}
	return nil
}
