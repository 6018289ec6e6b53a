package wal

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Whatever does not fit is refused, what fits is kept, and when there is room
// again writing goes on by itself.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	// From no room at all: for the segment's file, its header line, a frame, the
	// zeros behind it, a seal, the next segment.
	for room := int64(0); room < 12000; room += int64(stride()) {
		if room > 300 && room%97 >= int64(stride()) { // every 97th suffices
			continue
		}
		d := newDisk()
		l := mustStart(t, d, 1)
		must(t, add(l, "before"))
		want := []string{"before"}
		d.room = room
		refused := 0
		for i := range 12 {
			payload := fmt.Sprint(i, strings.Repeat(".", 100*i))
			err := add(l, payload)
			if i%5 == 4 {
				err = errors.Join(err, rotate(l))
			}
			if slices.Contains(l.payloads(t), payload) {
				want = append(want, payload)
				continue
			}
			refused++
			if !errors.Is(err, ErrNotWritten) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "d/log-") {
				t.Fatalf("with room for %d bytes, Append = %v", room, err)
			}
		}
		if err := l.Fault(); err != nil || refused == 0 && room < 4000 {
			t.Fatalf("with room for %d bytes: Fault = %v, %d refused", room, err, refused)
		}
		if room%2 == 0 { // the daemon is killed meanwhile
			l = mustStart(t, d, 1, want...)
		}
		d.room = 1 << 40
		must(t, add(l, "after"), rotate(l), add(l, "and on"))
		d.crash()
		mustStart(t, d, 1, append(want, "after", "and on")...)
	}
}

// payloads reads what is in the log's files now.
func (l *Log) payloads(t *testing.T) (payloads []string) {
	t.Helper()
	for _, n := range l.Segments() {
		content := l.opt.Files.(*disk).names[l.path(n)].live
		some, _, err := readAll(content, int64(len(Header)))
		if err != nil && n < l.number {
			some = some[:len(some)-1] // the seal
		}
		payloads = append(payloads, some...)
	}
	return payloads
}

// A segment that can not be made is made later, and what is left of the attempt
// harms nobody.
func TestSegmentIsMadeWhenItCanBe(t *testing.T) {
	for _, op := range []string{"open", "write"} {
		for _, restart := range []bool{false, true} {
			d := newDisk()
			l := mustStart(t, d, 1)
			must(t, add(l, "one"))
			d.fail = func(o, name string) error {
				if o == op && name == segmentName(2) {
					return syscall.ENOSPC
				}
				return nil
			}
			for range 3 {
				if n, err := l.Rotate(); !errors.Is(err, ErrNotWritten) || !errors.Is(err, syscall.ENOSPC) || n != 0 {
					t.Fatalf("%s fails: Rotate = %d, %v", op, n, err)
				}
				if err := add(l, "refused"); !errors.Is(err, ErrNotWritten) {
					t.Fatalf("%s fails: Append = %v", op, err)
				}
			}
			if got := l.Segments(); !slices.Equal(got, []uint64{1}) {
				t.Errorf("%s fails: Segments = %d", op, got)
			}
			if restart {
				d.crash()
				l = mustStart(t, d, 1, "one")
			}
			d.fail = nil
			if n, err := l.Rotate(); n != 2 || err != nil {
				t.Errorf("%s works again: Rotate = %d, %v", op, n, err)
			}
			must(t, add(l, "two"), l.Close())
			mustStart(t, d, 1, "one", "two")
			mustStart(t, d, 2, "two")
		}
	}
}

func TestLeftoverThatCanNotBeRemovedIsReported(t *testing.T) {
	d := newDisk()
	l := mustStart(t, d, 1)
	must(t, add(l, "one"))
	d.failAt(1, "write", syscall.ENOSPC) // the seal can be written, the header line can not
	if err := rotate(l); !errors.Is(err, ErrNotWritten) {
		t.Fatalf("Rotate = %v", err)
	}
	d.failAt(0, "remove", syscall.EACCES)
	if err := rotate(l); !errors.Is(err, ErrNotWritten) || !errors.Is(err, syscall.EACCES) {
		t.Errorf("Rotate = %v", err)
	}
	must(t, rotate(l), add(l, "two"))
	mustStart(t, d, 1, "one", "two")
}

// An fsync that fails, of a file or of the directory, or a truncation: nothing is
// acknowledged after it and the disk is not touched; what was before is kept,
// whether the process is restarted or the power goes.
func TestNothingIsAcknowledgedAfterAFailedSync(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"sync", "syncdir", "truncate"} {
		failures := 0
		for n := 0; n < 40; n += 1 + stride()/5 {
			for _, powerless := range []bool{false, true} {
				if failNth(t, op, n, powerless) {
					failures++
				}
			}
		}
		if least := map[string]int{"sync": 30, "syncdir": 8, "truncate": 6}[op]; failures < least && !testing.Short() {
			t.Errorf("%s failed in %d places, want at least %d", op, failures, least)
		}
	}
}

func failNth(t *testing.T, op string, n int, powerless bool) (failed bool) {
	d := newDisk()
	l := mustStart(t, d, 1)
	d.failAt(n, op, syscall.EIO)
	var acknowledged, doubtful []string
	for i := range 24 {
		payload := fmt.Sprint("payload ", i, strings.Repeat(".", 700))
		err := add(l, payload)
		switch {
		case err == nil:
			acknowledged = append(acknowledged, payload)
		case doubtful == nil:
			doubtful = []string{payload}
		}
		if i%8 == 7 {
			err = errors.Join(err, rotate(l), l.Remove(uint64(1+i/8)))
		}
		if fault := l.Fault(); (err == nil) != (fault == nil) {
			t.Fatalf("%s %d fails: %v, but Fault = %v", op, n, err, fault)
		} else if fault != nil && (!errors.Is(err, ErrBroken) || !errors.Is(fault, syscall.EIO) || !strings.Contains(fault.Error(), "restart")) {
			t.Fatalf("%s %d fails: %v, Fault = %v", op, n, err, fault)
		}
		if l.Fault() != nil && !failed {
			failed = true
			if doubtful == nil {
				doubtful = []string{} // Rotate or Remove failed: nothing later may be found
			}
			d.calls = 0
		}
	}
	must(t, l.Close())
	if failed && d.calls > 0 || d.open > 0 {
		t.Fatalf("%s %d fails: the disk is used %d times after it, %d files are left open", op, n, d.calls, d.open)
	}
	d.fail = nil
	if powerless {
		d.crash()
	}
	from := l.Segments()[0]
	l, got, err := start(d, from)
	if err != nil {
		t.Fatalf("%s %d fails: after a restart %v", op, n, err)
	}
	kept := len(acknowledged) - 8*int(from-1)
	if len(got) < kept || !slices.Equal(got[:kept], acknowledged[len(acknowledged)-kept:]) ||
		len(got) > kept && !slices.Equal(got[kept:], doubtful) {
		t.Fatalf("%s %d fails: %d payloads after a restart, want %d (or %d)", op, n, len(got), kept, kept+len(doubtful))
	}
	// What was read is there to stay, and so is what follows it.
	must(t, add(l, "later"))
	d.crash()
	mustStart(t, d, from, append(got, "later")...)
	return failed
}

// A file system that finds out in fsync that it is full is no better than one
// that fails otherwise; but there is something to do about it.
func TestFullDiskInSyncIsNamed(t *testing.T) {
	for _, errno := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		d := newDisk()
		l := mustStart(t, d, 1)
		d.failAt(0, "sync", errno)
		err := add(l, "x")
		if !errors.Is(err, ErrBroken) || errors.Is(err, ErrNotWritten) || !strings.Contains(err.Error(), "the disk is full") {
			t.Errorf("Append = %v", err)
		}
		if again := add(l, "y"); again == nil || again.Error() != err.Error() {
			t.Errorf("Append again = %v; want %v", again, err)
		}
	}
}

// Full, and the beginning of the frame can not be removed either.
func TestFailedTruncationBreaksTheLog(t *testing.T) {
	for _, op := range []string{"truncate", "sync"} {
		d := newDisk()
		l := mustStart(t, d, 1)
		must(t, add(l, "before"))
		d.fail = func(o, _ string) error {
			switch o {
			case "write":
				return syscall.ENOSPC
			case op:
				return syscall.EIO
			}
			return nil
		}
		err := add(l, strings.Repeat("refused ", 500))
		if !errors.Is(err, ErrBroken) || !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s fails: Append = %v", op, err)
		}
		d.fail = nil
		if err := add(l, "after"); !errors.Is(err, ErrBroken) {
			t.Errorf("%s failed: the next Append = %v", op, err)
		}
		must(t, l.Close())
		mustStart(t, d, 1, "before")
	}
}

// short is a file system whose files write less than they should and say nothing.
type short struct{ *disk }

type shortFile struct{ *handle }

func (s short) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := s.disk.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return shortFile{f.(*handle)}, nil
}

func (f shortFile) WriteAt(p []byte, offset int64) (int, error) {
	if len(p) > 200 {
		p = p[:200]
	}
	return f.handle.WriteAt(p, offset)
}

func TestShortWriteIsAnError(t *testing.T) {
	d := newDisk()
	l, err := Open("d", Options{Files: short{d}, step: 2048})
	must(t, err, l.Replay(0, nil), add(l, "one"))
	if err := add(l, strings.Repeat("two", 100)); !errors.Is(err, ErrNotWritten) {
		t.Errorf("Append = %v", err)
	}
	must(t, add(l, "three"))
	d.crash()
	mustStart(t, d, 1, "one", "three")
}

// An Open or a Replay that fails leaves the directory as good as it was.
func TestFailuresAtTheStart(t *testing.T) {
	whole, payloads, _ := threeSegments(t)
	all := slices.Concat(payloads[0], payloads[1], payloads[2])
	last := filepath.Join("d", segmentName(3))
	whole.put(last, append(whole.names[last].live, "torn"...))
	for _, op := range []string{"open", "names", "size", "chmod", "read", "write", "truncate", "sync", "syncdir"} {
		failed := false
		for n := range 20 {
			d := whole.clone()
			d.failAt(n, op, syscall.EIO)
			l, got, err := start(d, 1)
			if !slices.Equal(got, all[:len(got)]) || (err == nil) != (len(got) == len(all)) && len(got) < len(all) {
				t.Fatalf("%s %d fails: %d payloads, %v", op, n, len(got), err)
			}
			failed = failed || errors.Is(err, syscall.EIO)
			d.fail = nil
			if err == nil {
				must(t, l.Close())
			}
			if d.open != 0 {
				t.Fatalf("%s %d fails: %d files are left open", op, n, d.open)
			}
			d.crash()
			mustStart(t, d, 1, all...)
		}
		if !failed {
			t.Errorf("%s never failed", op)
		}
	}
}

func TestRemoveThatFailsGoesOnLater(t *testing.T) {
	d, payloads, _ := threeSegments(t)
	l := mustStart(t, d, 1, slices.Concat(payloads[0], payloads[1], payloads[2])...)
	d.failAt(1, "remove", syscall.EACCES)
	if err := l.Remove(3); !errors.Is(err, syscall.EACCES) || l.Fault() != nil {
		t.Errorf("Remove = %v, Fault = %v", err, l.Fault())
	}
	if got := l.Segments(); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("Segments = %d", got)
	}
	must(t, l.Remove(3), add(l, "on"))
	mustStart(t, d, 3, append(payloads[2], "on")...)
}
