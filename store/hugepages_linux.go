package store

import (
	"syscall"
	"unsafe"
)

const (
	hugePage = 2 << 20
	collapse = 25 // MADV_COLLAPSE, since Linux 6.1
)

// askHugePages asks the system to put slots on huge pages. To find a VM, or a token, is to
// load from a random place of a large array, and on small pages the processor waits
// for the place of the page too, which it has forgotten. The system may refuse, and
// nothing is lost but the gain.
//
// Arrays lie in the Go heap, between others. Whole huge pages are asked for, so
// that neighbours share them.
func askHugePages[T any](slots []T) {
	var slot T
	size := uintptr(len(slots)) * unsafe.Sizeof(slot)
	if size < hugePage/32 {
		return
	}
	start := uintptr(unsafe.Pointer(&slots[0]))
	from, to := start&^(hugePage-1), (start+size+hugePage-1)&^(hugePage-1)
	_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, collapse)
}
