package store

import (
	"syscall"
	"unsafe"
)

// hugePage is the size of a huge page where the system has them.
const hugePage = 2 << 20

// adviseHuge asks for huge pages where slots lie. Finding a VM is a load from a
// random place of an array far larger than what the processor remembers of its
// pages, and without huge pages half of the wait is for the page's address. It is
// advice: where the system refuses, nothing changes.
//
// The advice is for whole huge pages, so it reaches what lies around the slots,
// which is more of the heap and gains by it too.
func adviseHuge(slots []vmSlot) {
	size := uintptr(len(slots)) * unsafe.Sizeof(vmSlot{})
	if size < 64<<10 {
		return
	}
	from := uintptr(unsafe.Pointer(&slots[0])) &^ (hugePage - 1)
	to := (uintptr(unsafe.Pointer(&slots[0])) + size + hugePage - 1) &^ (hugePage - 1)
	syscall.Syscall(syscall.SYS_MADVISE, from, to-from, 25)
}
