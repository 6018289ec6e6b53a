package wal

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Header is the line that a segment of a log begins with.
const Header = "svmgate log 1\n"

var (
	// ErrNotWritten reports that nothing was written, mostly because the disk is
	// full. The log is as it was, and the next call tries anew.
	ErrNotWritten = errors.New("the log can not be written")

	// ErrBroken reports a log that takes no more writes until it is opened anew,
	// because the state of the disk is not known.
	ErrBroken = errors.New("the log is broken")
)

// Options configure a [Log]. The zero value is fine.
type Options struct {
	// SegmentBytes is the length of a segment after which the next one begins.
	// If 0, it is 64 MiB.
	SegmentBytes int64

	// First is the number of the first segment of all. If 0, it is 1.
	First uint64

	// Files is where the log is. If nil, it is the operating system's.
	Files FileSystem

	step int64 // roomStep; tests make do with less
}

// A Log is a log in a directory, which nobody else may write to: the caller holds
// its lock. Replay comes first, once; then the other methods. They are called by
// one goroutine at a time, except Fault, Segments and Bytes.
type Log struct {
	dir      string
	opt      Options
	folder   File // the directory
	replayed bool
	closed   bool
	dropped  int64

	// The present segment. Without a file it is still to be made; halfMade says
	// that there may be a beginning of it on disk.
	number   uint64
	file     File
	size     int64 // in bytes, of what is whole and on disk
	room     int64 // up to where zeros stand behind it, on disk
	halfMade bool

	mu       sync.Mutex // never held during I/O
	segments []segment  // on disk, ascending
	fault    error
}

type segment struct {
	number uint64
	size   int64
}

// Open opens the log in dir, which exists. It reads nothing but names and sizes.
func Open(dir string, opt Options) (*Log, error) {
	opt.SegmentBytes = cmp.Or(opt.SegmentBytes, 64<<20)
	opt.First = cmp.Or(opt.First, 1)
	opt.step = cmp.Or(opt.step, roomStep)
	if opt.Files == nil {
		opt.Files = system{}
	}
	folder, err := opt.Files.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	l := &Log{dir: dir, opt: opt, folder: folder}
	if err := l.list(); err != nil {
		_ = folder.Close()
		return nil, err
	}
	return l, nil
}

func (l *Log) list() error {
	names, err := l.opt.Files.Names(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		number, ok := segmentNumber(name)
		if !ok {
			continue
		}
		file, size, err := l.openSegment(number, os.O_RDONLY)
		if err != nil {
			return err
		}
		_ = file.Close()
		l.segments = append(l.segments, segment{number, size})
	}
	slices.SortFunc(l.segments, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	return nil
}

func segmentName(number uint64) string { return fmt.Sprintf("log-%016x", number) }

func segmentNumber(name string) (uint64, bool) {
	digits, _ := strings.CutPrefix(name, "log-")
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, err == nil && name == segmentName(number)
}

func (l *Log) path(number uint64) string { return filepath.Join(l.dir, segmentName(number)) }

func (l *Log) openSegment(number uint64, flag int) (file File, size int64, err error) {
	file, err = l.opt.Files.OpenFile(l.path(number), flag, 0)
	if err != nil {
		return nil, 0, err
	}
	if size, err = file.Size(); err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, size, nil
}

// Segments returns the numbers of the segments on disk, ascending. It may be
// called at any time.
func (l *Log) Segments() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	numbers := make([]uint64, len(l.segments))
	for i, s := range l.segments {
		numbers[i] = s.number
	}
	return numbers
}

// Bytes returns the size of the segments with numbers from on, in bytes. It may
// be called at any time.
func (l *Log) Bytes(from uint64) (sum int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if s.number >= from {
			sum += s.size
		}
	}
	return sum
}

// Fault returns why nothing can be written until the log is opened anew, which
// wraps [ErrBroken]; nil if all is well or the disk is just full. It may be called
// at any time.
func (l *Log) Fault() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fault
}

// Dropped returns how many bytes at the end of the log Replay dropped, of a frame
// that a crash had cut.
func (l *Log) Dropped() int64 { return l.dropped }

func (l *Log) ready() error {
	switch {
	case l.closed:
		return fmt.Errorf("%w: %w", ErrNotWritten, os.ErrClosed)
	case !l.replayed:
		return fmt.Errorf("%w: it was not replayed", ErrNotWritten)
	}
	return l.Fault()
}

// AppendInPlace appends a payload as one frame, which is on disk when it returns
// nil. The payload is what follows the first [FrameHeader] bytes of frame, which
// are overwritten; nothing is retained. An empty payload is not appended.
//
// An error wraps [ErrNotWritten] if the log is as before and the next call may
// succeed, and [ErrBroken] if no call will.
func (l *Log) AppendInPlace(frame []byte) error {
	if err := l.ready(); err != nil {
		return err
	}
	payload := frame[FrameHeader:]
	if len(payload) == 0 {
		return nil
	}
	if len(payload) > MaxFrame {
		return fmt.Errorf("%w: a change of %d bytes is over the limit of %d: make it in parts", ErrNotWritten, len(payload), MaxFrame)
	}
	if l.file != nil && l.size > l.opt.SegmentBytes {
		if err := l.seal(); err != nil {
			return err
		}
	}
	if l.file == nil {
		if err := l.makeSegment(); err != nil {
			return err
		}
	}
	head := FrameHead(payload)
	copy(frame, head[:])
	return l.write(frame)
}

// Rotate seals the present segment and makes the next, into which the next Append
// writes. It returns its number. A segment in which there is nothing yet stays
// the present one. Errors are as of AppendInPlace, and nothing is lost.
func (l *Log) Rotate() (uint64, error) {
	if err := l.ready(); err != nil {
		return 0, err
	}
	if l.file != nil && l.size > int64(len(Header)) {
		if err := l.seal(); err != nil {
			return 0, err
		}
	}
	if l.file == nil {
		if err := l.makeSegment(); err != nil {
			return 0, err
		}
	}
	return l.number, nil
}

// Remove removes the segments with numbers less than before, oldest first. The
// present segment is not among them.
func (l *Log) Remove(before uint64) error {
	if err := l.ready(); err != nil {
		return err
	}
	if before > l.number {
		return fmt.Errorf("%s is in use and can not be removed", l.path(l.number))
	}
	removed := false
	for _, number := range l.Segments() {
		if number >= before {
			break
		}
		if err := l.opt.Files.Remove(l.path(number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		removed = true
		l.mu.Lock()
		l.segments = l.segments[1:]
		l.mu.Unlock()
	}
	if !removed {
		return nil
	}
	if err := l.folder.Sync(); err != nil {
		return l.breakDown(err)
	}
	return nil
}

// Close seals the log, unless it is broken, and closes its files.
func (l *Log) Close() error {
	if l.closed {
		return nil
	}
	var err error
	if l.file != nil && l.size > int64(len(Header)) && l.Fault() == nil {
		err = l.seal()
	}
	l.closed = true
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	return errors.Join(err, l.folder.Close())
}
