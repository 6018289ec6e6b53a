//go:build !linux

package store

func askHugePages[T any]([]T) {}
