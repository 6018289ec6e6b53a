package store

// Touch looks at where VMs are, and does not wait for it: [Table.Lookup] soon after finds
// them near the processor. What it returns means nothing.
func (t *Table) Touch(ids []BIOSID) (sum uint64) {
	for i := range ids {
		sum += t.vms.touch(hashBIOS(&ids[i]))
	}
	return sum
}

// touch loads the first slot at which a VM may be, and of the next cache line, where every
// other VM is; it does nothing with what is there, so the processor need not wait for it.
func (t *vmTable) touch(hash uint64) uint64 {
	arr := t.shard(hash).slots.Load()
	if arr == nil {
		return 0
	}
	first := arr.home(hash)
	return arr.slots[first].facts.Load() + arr.slots[min(first+2, len(arr.slots)-1)].facts.Load()
}
