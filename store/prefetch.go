package store

import "unsafe"

// Prefetch asks memory for what a question about a VM begins with, and does not wait for
// it: [Table.Lookup] finds it near the processor if there is something to do meanwhile,
// other questions or a tenth of a microsecond. The ID may be of no VM.
func (t *Table) Prefetch(id *BIOSID) { t.vms.prefetch(hashBIOS(id)) }

// prefetch asks for the first slot at which a VM may be, and for the next cache line, where
// every other VM is.
func (t *vmTable) prefetch(hash uint64) {
	arr := t.shard(hash).slots.Load()
	if arr == nil {
		return
	}
	first := arr.home(hash)
	prefetch(unsafe.Pointer(&arr.slots[first]))
	prefetch(unsafe.Pointer(&arr.slots[min(first+2, len(arr.slots)-1)]))
}
