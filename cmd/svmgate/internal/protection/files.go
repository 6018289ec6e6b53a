package protection

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// Bounds of the reports that are kept.
const (
	// KeepReports is how long a report is kept (topic 259256).
	KeepReports = 24 * time.Hour
	// MaxReports is how many reports are kept.
	MaxReports = 10_000
	// MaxReportBytes bounds all of them together; if nothing is kept on disk it is
	// MaxReportMemory.
	MaxReportBytes  = 8 << 30
	MaxReportMemory = 64 << 20
)

var (
	// ErrNoReport reports that there is no such report, or not any more.
	ErrNoReport = errors.New("protection: there is no such report")
	// ErrNoRoom is wrapped by errors that say what bound of reports was reached, or that
	// the disk is full.
	ErrNoRoom = errors.New("there is no room for another report")
)

// Files are reports that are asked for later: the Integration Server's. There are whole
// ones only: one is written under another name, synced and renamed. Its methods may be
// called from many goroutines.
type Files struct {
	dir  string // empty if they are in memory
	book *Book
	most int64

	mu    sync.Mutex
	kept  map[uuid.UUID]*keptReport
	bytes int64 // of those that are kept, and those that are being made
	count int   // likewise
}

// A keptReport is one that is there.
type keptReport struct {
	made time.Time
	size int64
	text []byte // in memory
}

const (
	reportSuffix = ".csv"
	partSuffix   = ".part" // of one that is being made
)

// NewFiles returns the reports in a directory, which is made if need be; what was left
// there by a process that was making one is removed. If dir is empty, reports are kept in
// memory. New reports are of what book has.
func NewFiles(dir string, book *Book) (*Files, error) {
	f := &Files{dir: dir, book: book, most: MaxReportMemory, kept: map[uuid.UUID]*keptReport{}}
	if dir == "" {
		return f, nil
	}
	f.most = MaxReportBytes
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("protection: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("protection: %w", err)
	}
	for _, e := range entries {
		if err := f.find(e); err != nil {
			return nil, fmt.Errorf("protection: %w", err)
		}
	}
	return f, f.Sweep(time.Now())
}

// find takes stock of a file of the directory.
func (f *Files) find(e fs.DirEntry) error {
	if strings.HasSuffix(e.Name(), partSuffix) {
		return os.Remove(filepath.Join(f.dir, e.Name()))
	}
	name, ok := strings.CutSuffix(e.Name(), reportSuffix)
	id, err := uuid.Parse(name)
	if !ok || err != nil || id.String() != name {
		return nil // nothing of ours
	}
	about, err := e.Info()
	if err != nil {
		return err
	}
	f.kept[id] = &keptReport{made: about.ModTime(), size: about.Size()}
	f.bytes += about.Size()
	f.count++
	return nil
}

func (f *Files) path(id uuid.UUID) string { return filepath.Join(f.dir, id.String()+reportSuffix) }

// Make makes a report. It is there when Make returns, and on disk; or there is an error,
// and nothing is left of it. The error wraps [ErrNoRoom], or is that of ctx or of the
// disk.
func (f *Files) Make(ctx context.Context, id uuid.UUID, q Query) (err error) {
	w := &reportWriter{ctx: ctx, files: f}
	if err := w.enter(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			w.leave()
		}
	}()
	if f.dir == "" {
		var text bytes.Buffer
		w.to = &text
		if err := f.book.Write(w, CSV, q); err != nil {
			return err
		}
		f.keep(id, &keptReport{made: time.Now(), size: w.size, text: text.Bytes()})
		return nil
	}
	if err := f.toDisk(w, id, q); err != nil {
		_ = os.Remove(f.path(id) + partSuffix)
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: %w", ErrNoRoom, err)
		}
		return err
	}
	f.keep(id, &keptReport{made: time.Now(), size: w.size})
	return nil
}

func (f *Files) toDisk(w *reportWriter, id uuid.UUID, q Query) error {
	part := f.path(id) + partSuffix
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w.to = file
	err = f.book.Write(w, CSV, q)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(part, f.path(id)); err != nil {
		return err
	}
	return f.syncDir()
}

func (f *Files) syncDir() error {
	dir, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (f *Files) keep(id uuid.UUID, r *keptReport) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kept[id] = r
}

// A reportWriter is a report in the making: its bytes count from the first.
type reportWriter struct {
	ctx   context.Context
	files *Files
	to    io.Writer
	size  int64
}

func (w *reportWriter) enter() error {
	w.files.mu.Lock()
	defer w.files.mu.Unlock()
	if w.files.count >= MaxReports {
		return fmt.Errorf("%w: %d are kept, each for %v", ErrNoRoom, w.files.count, KeepReports)
	}
	w.files.count++
	return nil
}

func (w *reportWriter) leave() {
	w.files.mu.Lock()
	defer w.files.mu.Unlock()
	w.files.count--
	w.files.bytes -= w.size
}

// Write implements [io.Writer].
func (w *reportWriter) Write(p []byte) (int, error) {
	if err := context.Cause(w.ctx); err != nil {
		return 0, err
	}
	f := w.files
	f.mu.Lock()
	if f.bytes+int64(len(p)) > f.most {
		f.mu.Unlock()
		return 0, fmt.Errorf("%w: those of the last %v would have more than %d bytes", ErrNoRoom, KeepReports, f.most)
	}
	f.bytes += int64(len(p))
	w.size += int64(len(p))
	f.mu.Unlock()
	return w.to.Write(p)
}

// A Report can be read. It is for one goroutine. Close it when done.
type Report interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

type fileReport struct {
	*os.File
	size int64
}

func (r fileReport) Size() int64 { return r.size }

type memoryReport struct{ *bytes.Reader }

func (memoryReport) Close() error { return nil }

// Open returns a report. The error wraps [ErrNoReport], or is one of the disk.
func (f *Files) Open(id uuid.UUID) (Report, error) {
	f.mu.Lock()
	r := f.kept[id]
	f.mu.Unlock()
	switch {
	case r == nil:
		return nil, ErrNoReport
	case f.dir == "":
		return memoryReport{bytes.NewReader(r.text)}, nil
	}
	file, err := os.Open(f.path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoReport
	}
	if err != nil {
		return nil, err
	}
	return fileReport{file, r.size}, nil
}

// Remove removes a report, if it is there. Who reads it may go on.
func (f *Files) Remove(id uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.removeLocked(id)
}

func (f *Files) removeLocked(id uuid.UUID) error {
	r := f.kept[id]
	if r == nil {
		return nil
	}
	if f.dir != "" {
		if err := os.Remove(f.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	delete(f.kept, id)
	f.bytes -= r.size
	f.count--
	return nil
}

// Sweep removes reports that have been kept for long enough.
func (f *Files) Sweep(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var failed error
	for id, r := range f.kept {
		if now.Sub(r.made) >= KeepReports {
			failed = errors.Join(failed, f.removeLocked(id))
		}
	}
	return failed
}

// sweepEvery is how often reports are looked through that may be too old.
const sweepEvery = time.Minute

// Run sweeps every minute, until ctx ends.
func (f *Files) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := f.Sweep(now); err != nil {
				f.book.cfg.Log.Warn("an old report can not be removed; it is tried again", "reason", err.Error())
			}
		}
	}
}

// Kept returns how many reports there are, how many bytes they have, and their ids.
func (f *Files) Kept() (ids []uuid.UUID, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Collect(maps.Keys(f.kept)), f.bytes
}
