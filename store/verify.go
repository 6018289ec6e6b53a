package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// Progress is told how far a job has come, in bytes; total does not change. It
// may be nil.
type Progress func(done, total int64)

// A Summary says what is in a backup or a data directory.
type Summary struct {
	Files      int            `json:"files,omitempty"`
	Bytes      int64          `json:"bytes,omitempty"`
	Records    int64          `json:"records"` // that are not tombstones
	Tombstones int64          `json:"tombstones"`
	Kinds      map[Kind]int64 `json:"kinds"` // records by kind

	// Cut is how many bytes at the end of the log a crash has cut before they were
	// acknowledged. That is no damage.
	Cut int64 `json:"cut,omitempty"`
}

func (s *Summary) add(r *Record) {
	if r.Key.isFloor() { // it says what is not there
		return
	}
	if r.Deleted() {
		s.Tombstones++
		return
	}
	if s.Kinds == nil {
		s.Kinds = map[Kind]int64{}
	}
	s.Records++
	s.Kinds[r.Key.Kind]++
}

// A Damage is something in a file that is not what was written.
type Damage struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"` // in bytes, of the frame that has it
	Record string `json:"record"` // key of the record that is hurt; empty if it is not one record
	Reason string `json:"reason"`
}

func (d Damage) String() string {
	if d.Record == "" {
		return fmt.Sprintf("%s: byte %d: %s", d.File, d.Offset, d.Reason)
	}
	return fmt.Sprintf("%s: byte %d: record %s: %s", d.File, d.Offset, d.Record, d.Reason)
}

// Verify reads the data directory dir to its end and reports everything that is
// damaged, record by record where the damage lets them be told apart. It changes
// nothing; a process may have the directory open, and what that writes meanwhile
// is not looked at. The Summary counts what is on disk: a record that was written
// often, or is in both snapshots, counts each time. The error is one of reading.
//
// It can not tell damage to the end of a log without a seal from a crash, which
// [Summary] counts as Cut, nor miss what left no gap: the last segment, or the
// newer of the snapshots.
func Verify(dir string, p Progress, report func(Damage)) (Summary, error) {
	v := &verifier{tell: report, progress: p}
	names, err := readNames(dir)
	if err != nil {
		return v.sum, err
	}
	files, err := v.files(dir, names)
	if err != nil {
		return v.sum, err
	}
	for _, f := range files {
		if err := v.file(f); err != nil {
			return v.sum, err
		}
	}
	return v.sum, nil
}

// CheckBackup reads a backup to its end and returns what is in it. The first
// damage is an error.
func CheckBackup(backup io.ReaderAt, size int64, p Progress) (Summary, error) {
	var first error
	v := &verifier{total: size, progress: p, tell: func(d Damage) {
		if first == nil {
			first = errors.New(d.String())
		}
	}}
	err := v.snapshot("the backup", backup, size)
	v.step(size)
	v.sum.Files, v.sum.Bytes = 1, size
	return v.sum, errors.Join(err, first)
}

// A verifier reads files of a data directory.
type verifier struct {
	sum      Summary
	tell     func(Damage)
	found    int // damages
	progress Progress
	total    int64
	begin    int64 // of the present file, in all that is to be read
	told     int64 // to progress
	scratch  *scratch
}

// A scratch is where blocks are loaded one after another. To make one takes longer than
// to load most blocks.
type scratch struct {
	table   vmTable
	buckets [Buckets]bucket // they count, and nobody looks
}

func (v *verifier) report(d Damage) {
	v.found++
	v.tell(d)
}

// verifyFile is a file to be read.
type verifyFile struct {
	path string
	size int64
	read func(path string, r io.ReaderAt, size int64) error
}

// files lists what is to be read, and reports what is missing.
func (v *verifier) files(dir string, names []string) (files []verifyFile, err error) {
	last := ""
	for _, name := range names {
		if _, ok := wal.SegmentNumber(name); ok {
			last = name
		}
	}
	for _, name := range names {
		f := verifyFile{path: filepath.Join(dir, name)}
		_, segment := wal.SegmentNumber(name)
		_, snapshot := snapshotNumber(name)
		switch {
		case segment:
			f.read = func(path string, r io.ReaderAt, size int64) error { return v.segment(path, r, size, name == last) }
		case snapshot:
			f.read = v.snapshot
		case name == formatName:
			f.read = v.format
		default:
			continue
		}
		info, err := os.Stat(f.path)
		if errors.Is(err, os.ErrNotExist) { // the gateway has shortened its log meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		f.size = info.Size()
		v.total += f.size
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s is not a data directory: it has neither snapshot nor log", dir)
	}
	v.gaps(dir, names)
	return files, nil
}

// gaps reports what must have been between what is there.
func (v *verifier) gaps(dir string, names []string) {
	var segments, snapshots []uint64
	for _, name := range names {
		if number, ok := wal.SegmentNumber(name); ok {
			segments = append(segments, number)
		}
		if number, ok := snapshotNumber(name); ok {
			snapshots = append(snapshots, number)
		}
	}
	missing := func(name string) {
		v.report(Damage{File: filepath.Join(dir, name), Reason: "is missing"})
	}
	if !slices.Contains(names, formatName) {
		missing(formatName)
	}
	if len(snapshots) == 0 && len(segments) > 0 && segments[0] > firstSegment && !isOfRelease1(filepath.Join(dir, formatName)) {
		missing(snapshotName(segments[0]))
	}
	for i, number := range segments {
		if i > 0 && number != segments[i-1]+1 {
			missing(wal.SegmentName(segments[i-1] + 1))
		}
	}
	for _, number := range snapshots {
		if !slices.Contains(segments, number) {
			missing(wal.SegmentName(number))
		}
	}
}

// isOfRelease1 reports whether the journal at path has records in it: whatever
// else is in the directory then was left by a conversion that did not come far.
func isOfRelease1(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	format, err := readFormat(f)
	return err == nil && format == 1
}

func (v *verifier) file(f verifyFile) error {
	defer func() { v.begin += f.size; v.step(0) }()
	r, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) { // the gateway has shortened its log meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	v.sum.Files++
	v.sum.Bytes += f.size
	return f.read(f.path, r, f.size)
}
