package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// Replay calls fn with every payload in the segments with numbers from on, in the
// order of the Appends; 0 stands for the first of all. It is called once, before
// anything is appended. The payload is valid until fn returns.
//
// In the last segment a frame that a crash has cut is dropped. All else that is
// amiss is an error that names the file, and the byte if there is one; damage is a
// [*DamageError]. A missing segment is an error, too, unless there is none at all:
// then the log begins with from.
func (l *Log) Replay(from uint64, fn func(segment uint64, offset int64, payload []byte) error) error {
	if l.replayed || l.closed {
		return errors.New("the log was replayed or closed before")
	}
	if from == 0 {
		from = l.opt.First
	}
	numbers := l.Segments()
	numbers = numbers[max(0, slices.IndexFunc(append(numbers, from), func(n uint64) bool { return n >= from })):]
	for i, number := range numbers {
		if want := from + uint64(i); number != want {
			return fmt.Errorf("%s is missing, yet there is %s", l.path(want), l.path(number))
		}
	}
	l.number = from
	for i, number := range numbers {
		l.number = number
		if err := l.replaySegment(i == len(numbers)-1, fn); err != nil {
			return err
		}
	}
	if len(numbers) == 0 {
		if err := l.makeSegment(); err != nil {
			return err
		}
	}
	l.replayed = true
	return nil
}

func (l *Log) replaySegment(last bool, fn func(uint64, int64, []byte) error) (err error) {
	flag := os.O_RDONLY
	if last {
		flag = os.O_RDWR
	}
	file, size, err := l.openSegment(l.number, flag)
	if err != nil {
		return err
	}
	defer func() {
		if l.file != file {
			err = errors.Join(err, file.Close())
		}
	}()
	if err := file.Chmod(0o600); err != nil { // a copy may have come with other rights
		return err
	}
	path := l.path(l.number)
	end, err := l.readSegment(file, size, fn)
	switch {
	case errors.Is(err, ErrTorn):
		if !last {
			return fmt.Errorf("%s is damaged: %w, yet other segments follow", path, &DamageError{end.whole, badEnd})
		}
		return l.resume(file, size, end)
	case err != nil:
		return err
	case !end.sealed && !last:
		return fmt.Errorf("%s is damaged: %w, yet other segments follow", path, &DamageError{end.whole, noSeal})
	case last:
		return l.resume(file, size, end)
	}
	return nil
}

const (
	noSeal     = "is missing: the file ends without its seal"
	behindSeal = "stands behind the seal of the file"
)

// An ending is what was found at the end of a segment.
type ending struct {
	whole  int64 // where the last whole frame ends; 0 if even the header line is cut
	last   int64 // where it begins; 0 if it is the header line
	sealed bool
}

func (l *Log) readSegment(file File, size int64, fn func(uint64, int64, []byte) error) (end ending, err error) {
	path := l.path(l.number)
	if err := CheckHeader(file, size, Header); err != nil {
		return end, fmt.Errorf("%s %w", path, err)
	}
	end.whole = int64(len(Header))
	frames := ReadFrames(file, size, end.whole)
	for {
		offset, payload, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return end, nil
		}
		if err == nil && end.sealed {
			err = &DamageError{offset, behindSeal}
		}
		if damage := (*DamageError)(nil); errors.As(err, &damage) {
			return end, fmt.Errorf("%s is damaged: %w", path, damage)
		}
		if err != nil {
			return end, fmt.Errorf("%s: %w", path, err)
		}
		if len(payload) > 0 {
			if err := fn(l.number, offset, payload); err != nil {
				return end, fmt.Errorf("%s: frame at byte %d: %w", path, offset, err)
			}
		}
		end = ending{whole: offset + FrameHeader + int64(len(payload)), last: offset, sealed: len(payload) == 0}
	}
}

// resume makes the log go on where the last segment ends.
func (l *Log) resume(file File, size int64, end ending) (err error) {
	if end.whole == 0 { // it was being made
		l.halfMade = true
		l.setLast(-1)
		return nil
	}
	if l.dropped, err = written(file, end.whole, size); err != nil {
		return err
	}
	if size > end.whole {
		// Zeros, or a frame that was never acknowledged: later ones must not stand behind it.
		if err := file.Truncate(end.whole); err != nil {
			return err
		}
	}
	if err := l.settle(file, end); err != nil {
		return err
	}
	l.setLast(end.whole)
	if end.sealed {
		l.number++
		return nil
	}
	l.file, l.size, l.room = file, end.whole, end.whole
	return nil
}

// written returns how much stands between two offsets of a file, less the zeros
// at its end.
func written(r io.ReaderAt, from, to int64) (n int64, err error) {
	buf := make([]byte, min(windowSize, to-from))
	for at := from; at < to; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), to-at)]
		if err := readAt(r, buf, at); err != nil {
			return 0, err
		}
		if some := bytes.TrimRight(buf, "\x00"); len(some) > 0 {
			n = at + int64(len(some)) - from
		}
	}
	return n, nil
}

// setLast sets the size of the last segment. If negative, there is none.
func (l *Log) setLast(size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.segments) - 1
	if size < 0 {
		l.segments = l.segments[:last]
		return
	}
	l.segments[last].size = size
}

// settle makes sure that what was read is on disk, before anything relies on it:
// the process may have died before its last fsync, or because that failed. After
// a failure the kernel takes pages for written that are not, and another fsync
// would not write them; so the last frame is written anew, byte for byte. All
// before it were synced before it was written.
func (l *Log) settle(file File, end ending) error {
	buf := make([]byte, min(windowSize, end.whole-end.last))
	for at := end.last; at < end.whole; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), end.whole-at)]
		if err := readAt(file, buf, at); err != nil {
			return err
		}
		if err := writeAt(file, buf, at); err != nil {
			return err
		}
	}
	if err := file.Sync(); err != nil {
		return l.breakDown(err)
	}
	if err := l.folder.Sync(); err != nil {
		return l.breakDown(err)
	}
	return nil
}
