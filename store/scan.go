package store

// ScanBucket calls fn with every record of a bucket, tombstones and records of
// kinds that this release does not know included, until fn returns false. It takes
// time for what is in the bucket. Readers and writers go on meanwhile: fn runs
// without a lock, each record is as it is when its turn comes, and one that comes
// into the bucket meanwhile may be left out. fn must not keep the value.
func (t *Table) ScanBucket(i int, fn func(Record) bool) {
	if i < 0 || i >= Buckets {
		return
	}
	keys := t.keysIn(i)
	piece := min(scanPiece, len(keys))
	list, mem := make([]Record, 0, 2*piece), make([]values, piece)
	room := make([]byte, 2*scanValue*piece)
	for j := range mem {
		mem[j] = values{room[:0:scanValue], room[scanValue : scanValue : 2*scanValue]}
		room = room[2*scanValue:]
	}
	for len(keys) > 0 {
		n := min(piece, len(keys))
		for _, r := range t.read(list, mem, keys[:n]) {
			if !fn(r) {
				return
			}
		}
		keys = keys[n:]
	}
}

const (
	scanPiece = 32  // so many keys are read under the lock
	scanValue = 128 // bytes that values of a VM seldom exceed
)

// read adds the records of some keys to dst, both of a VM for its one key. Values
// of VMs and of bulk kinds are in mem.
func (t *Table) read(dst []Record, mem []values, keys []Key) []Record {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i, key := range keys {
		if key.Kind != KindVM {
			r, ok := t.row(key)
			if ok && key.isBulk() {
				mem[i].registration = append(mem[i].registration[:0], r.Value...)
				r.Value = mem[i].registration
			}
			if ok {
				dst = append(dst, r)
			}
			continue
		}
		e := t.entryIn(&mem[i], key.ID)
		for _, r := range [...]Record{e.registration, e.placement} {
			if !r.Version.IsZero() {
				dst = append(dst, r)
			}
		}
	}
	return dst
}

// keysIn returns the keys of a bucket's records; a VM's two have one.
func (t *Table) keysIn(i int) (keys []Key) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, key := range t.buckets[i].keys {
		if key.Kind != KindSVMLoad {
			keys = append(keys, key)
		}
	}
	return t.vms.appendBucket(t.buckets[i].bulk.appendKeys(keys), i)
}

// appendBucket adds the keys of a bucket's VMs. It looks at the slots where they
// are at home, and at those behind up to the first free one.
func (t *vmTable) appendBucket(dst []Key, i int) []Key {
	first := uint64(i) << (64 - bucketBits)
	arr := t.shard(first).slots.Load()
	if arr == nil {
		return dst
	}
	end := arr.home(first | (1<<(64-bucketBits) - 1))
	for at := arr.home(first); at < len(arr.slots); at++ {
		slot := &arr.slots[at]
		if slot.facts.Load() == 0 {
			if at >= end {
				break
			}
			continue
		}
		if id := slot.id(); slot.entry.Load() != noEntry && bucketOf(hashBIOS(&id)) == i {
			dst = append(dst, Key{KindVM, id})
		}
	}
	return dst
}
