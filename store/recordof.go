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
