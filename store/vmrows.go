package store

// commitVM writes a VM's records and then what questions see of it.
func (t *Table) commitVM(id [16]byte, s *stage) error {
	slot := t.vms.claim((*BIOSID)(&id))
	entry := t.vms.entry(slot)
	for _, kind := range []Kind{KindVM, KindPlacement} {
		if r, ok := s.find(Key{kind, id}); ok {
			*entry.record(kind) = r
		}
	}
	t.vms.setEntry(slot, &entry)
	row, err := decodeVM(entry.registration.Value)
	if err != nil { // not registered: it leaves its SVM, and starts with nothing should it come back
		t.vms.setFacts(slot, factsClaimed)
		if was := slot.assigned.Swap(0); was > 0 {
			t.loads[was-1].Pick(-1)
		}
		return nil
	}
	var place placementRow
	if !entry.placement.Deleted() {
		if place, err = decodePlacement(entry.placement.Value); err != nil {
			return err
		}
	}
	path, err := t.symbols.pathIndex(place.Path)
	if err != nil {
		return err
	}
	version, err := t.symbols.versionIndex(place.Version)
	if err != nil {
		return err
	}
	t.vms.setFacts(slot, packFacts(uint32(t.tenantIndex[row.Tenant]), path, version, place.OS, place.Kind))
	return nil
}
