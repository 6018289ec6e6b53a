package store

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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// A Dir is a data directory: where a table lasts. It holds
//
//	journal               a line that says which release wrote the rest
//	log-N                 the log, in segments: all changes, in order
//	snapshot-N            all records, as they were when segment N began or later
//	lock                  locked by the process that has the directory open
//	aside-TIME            a directory: what SetAside put there
//
// and is read by taking the newest snapshot and merging the log from segment N
// on into it. Because merging does not mind what comes twice, a snapshot is
// scanned while writers go on: whatever it misses, or has already, is in the log.
//
// Two snapshots are kept, and the log from the older one on: should the newer be
// damaged, nothing is lost. Every file is a header line and frames with checksums,
// and is for its owner only.
//
// A Dir is a [Journal]. Open it with [OpenDir], give it to [Open]; the table
// closes it.
type Dir struct {
	path string
	opt  wal.Options
	lock *os.File
	log  *wal.Log
	old  *os.File // the journal of release 1, until it is converted
	buf  []byte   // of Append

	mu        sync.Mutex
	snapshots []snapshotFile // newest first
	damaged   []snapshotFile // passed over at the start, or not removed; the next snapshot takes their place
	failures  uint64
	written   uint64
	refused   atomic.Bool // the last Append
}

// A snapshotFile is a snapshot on disk, not necessarily a good one.
type snapshotFile struct {
	number uint64 // of the first segment that is not in it
	bytes  int64
	made   time.Time
}

const (
	formatName  = "journal" // which is where release 1 had its records
	lockName    = "lock"
	formatLine  = "svmgate journal 2\n"
	formatLine1 = "svmgate journal 1\n"
	partial     = ".partial" // end of the name of what is not finished

	// A log that is all there is begins with the first segment. One that has a
	// snapshot in front of it, of a backup or of release 1, begins with the second:
	// without that snapshot it does not pass for all.
	firstSegment = 1
	firstBehind  = 2
)

// OpenDir opens the data directory dir, which is made if need be. The error says
// so if another process has it open, or if a newer release has written it.
func OpenDir(dir string) (*Dir, error) { return openDirWith(dir, wal.Options{}) }

// openDirWith is OpenDir for tests that have a disk, or a length of segments, of
// their own.
func openDirWith(dir string, opt wal.Options) (*Dir, error) {
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("store: data directory: %w", err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	d := &Dir{path: dir, opt: opt, lock: lock}
	if err := d.open(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// makeDir makes dir and what is missing above it.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	above := filepath.Dir(dir)
	if err := makeDir(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return syncDir(above)
}

func lockDir(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: data directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("store: data directory %s is in use by another process: %w", dir, err)
	}
	return lock, nil
}

func (d *Dir) open() error {
	if err := d.checkFormat(); err != nil {
		return err
	}
	names, err := readNames(d.path)
	if err != nil {
		return fmt.Errorf("store: data directory: %w", err)
	}
	for _, name := range names {
		if err := d.tidy(name); err != nil {
			return fmt.Errorf("store: data directory: %w", err)
		}
	}
	if d.snapshots, err = listSnapshots(d.path, names); err != nil {
		return fmt.Errorf("store: data directory: %w", err)
	}
	d.opt.First = firstSegment
	if d.old != nil {
		d.opt.First = firstBehind
	}
	if d.log, err = wal.Open(d.path, d.opt); err != nil {
		return fmt.Errorf("store: data directory: %w", err)
	}
	return nil
}

// tidy removes what a crash has left unfinished, and keeps the rest from others: a
// copy may have come with other rights. It touches nothing that is not ours.
func (d *Dir) tidy(name string) error {
	path := filepath.Join(d.path, name)
	whole, unfinished := strings.CutSuffix(name, partial)
	_, snapshot := snapshotNumber(whole)
	_, segment := wal.SegmentNumber(name)
	switch {
	case unfinished && (snapshot || whole == formatName):
		return os.Remove(path)
	case segment, snapshot, name == formatName:
		return os.Chmod(path, 0o600)
	}
	return nil
}

// checkFormat finds out which release wrote the directory, and marks one that is
// new as written by this.
func (d *Dir) checkFormat() error {
	path := filepath.Join(d.path, formatName)
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return d.begin()
	}
	if err != nil {
		return fmt.Errorf("store: data directory: %w", err)
	}
	format, err := readFormat(f)
	switch {
	case err == nil && format == 1:
		d.old = f
		return nil
	case err == nil:
		return f.Close()
	case errors.Is(err, wal.ErrTorn): // release 1 was making it, and had not written to it
		return errors.Join(f.Close(), d.mark())
	}
	return errors.Join(fmt.Errorf("%s %w", path, err), f.Close())
}

// readFormat returns the number of the release that wrote a directory.
func readFormat(f *os.File) (int, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if wal.CheckHeader(f, info.Size(), formatLine1) == nil {
		return 1, nil
	}
	return 2, wal.CheckHeader(f, info.Size(), formatLine)
}

// begin marks a directory that is new. One that has files of ours is not: the mark
// comes before them, and last only in Restore.
func (d *Dir) begin() error {
	names, err := readNames(d.path)
	if err == nil {
		err = resumeAside(d.path, names)
	}
	if err == nil {
		names, err = readNames(d.path)
	}
	if err != nil {
		return fmt.Errorf("store: data directory: %w", err)
	}
	for _, name := range names {
		_, segment := wal.SegmentNumber(name)
		_, snapshot := snapshotNumber(strings.TrimSuffix(name, partial))
		if segment || snapshot {
			return fmt.Errorf("store: %s is missing, yet there is %s: if a restore was cut short, repeat it; "+
				"if the file was lost, make it anew, with one line: %q",
				filepath.Join(d.path, formatName), name, strings.TrimSpace(formatLine))
		}
	}
	return d.mark()
}

// mark marks the directory as written by this release, also for the eyes of
// release 1, which would otherwise find no journal and begin anew.
func (d *Dir) mark() error {
	path := filepath.Join(d.path, formatName)
	err := writeWhole(path, func(f *os.File) error {
		_, err := f.WriteString(formatLine)
		return err
	})
	if err != nil {
		return fmt.Errorf("store: data directory: %w", err)
	}
	return nil
}

// writeWhole makes a file that is there with all of its contents or not at all.
func writeWhole(path string, write func(*os.File) error) error {
	f, err := os.OpenFile(path+partial, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+partial, path)
	}
	if err != nil {
		_ = os.Remove(path + partial)
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readNames(dir string) (names []string, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	names, err = d.Readdirnames(-1)
	slices.Sort(names)
	return names, errors.Join(err, d.Close())
}

func snapshotName(number uint64) string { return fmt.Sprintf("snapshot-%016x", number) }

func snapshotNumber(name string) (number uint64, ok bool) {
	digits, _ := strings.CutPrefix(name, "snapshot-")
	number, err := strconv.ParseUint(digits, 16, 64)
	return number, err == nil && name == snapshotName(number)
}

func listSnapshots(dir string, names []string) (list []snapshotFile, err error) {
	for _, name := range names {
		number, ok := snapshotNumber(name)
		if !ok {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		list = append(list, snapshotFile{number: number, bytes: info.Size(), made: info.ModTime()})
	}
	slices.SortFunc(list, func(a, b snapshotFile) int { return cmp.Compare(b.number, a.number) })
	return list, nil
}

func (d *Dir) snapshotPath(number uint64) string { return filepath.Join(d.path, snapshotName(number)) }

// Append implements [Journal]: the records are one frame of the log.
func (d *Dir) Append(records []Record) error {
	d.buf = append(d.buf[:0], make([]byte, wal.FrameHeader)...)
	for i := range records {
		d.buf = appendRecord(d.buf, &records[i])
	}
	err := d.log.AppendInPlace(d.buf)
	if cap(d.buf) > 1<<24 {
		d.buf = nil
	}
	d.refused.Store(err != nil)
	if errors.Is(err, wal.ErrBroken) {
		return fmt.Errorf("%w: %w: %w", ErrReadOnly, ErrInDoubt, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return nil
}

// Close implements [Journal].
func (d *Dir) Close() error {
	var err error
	if d.log != nil {
		err = d.log.Close()
	}
	if d.old != nil {
		err = errors.Join(err, d.old.Close())
	}
	return errors.Join(err, d.lock.Close())
}
