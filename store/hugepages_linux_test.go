package store

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// What the system has taken apart is on huge pages again once all shards were tended. It is
// taken apart here by giving a small page of it other rights for a moment.
func TestTendedSlotsAreOnHugePages(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 200 MiB")
	}
	var vms vmTable
	for i := range vms.shards {
		vms.shards[i].reserve(20_000)
		for at, slots := 0, vms.shards[i].slots.Load().slots; at < len(slots); at += 64 {
			slots[at].assigned.Store(0) // there is no memory where nobody has been
		}
	}
	debug.FreeOSMemory() // lest something else of this process is freed meanwhile
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	vms.tend(0, vmShards)
	whole := hugeBytes(t)
	for i := range vms.shards {
		split(t, vms.shards[i].slots.Load().slots)
	}
	taken := whole - hugeBytes(t)
	if taken < 16*hugePage {
		t.Skipf("the system has taken %d KiB of huge pages apart: it has none, or keeps them", taken>>10)
	}
	for shard := vms.tend(0, tendedShards); shard != 0; {
		shard = vms.tend(shard, tendedShards)
	}
	if again := hugeBytes(t) - (whole - taken); again < taken*3/4 {
		t.Errorf("of %d KiB that were taken apart, %d are on huge pages again", taken>>10, again>>10)
	}
	runtime.KeepAlive(&vms)
}

func split(t *testing.T, slots []vmSlot) {
	t.Helper()
	page := unsafe.Slice((*byte)(unsafe.Pointer(&slots[0])), 4096)
	if uintptr(unsafe.Pointer(&slots[0]))%4096 != 0 {
		t.Skip("slots do not begin with a page")
	}
	for _, rights := range []int{syscall.PROT_READ, syscall.PROT_READ | syscall.PROT_WRITE} {
		if err := syscall.Mprotect(page, rights); err != nil {
			t.Fatal(err)
		}
	}
}

// hugeBytes returns how much of this process is on huge pages.
func hugeBytes(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), "AnonHugePages:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
