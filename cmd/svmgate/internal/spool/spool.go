// Package spool keeps what a client sends until all of it has arrived, so that it
// can be read more than once, and at any place.
//
// Up to [MaxMemory] bytes stay in memory, more goes to a temporary file that has
// no name any more once it is made: nothing stays behind, however the process
// ends.
package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// MaxMemory is how many bytes stay in memory.
const MaxMemory = 4 << 20

// ErrTooLarge is wrapped by the error for more than may come.
var ErrTooLarge = errors.New("too large")

// A Spool is what has arrived. Many goroutines may read it. Close it when done.
type Spool struct {
	io.ReaderAt
	size int64
	file *os.File // nil if all of it is in memory
}

// Read reads r to its end, most bytes at most; more is an error that wraps
// [ErrTooLarge]. Temporary files are made in dir; if that is empty, in the
// system's directory for them.
func Read(r io.Reader, most int64, dir string) (*Spool, error) {
	head, err := io.ReadAll(io.LimitReader(r, min(most, MaxMemory)+1))
	if err != nil {
		return nil, err
	}
	if int64(len(head)) > most {
		return nil, tooLarge(most)
	}
	if len(head) <= MaxMemory {
		return &Spool{ReaderAt: bytes.NewReader(head), size: int64(len(head))}, nil
	}
	file, err := os.CreateTemp(dir, "svmgate-*")
	if err != nil {
		return nil, fmt.Errorf("keep what arrives in a temporary file: %w", err)
	}
	s := &Spool{ReaderAt: file, file: file}
	_ = os.Remove(file.Name()) // a system that does not remove open files leaves it to Close
	s.size, err = io.Copy(file, io.MultiReader(bytes.NewReader(head), io.LimitReader(r, most-int64(len(head))+1)))
	if err == nil && s.size > most {
		err = tooLarge(most)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func tooLarge(most int64) error { return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, most) }

// Size returns how many bytes have arrived.
func (s *Spool) Size() int64 { return s.size }

// Open returns a reader of all of it, from the start.
func (s *Spool) Open() io.Reader { return io.NewSectionReader(s, 0, s.size) }

// Close lets go of what has arrived.
func (s *Spool) Close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}
