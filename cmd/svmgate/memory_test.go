package main

import (
	"bytes"
	"errors"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func TestMemoryIsBoundedByTheCgroup(t *testing.T) {
	limit, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	t.Cleanup(func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	})
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	broken := func() (uint64, error) { return 0, errors.New("no cgroups") }
	tests := []struct {
		name             string
		cgroup           memlimit.Provider
		goMemLimit, gogc string
		limit            int64
		percent          int
		logged           string
	}{
		{"a container", memlimit.Limit(2 << 30), "", "", 1932735283, 50, "bytes=1932735283"},
		{"no limit", none, "", "", math.MaxInt64, 50, ""},
		{"a limit beyond reason", memlimit.Limit(math.MaxUint64), "", "", math.MaxInt64, 50, ""},
		{"no cgroups", broken, "", "", math.MaxInt64, 50, ""},
		{"GOMEMLIMIT wins", memlimit.Limit(2 << 30), "1GiB", "", math.MaxInt64, 50, ""},
		{"GOGC wins", memlimit.Limit(2 << 30), "", "200", 1932735283, 100, "bytes=1932735283"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("GOMEMLIMIT", tt.goMemLimit)
			t.Setenv("GOGC", tt.gogc)
			debug.SetMemoryLimit(math.MaxInt64)
			debug.SetGCPercent(100)
			var log bytes.Buffer
			tuneMemory(slog.New(slog.NewTextHandler(&log, nil)), tt.cgroup)
			if got := debug.SetMemoryLimit(-1); got != tt.limit {
				t.Errorf("limit %d, want %d", got, tt.limit)
			}
			if got := debug.SetGCPercent(100); got != tt.percent {
				t.Errorf("GC percent %d, want %d", got, tt.percent)
			}
			if got := log.String(); !strings.Contains(got, tt.logged) || tt.logged == "" && got != "" || strings.Count(got, "\n") > 1 {
				t.Errorf("log %q, want %q once", got, tt.logged)
			}
		})
	}
}
