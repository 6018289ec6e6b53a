package store

// Touch looks at where a VM is, and does not wait for it: [Table.Lookup] soon after finds
// it near the processor. What it returns means nothing.
func (t *Table) Touch(id *BIOSID) uint64 { return t.vms.touch(hashBIOS(id)) }

// touch loads the first slot at which a VM may be, and does nothing with what is there:
// so the processor need not wait for it.
func (t *vmTable) touch(hash uint64) uint64 {
	arr := t.shard(hash).slots.Load()
	if arr == nil {
		return 0
	}
	return arr.slots[arr.home(hash)].facts.Load()
}
