package store

// Record returns the record of a key, a tombstone included.
func (t *Table) Record(key Key) (Record, bool) {
	id := key
	if key.Kind == KindPlacement { // a VM's two records are read together
		id.Kind = KindVM
	}
	var list [2]Record
	var mem [1]values
	for _, r := range t.read(list[:0], mem[:], []Key{id}) {
		if r.Key == key {
			return r, true
		}
	}
	return Record{}, false
}

// Holds reports whether the table has all that a record says, or something that is
// preferred to it; what is below a floor is dropped everywhere. What was applied but refused, or can not be read, it does not hold.
func (t *Table) Holds(r Record) bool {
	if r.Version.IsZero() || r.check() != nil {
		return false
	}
	t.mu.RLock()
	above := t.floors.lift(&r)
	t.mu.RUnlock()
	if !above {
		return true
	}
	have, _ := t.Record(r.Key)
	_, changed := merge(have, r)
	return !changed
}
