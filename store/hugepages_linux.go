package store

import (
	"syscall"
	"unsafe"
)

const (
	hugePage = 2 << 20
	collapse = 25 // MADV_COLLAPSE, since Linux 6.1
)

// askHugePages asks the system to put an array on huge pages. To find a VM, or a token, is
// to load from a random place of a large array, and on small pages the processor waits
// for the place of the page too, which it has forgotten. And where nobody has written yet,
// the system comes once for each huge page, not five hundred times: that is a fifth of a
// start with ten million VMs. The system may refuse, and nothing is lost but the gain.
//
// Arrays lie in the Go heap, between others. Whole huge pages are asked for, so
// that neighbours share them.
func askHugePages[T any](array []T) {
	var element T
	size := uintptr(len(array)) * unsafe.Sizeof(element)
	if size < hugePage/32 {
		return
	}
	start := uintptr(unsafe.Pointer(&array[0]))
	from, to := start&^(hugePage-1), (start+size+hugePage-1)&^(hugePage-1)
	for _, advice := range [...]uintptr{syscall.MADV_HUGEPAGE, collapse} { // for what comes, and for what is there
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, advice)
	}
}
