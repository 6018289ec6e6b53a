package wal

import (
	"errors"
	"os"
	"syscall"
)

// SyncData is fdatasync: unlike fsync it does not write the time of the last
// change, which would be an access to the disk of its own.
func (f systemFile) SyncData() error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for failed = syscall.EINTR; errors.Is(failed, syscall.EINTR); {
			failed = syscall.Fdatasync(int(fd))
		}
	})
	if err == nil && failed != nil {
		err = &os.PathError{Op: "fdatasync", Path: f.Name(), Err: failed}
	}
	return err
}
