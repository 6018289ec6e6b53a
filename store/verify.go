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
func Verify(dir string, p Progress, report func(Damage)) (Summary, error) {
	v := &verifier{report: report, progress: p}
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
	v := &verifier{total: size, progress: p, report: func(d Damage) {
		if first == nil {
			first = errors.New(d.String())
		}
	}}
	err := v.snapshot("the backup", backup, size)
	v.sum.Files, v.sum.Bytes = 1, size
	return v.sum, errors.Join(err, first)
}

// A verifier reads files of a data directory.
type verifier struct {
	sum         Summary
	report      func(Damage)
	progress    Progress
	done, total int64
}

// verifyFile is a file to be read.
type verifyFile struct {
	path string
	size int64
	read func(path string, r io.ReaderAt, size int64) error
}

// files lists what is to be read, and reports what is missing.
func (v *verifier) files(dir string, names []string) (files []verifyFile, err error) {
	var before uint64 // the segment before
	last := ""
	for _, name := range names {
		if _, ok := wal.SegmentNumber(name); ok {
			last = name
		}
	}
	for _, name := range names {
		f := verifyFile{path: filepath.Join(dir, name)}
		number, segment := wal.SegmentNumber(name)
		_, snapshot := snapshotNumber(name)
		switch {
		case segment:
			if before > 0 && number != before+1 {
				v.missing(dir, before+1)
			}
			before = number
			f.read = func(path string, r io.ReaderAt, size int64) error { return v.segment(path, r, size, name == last) }
		case snapshot:
			f.read = v.snapshot
		case name == formatName:
			f.read = v.format
		default:
			continue
		}
		info, err := os.Stat(f.path)
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
	snapshots, err := listSnapshots(dir, names)
	for _, s := range snapshots {
		if number := s.number; !slices.Contains(names, wal.SegmentName(number)) {
			v.missing(dir, number)
		}
	}
	return files, err
}

func (v *verifier) missing(dir string, number uint64) {
	v.report(Damage{File: filepath.Join(dir, wal.SegmentName(number)), Reason: "is missing"})
}

func (v *verifier) file(f verifyFile) error {
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

// format looks at the file that says which release wrote the directory; of
// release 1 it is the journal itself.
func (v *verifier) format(path string, r io.ReaderAt, size int64) error {
	err := wal.CheckHeader(r, size, formatLine)
	if wal.CheckHeader(r, size, formatLine1) == nil {
		return v.frames(path, formatLine1, r, size, func(offset int64, payload []byte) (hurt bool) {
			err := readRecords1(payload, func(r Record) error { v.sum.add(&r); return r.check() })
			if err != nil {
				v.report(Damage{path, offset, "", err.Error()})
			}
			return err != nil
		})
	}
	if err != nil {
		v.report(Damage{File: path, Reason: err.Error()})
	}
	return nil
}

func (v *verifier) segment(path string, r io.ReaderAt, size int64, last bool) error {
	sealed := false
	err := v.frames(path, wal.Header, r, size, func(offset int64, payload []byte) bool {
		if sealed {
			v.report(Damage{path, offset, "", "stands behind the seal of the file"})
		}
		sealed = len(payload) == 0
		return v.records(path, offset, payload)
	})
	if err == nil && !sealed && !last {
		v.report(Damage{path, size, "", "the file ends without its seal"})
	}
	return err
}

// snapshot reads a snapshot; its dictionary first, without which VMs are only
// bytes.
func (v *verifier) snapshot(path string, r io.ReaderAt, size int64) error {
	var dict *dictionary
	if s, err := openSnapshot(r, size); err == nil {
		dict = s.dict
	} else {
		v.report(Damage{File: path, Reason: err.Error() + "; its VMs can not be told apart"})
	}
	return v.frames(path, snapshotLine, r, size, func(offset int64, payload []byte) bool {
		switch {
		case len(payload) == 0:
			return false
		case payload[0] == frameRecords:
			return v.records(path, offset, payload[1:])
		case payload[0] == frameBlock && len(payload) > 1 && dict != nil:
			return v.block(path, offset, payload[2:], dict)
		}
		return false
	})
}

// records looks at a list of records, and reports whether it told of any that is
// hurt.
func (v *verifier) records(path string, offset int64, list []byte) (hurt bool) {
	_ = eachRecord(list, func(r listed) error {
		err := r.check()
		if !r.sound {
			err = errCorrupt
		}
		if err == nil {
			v.sum.add(&r.Record)
			return nil
		}
		hurt = true
		key := fmt.Sprintf("at byte %d of the frame", r.offset)
		if r.Key != (Key{}) {
			key = r.Key.String()
		}
		v.report(Damage{path, offset, key, err.Error()})
		return nil
	})
	return hurt
}

func (v *verifier) block(path string, offset int64, block []byte, dict *dictionary) (hurt bool) {
	err := eachInBlock(block, dict, func(id BIOSID, sound bool, e vmEntry) error {
		if !sound {
			hurt = true
			v.report(Damage{path, offset, Key{KindVM, id}.String(), errEntry.Error()})
			return nil
		}
		for _, r := range [...]Record{e.registration, e.placement} {
			if !r.Version.IsZero() {
				v.sum.add(&r)
			}
		}
		return nil
	})
	if err != nil {
		hurt = true
		v.report(Damage{path, offset, "", err.Error()})
	}
	return hurt
}

// frames calls fn with the payload of every frame of a file, those that fail
// their checksum included if their length is sound. fn reports whether it told
// what is hurt; if not, the frame as a whole is.
func (v *verifier) frames(path, header string, r io.ReaderAt, size int64, fn func(offset int64, payload []byte) (hurt bool)) error {
	begin := v.done
	defer func() { v.step(begin + size) }()
	at := int64(len(header))
	if err := wal.CheckHeader(r, size, header); errors.Is(err, wal.ErrTorn) {
		v.sum.Cut += size
		return nil
	} else if err != nil {
		v.report(Damage{File: path, Reason: err.Error()})
	}
	frames := wal.ReadFrames(r, size, at)
	for {
		offset, payload, err := frames.Next()
		v.step(begin + offset)
		var damage *wal.DamageError
		switch {
		case err == nil:
			fn(offset, payload)
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, wal.ErrTorn):
			v.torn(path, header, offset, size)
			return nil
		case errors.As(err, &damage):
			hurt := false
			if payload, ok := wal.ReadDamagedFrameAt(r, size, offset); ok {
				hurt = fn(offset, payload)
			}
			if !hurt {
				v.report(Damage{path, offset, "", damage.Reason})
			}
			if _, _, found := frames.Resync(); !found {
				return nil
			}
		default:
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

// torn notes an end that is not whole: of a log a crash may have cut it, a
// snapshot has its name only once it is whole.
func (v *verifier) torn(path, header string, offset, size int64) {
	if header == snapshotLine {
		v.report(Damage{path, offset, "", "the file is cut"})
		return
	}
	v.sum.Cut += size - offset
}

func (v *verifier) step(done int64) {
	const often = 1 << 20
	if v.progress != nil && (done-v.done >= often || done == v.total) {
		v.progress(done, v.total)
	}
	v.done = max(v.done, done)
}
