package journals

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"github.com/svmgate/svmgate/store"
)

// RaftWAL is hashicorp/raft-wal as a [store.Journal], as well as it can be
// adapted: each Append is one entry of the log. What raft-wal leaves open is
// closed here:
//
//   - It does not check checksums on reading: entries carry one of their own.
//   - What is lost at the end of its newest file looks to it like a crash: Close
//     notes how far the log went, and Replay misses what is missing.
//   - It goes on after an fsync that failed: this does not.
//   - A change of files that failed in its background, as on a full disk, is only
//     logged, and every later append fails: the log is opened again.
//   - A stop between the last append to a file and the change to the next leaves
//     a log that never takes an append again: see heal.
//   - A second process would wait for the first for ever: a lock refuses it.
type RaftWAL struct {
	dir      string
	segments int
	lock     *os.File
	log      *wal.WAL // nil after it could not be opened again
	last     uint64   // index of the last entry
	buf      []byte
	broken   error
	behind   atomic.Pointer[error] // what failed in raft-wal's background

	// Reopened counts how often the log had to be opened again to take an append,
	// Healed how often that did not suffice.
	Reopened, Healed int
}

// Keys in raft-wal's store for small things.
var (
	endKey    = []byte("end")    // an index that the log has reached
	rescueKey = []byte("rescue") // the index of the entry under rescueData
	rescued   = []byte("rescued")
)

// OpenRaftWAL opens the journal in dir, which is made if need be. Its files have
// the size segments; 0 is raft-wal's default, 64 MiB.
func OpenRaftWAL(dir string, segments int) (*RaftWAL, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	j := &RaftWAL{dir: dir, segments: segments, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%s is in use by another process: %w", dir, err)
	}
	if err := j.open(); err != nil {
		_ = j.Close()
		return nil, err
	}
	return j, nil
}

func (j *RaftWAL) open() error {
	log, err := wal.Open(j.dir, wal.WithSegmentSize(j.segments), wal.WithLogger(&listener{hclog.NewNullLogger(), &j.behind}))
	if err != nil {
		return fmt.Errorf("%s: %w", j.dir, err)
	}
	j.log = log
	if j.last, err = log.LastIndex(); err != nil {
		return fmt.Errorf("%s: %w", j.dir, err)
	}
	return j.finishHealing()
}

// listener receives the errors that raft-wal only logs.
type listener struct {
	hclog.Logger
	behind *atomic.Pointer[error]
}

func (l *listener) Error(_ string, args ...any) {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			l.behind.Store(&err)
		}
	}
}

// Replay implements [store.Journal].
func (j *RaftWAL) Replay(fn func(store.Record) error) error {
	first, err := j.log.FirstIndex()
	if err != nil {
		return err
	}
	end, err := j.log.GetUint64(endKey)
	if err != nil {
		return err
	}
	if j.last < end {
		return fmt.Errorf("%s is damaged: the log ends after entry %d, and once had %d", j.dir, j.last, end)
	}
	var entry raft.Log
	for i := max(first, 1); i <= j.last; i++ {
		if err := j.log.GetLog(i, &entry); err != nil {
			return fmt.Errorf("%s: entry %d: %w", j.dir, i, err)
		}
		if entry.Index != i {
			return fmt.Errorf("%s: entry %d: %w", j.dir, i, errDamaged)
		}
		if err := readEntry(entry.Data, fn); err != nil {
			return fmt.Errorf("%s: entry %d: %w", j.dir, i, err)
		}
	}
	return nil
}

// Append implements [store.Journal].
func (j *RaftWAL) Append(records []store.Record) error {
	if j.broken != nil {
		return j.broken
	}
	if len(records) == 0 {
		return nil
	}
	j.buf = appendEntry(j.buf[:0], records)
	err := j.store(j.buf)
	if errors.Is(err, wal.ErrSealed) || errors.Is(err, wal.ErrClosed) {
		j.Reopened++
		if err = j.reopen(); err == nil {
			err = j.store(j.buf)
		}
	}
	if errors.Is(err, wal.ErrSealed) {
		j.Healed++
		if err = j.heal(); err == nil {
			err = j.store(j.buf)
		}
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%w: %s: %w", store.ErrReadOnly, j.dir, err)
	if failedSync(err) {
		j.broken = err
	}
	return err
}

func (j *RaftWAL) store(data []byte) error {
	if j.log == nil {
		return wal.ErrClosed
	}
	if err := j.log.StoreLog(&raft.Log{Index: j.last + 1, Data: data}); err != nil {
		return err
	}
	j.last++
	return nil
}

// failedSync reports whether err says that what was written may not be on disk.
// raft-wal's store for small things reports the bare number of the error.
func failedSync(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && path.Op == "sync" || errors.Is(err, syscall.EIO)
}

// reopen opens the log again after a change of files that failed, unless an
// fsync is what failed.
func (j *RaftWAL) reopen() error {
	if behind := j.behind.Swap(nil); behind != nil && failedSync(*behind) {
		return *behind
	}
	j.shut()
	return j.open()
}

// shut closes the log, to be opened again.
func (j *RaftWAL) shut() {
	if j.log != nil {
		_ = j.log.Close() // whatever it says, opening finds out
		j.log = nil
	}
}

// Close implements [store.Journal].
func (j *RaftWAL) Close() error {
	var err error
	if j.log != nil {
		// Deleting nothing waits for a change of files that is under way: to close
		// before it is done would leave a log that takes no append.
		_ = j.log.DeleteRange(j.last+1, j.last+1)
		if j.broken == nil {
			err = j.log.SetUint64(endKey, j.last)
		}
		err = errors.Join(err, j.log.Close())
	}
	return errors.Join(err, j.lock.Close())
}
