//go:build !linux

package store

func askHugePages([]vmSlot) {}
