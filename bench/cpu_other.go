//go:build !unix

package bench

import "time"

// clientCPU is 0: not known here.
func clientCPU() time.Duration { return 0 }
