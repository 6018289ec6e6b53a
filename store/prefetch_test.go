package store

import "testing"

// An ID may be of a VM, of none, or come when the table is empty; what the table has then is
// what it had.
func TestPrefetch(t *testing.T) {
	table := open(t, Config{})
	for bios := range byte(200) {
		id := BIOSID{1, bios}
		if n := testing.AllocsPerRun(10, func() { table.Prefetch(&id) }); n != 0 {
			t.Fatalf("%v allocations", n)
		}
		if bios%2 == 0 {
			table.vm(t, id, TenantID{}, "vm")
		}
		if _, found := table.Lookup(&id); found != (bios%2 == 0) {
			t.Errorf("VM %v is found: %t", id, found)
		}
	}
}
