package store

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// giveWay lets others have the processor who wait for it: goroutines, and threads, one
// of which has just been woken by a question. The system would let them wait for the
// end of this thread's slice, some milliseconds. Where nobody waits it takes 0.3 µs.
// Callers hold no lock.
func giveWay() {
	runtime.Gosched()
	_, _, _ = syscall.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) // not raw: a collection need not wait for its return
}

// setDirect makes the file written past the page cache, or through it.
func setDirect(f *os.File, direct bool) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err == nil {
			if flags &^= unix.O_DIRECT; direct {
				flags |= unix.O_DIRECT
			}
			_, err = unix.FcntlInt(fd, unix.F_SETFL, flags)
		}
		failed = err
	})
	if err != nil {
		return err
	}
	return failed
}
