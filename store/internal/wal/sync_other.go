//go:build !linux

package wal

// SyncData is Sync where there is nothing less.
func (f systemFile) SyncData() error { return f.Sync() }
