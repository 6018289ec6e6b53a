package wal

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// A FileSystem is what a [Log] needs of an operating system. Tests have one that
// fails.
type FileSystem interface {
	// OpenFile opens a file, or a directory, as os.OpenFile does.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)

	// Names returns the names of what is in a directory.
	Names(dir string) ([]string, error)

	// Remove removes a file.
	Remove(name string) error
}

// A File is an open file, as [os.File] is. Of a directory only Sync and Close are
// used.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Truncate(size int64) error

	// Sync makes the contents and the size durable.
	Sync() error

	// SyncData makes the contents durable, up to the size that was synced last.
	SyncData() error

	Chmod(mode fs.FileMode) error
}

// system is the operating system's file system.
type system struct{}

func (system) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return systemFile{f}, nil
}

func (system) Names(dir string) (names []string, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err = d.Readdirnames(-1)
	return names, errors.Join(err, d.Close())
}

func (system) Remove(name string) error { return os.Remove(name) }

type systemFile struct{ *os.File }

func (f systemFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
