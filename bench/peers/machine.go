package main

import (
	"cmp"
	"context"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// kernel returns the release of the one that runs.
func kernel() string {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(name.Release[:])
}

// loadavg returns how many threads wanted a processor in the last minute.
func loadavg() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return cmp.Or(first, "unknown")
}

// commit names the state of the sources that are here.
func commit(ctx context.Context) string {
	text, err := command(ctx, "", "git", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(text)
}

// moduleVersion returns the version of a module that this program was built with.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}
