//go:build unix

package bench

import (
	"syscall"
	"time"
)

// clientCPU is the processor time of this process so far.
func clientCPU() time.Duration {
	var use syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		return 0
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
