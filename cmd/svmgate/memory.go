package main

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

const (
	// memoryShare is the share of the cgroup's memory that the collector may let
	// this process grow to; the rest is for what Go does not count, such as the
	// page cache of what is written.
	memoryShare = 0.9
	// gcPercent lets garbage grow to half of what lives. The table has no pointers,
	// so a cycle costs next to nothing, and a heap of gigabytes shall not double.
	gcPercent = 50
)

// tuneMemory bounds the heap by what the cgroup has, according to cgroup, and
// lets it be collected more often than usual. GOMEMLIMIT and GOGC win.
func tuneMemory(log *slog.Logger, cgroup memlimit.Provider) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit, err := memlimit.ApplyRatio(cgroup, memoryShare)()
	switch {
	case errors.Is(err, memlimit.ErrNoLimit), err == nil && limit >= math.MaxInt64:
		return
	case err != nil: // no cgroups here, or none that can be read
		log.Debug("the memory limit of the cgroup is unknown", "reason", err.Error())
		return
	}
	debug.SetMemoryLimit(int64(limit))
	log.Info("the heap is bounded by the memory of the cgroup", "bytes", limit)
}
