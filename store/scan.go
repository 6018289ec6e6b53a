package store

import "sync"

// ScanBucket calls fn with every record of a bucket, tombstones and records of
// kinds that this release does not know included, until fn returns false. It takes
// time for what is in the bucket. Readers and writers go on meanwhile: fn runs
// without a lock, each record is as it is when its turn comes, and one that comes
// into the bucket meanwhile may be left out. fn must not keep the value.
func (t *Table) ScanBucket(i int, fn func(Record) bool) {
	if i < 0 || i >= Buckets {
		return
	}
	s := scannings.Get().(*scanning)
	defer s.free()
	s.keys = t.appendKeys(s.keys[:0], i)
	for j := range min(scanPiece, len(s.keys)) {
		room := s.room[2*scanValue*j:]
		s.mem[j] = values{room[:0:scanValue], room[scanValue : scanValue : 2*scanValue]}
	}
	for keys := s.keys; len(keys) > 0; {
		n := min(scanPiece, len(keys))
		for _, r := range t.read(s.list[:0], s.mem[:], keys[:n]) {
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

	maxScanKeys = 4096 // are remembered for the next scan
)

// scanning is the memory of a scan. It is used again: who serves a peer scans every
// bucket, and a million VMs would leave a hundred megabytes.
type scanning struct {
	keys []Key
	list [2 * scanPiece]Record
	mem  [scanPiece]values
	room [2 * scanPiece * scanValue]byte
}

var scannings = sync.Pool{New: func() any { return new(scanning) }}

func (s *scanning) free() {
	clear(s.list[:]) // they point into the table
	clear(s.mem[:])
	if cap(s.keys) > maxScanKeys {
		s.keys = nil
	}
	scannings.Put(s)
}

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

// appendKeys adds the keys of a bucket's records; a VM's two have one.
func (t *Table) appendKeys(keys []Key, i int) []Key {
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
