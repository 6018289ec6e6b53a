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

// What is written for the first time is on huge pages at once, as at a start.
func TestNewSlotsAreOnHugePages(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 100 MiB")
	}
	if mode, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled"); err != nil || strings.Contains(string(mode), "[never]") {
		t.Skip("the system has no huge pages")
	}
	debug.FreeOSMemory() // so that no memory is left which has been written
	before, had := hugeBytes(t), refusedHugePages(t)
	var sh vmShard
	sh.reserve(2_000_000)
	slots := bytesOf(sh.slots.Load().slots)
	touch(slots)
	if got := hugeBytes(t) - before; got < len(slots)*3/4 && refusedHugePages(t) == had {
		t.Errorf("of %d KiB, %d are on huge pages", len(slots)>>10, got>>10)
	}
	runtime.KeepAlive(&sh)
}

// touch writes to every page: there is no memory where nobody has been.
func touch(array []byte) {
	for at := 0; at < len(array); at += 4096 {
		array[at] = 0
	}
}

// What the system has taken apart is on huge pages again once all shards were tended.
func TestTendedSlotsAreOnHugePages(t *testing.T) {
	table := open(t, Config{})
	var arrays [][]byte
	for i := range table.vms.shards {
		table.vms.shards[i].reserve(20_000)
		arrays = append(arrays, bytesOf(table.vms.shards[i].slots.Load().slots))
	}
	checkTended(t, table.Table, arrays)
}

func TestTendedTokensAreOnHugePages(t *testing.T) {
	table := open(t, Config{})
	table.tokens.Store(newTokenIndex(1_000_000))
	checkTended(t, table.Table, [][]byte{bytesOf(table.tokens.Load().slots)})
}

// checkTended tends a table some arrays of which the system has taken apart.
func checkTended(t *testing.T, table *Table, arrays [][]byte) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes 200 MiB")
	}
	for _, a := range arrays {
		touch(a)
	}
	debug.FreeOSMemory() // lest something else of this process is freed meanwhile
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	tendAll := func() {
		for shard := table.tend(0); shard != 0; {
			shard = table.tend(shard)
		}
	}
	tendAll()
	whole := hugeBytes(t)
	for _, a := range arrays {
		split(t, a)
	}
	taken := whole - hugeBytes(t)
	if taken < 16*hugePage {
		t.Skipf("the system has taken %d KiB of huge pages apart: it has none, or keeps them", taken>>10)
	}
	tendAll()
	if again := hugeBytes(t) - (whole - taken); again < taken*3/4 {
		t.Errorf("of %d KiB that were taken apart, %d are on huge pages again", taken>>10, again>>10)
	}
	runtime.KeepAlive(table)
}

func bytesOf[T any](array []T) []byte {
	var element T
	return unsafe.Slice((*byte)(unsafe.Pointer(&array[0])), len(array)*int(unsafe.Sizeof(element)))
}

// split gives a small page of each huge one of an array other rights for a moment.
func split(t *testing.T, array []byte) {
	t.Helper()
	if uintptr(unsafe.Pointer(&array[0]))%4096 != 0 {
		t.Skip("it does not begin with a page")
	}
	for at := 0; at+4096 <= len(array); at += hugePage {
		for _, rights := range []int{syscall.PROT_READ, syscall.PROT_READ | syscall.PROT_WRITE} {
			if err := syscall.Mprotect(array[at:at+4096], rights); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// refusedHugePages returns how often this system had no huge page to give.
func refusedHugePages(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/vmstat")
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(text), "thp_fault_fallback ")
	n, _, _ := strings.Cut(rest, "\n")
	return n
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
