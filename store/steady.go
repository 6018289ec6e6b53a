package store

import (
	"fmt"
	"os"
	"unsafe"
)

// A steady writes a large file while others have questions: past the page cache, where
// the file system can. What goes through the cache is copied to the disk by the
// system itself, when it likes and for milliseconds at a time, which keep questions
// waiting: beside 700 MB written so and synced every megabyte their p99 was 5 times
// as high, and no higher than else beside 700 MB written directly. Where the file
// system can not, a sync every now and then keeps the one at the end from being long,
// for which every change would wait.
type steady struct {
	file   *os.File
	buf    []byte // at an address that direct writing takes
	size   int64  // of what was written
	direct bool
	synced int // bytes since the last sync
}

const (
	steadyBytes = 1 << 20 // are written at a time
	copyPiece   = 128 << 10
	syncEvery   = 4 << 20
	diskBlock   = 4096 // bytes: of this addresses and sizes are multiples
)

func newSteady(f *os.File) *steady {
	room := make([]byte, steadyBytes+diskBlock)
	skip := -int(uintptr(unsafe.Pointer(&room[0]))) & (diskBlock - 1)
	return &steady{file: f, buf: room[skip : skip : skip+steadyBytes], direct: setDirect(f, true) == nil}
}

// Write implements io.Writer. Only after end all is in the file.
func (s *steady) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		piece := min(len(p), copyPiece, cap(s.buf)-len(s.buf))
		s.buf = append(s.buf, p[:piece]...)
		n, p = n+piece, p[piece:]
		if len(s.buf) == cap(s.buf) {
			if err := s.flush(); err != nil {
				return n, err
			}
		}
		giveWay()
	}
	return n, nil
}

func (s *steady) flush() error {
	n, err := s.file.Write(s.buf)
	if err != nil && s.direct && n == 0 && s.setIndirect() == nil { // it may be another reason: then it fails again
		n, err = s.file.Write(s.buf)
	}
	s.size += int64(n)
	s.buf = s.buf[:0]
	if s.synced += n; err == nil && !s.direct && s.synced >= syncEvery {
		s.synced = 0
		err = s.file.Sync()
	}
	return err
}

func (s *steady) setIndirect() error {
	s.direct = false
	if err := setDirect(s.file, false); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// end writes what is left, which need not be whole blocks.
func (s *steady) end() error {
	if s.direct {
		if err := s.setIndirect(); err != nil {
			return err
		}
	}
	return s.flush()
}
