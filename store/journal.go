package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// A Journal keeps records over restarts. [OpenJournal] returns one in a
// directory. A table calls one method at a time.
type Journal interface {
	// Replay calls fn with every record, in the order in which they were written;
	// a later record of a key does not always win, so a table merges them. It is
	// called once, before anything else.
	Replay(fn func(Record) error) error

	// Append keeps records: all of them or, on an error, none. When it returns
	// nil they are on disk. Errors wrap [ErrReadOnly].
	Append(records []Record) error

	// Close releases the journal.
	Close() error
}

// noJournal keeps nothing.
type noJournal struct{}

func (noJournal) Replay(func(Record) error) error { return nil }
func (noJournal) Append([]Record) error           { return nil }
func (noJournal) Close() error                    { return nil }

// fileJournal is one file of frames behind a header line. A frame is the length
// of its payload, the CRC-32C of the payload, the CRC-32C of these two, and the
// payload: the records of one Append. An Append is one write and one fsync.
//
// A frame that the file ends in was cut by a crash before it was acknowledged:
// it is dropped. Damage anywhere else is an error that names the place. From the
// file alone, damage to the payload of the very last frame looks like a cut; so
// Close seals the file with an empty frame, and only after a crash is there such
// a doubt. [Table] logs what was dropped. The
// header has a checksum of its own because a damaged length must not pass for
// such an end: everything behind it would be dropped.
type fileJournal struct {
	path string
	file *os.File
	lock *os.File
	size int64 // of what is whole
	read bool  // whether Replay has read all of it
	cut  int64 // bytes that Replay dropped
	buf  []byte

	// broken is set when the state of the file is unknown, after which nothing
	// is acknowledged any more: what the kernel did with pages that it failed to
	// write is anybody's guess (the lesson of PostgreSQL's "fsyncgate").
	broken error
}

const (
	journalHeader = "svmgate journal 1\n"
	frameHeader   = 12
	maxFrame      = 1 << 30
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenJournal opens the journal in dir, which is made if need be. Files are for
// the owner only. A directory that another process has open is an error.
func OpenJournal(dir string) (Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: data directory: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("store: data directory %s is in use by another process: %w", dir, err)
	}
	j := &fileJournal{path: filepath.Join(dir, "journal"), lock: lock}
	if err := j.open(dir); err != nil {
		_ = j.Close()
		return nil, err
	}
	return j, nil
}

func (j *fileJournal) open(dir string) (err error) {
	j.file, err = os.OpenFile(j.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("store: journal: %w", err)
	}
	if err := j.file.Chmod(0o600); err != nil { // a copy may have come with other rights
		return fmt.Errorf("store: journal: %w", err)
	}
	info, err := j.file.Stat()
	if err != nil {
		return fmt.Errorf("store: journal: %w", err)
	}
	if info.Size() >= int64(len(journalHeader)) {
		return nil
	}
	// New, or cut while its first line was written; nobody else's file.
	start := make([]byte, info.Size())
	if _, err := j.file.ReadAt(start, 0); err != nil {
		return fmt.Errorf("store: journal: %w", err)
	}
	if !strings.HasPrefix(journalHeader, string(start)) {
		return j.foreign(start)
	}
	if err := j.file.Truncate(0); err != nil {
		return fmt.Errorf("store: journal: %w", err)
	}
	if _, err := j.file.WriteAt([]byte(journalHeader), 0); err != nil {
		return fmt.Errorf("store: journal: %w", err)
	}
	return errors.Join(j.file.Sync(), syncDir(dir))
}

func (j *fileJournal) foreign(start []byte) error {
	return fmt.Errorf("%s is not a journal of this release: it starts with %q, not with %q", j.path, start, journalHeader)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Replay implements [Journal].
func (j *fileJournal) Replay(fn func(Record) error) error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	r := bufio.NewReaderSize(io.NewSectionReader(j.file, 0, info.Size()), 1<<20)
	header := make([]byte, len(journalHeader))
	if _, err := io.ReadFull(r, header); err != nil || string(header) != journalHeader {
		return j.foreign(header)
	}
	j.size = int64(len(header))
	for j.size < info.Size() {
		payload, err := j.frame(r, info.Size()-j.size)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
		for rest := payload; len(rest) > 0; {
			var rec Record
			if rec, rest, err = readRecord(rest); err == nil {
				err = fn(rec)
			}
			if err != nil {
				return fmt.Errorf("%s: frame at byte %d: %w", j.path, j.size, err)
			}
		}
		j.size += frameHeader + int64(len(payload))
	}
	j.read = true
	if j.cut = info.Size() - j.size; j.cut == 0 {
		return nil
	}
	// What follows was never acknowledged, and later frames must not stand behind it.
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	return j.file.Sync()
}

// frame reads the next frame of at most left bytes. io.ErrUnexpectedEOF means
// that the file ends within it.
func (j *fileJournal) frame(r io.Reader, left int64) ([]byte, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if crc32.Checksum(header[:8], castagnoli) != binary.LittleEndian.Uint32(header[8:]) {
		if onlyZeros(r) { // room that the last write took but never filled
			return nil, io.ErrUnexpectedEOF
		}
		return nil, j.damage()
	}
	n := int64(binary.LittleEndian.Uint32(header[:]))
	if n > left-frameHeader {
		return nil, io.ErrUnexpectedEOF
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	if crc32.Checksum(payload, castagnoli) == binary.LittleEndian.Uint32(header[4:]) {
		return payload, nil
	}
	if onlyZeros(r) { // it is the last one: its pages were on their way
		return nil, io.ErrUnexpectedEOF
	}
	return nil, j.damage()
}

func (j *fileJournal) damage() error {
	return fmt.Errorf("%s is damaged: the frame at byte %d fails its checksum; restore a backup, or start "+
		"with an empty directory and import the inventory", j.path, j.size)
}

func onlyZeros(r io.Reader) bool {
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		if len(bytes.Trim(buf[:n], "\x00")) > 0 {
			return false
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// Append implements [Journal].
func (j *fileJournal) Append(records []Record) error {
	if j.broken != nil {
		return j.broken
	}
	if len(records) == 0 {
		return nil
	}
	return j.append(records)
}

// Dropped returns the bytes at the end of the file that Replay dropped, of a
// frame that a crash had cut.
func (j *fileJournal) Dropped() int64 { return j.cut }

func (j *fileJournal) append(records []Record) error {
	j.buf = append(j.buf[:0], make([]byte, frameHeader)...)
	for i := range records {
		j.buf = appendRecord(j.buf, &records[i])
	}
	payload := j.buf[frameHeader:]
	if len(payload) > maxFrame {
		return fmt.Errorf("store: a change of %d bytes is over the limit of %d: make it in parts", len(payload), maxFrame)
	}
	binary.LittleEndian.PutUint32(j.buf, uint32(len(payload)))
	binary.LittleEndian.PutUint32(j.buf[4:], crc32.Checksum(payload, castagnoli))
	binary.LittleEndian.PutUint32(j.buf[8:], crc32.Checksum(j.buf[:8], castagnoli))
	if _, err := j.file.WriteAt(j.buf, j.size); err != nil {
		if terr := j.file.Truncate(j.size); terr != nil {
			j.broken = fmt.Errorf("%w: %w; restart the gateway", ErrReadOnly, errors.Join(err, terr))
		}
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	if err := j.file.Sync(); err != nil {
		j.broken = fmt.Errorf("%w: %w; restart the gateway", ErrReadOnly, err)
		return j.broken
	}
	j.size += int64(len(j.buf))
	if cap(j.buf) > 1<<24 {
		j.buf = nil
	}
	return nil
}

// Close implements [Journal].
func (j *fileJournal) Close() error {
	var err error
	if j.file != nil {
		if j.read && j.broken == nil {
			err = j.append(nil)
		}
		err = errors.Join(err, j.file.Close())
	}
	return errors.Join(err, j.lock.Close())
}

// A record on disk is its kind, id, version and value with its length.
func appendRecord(dst []byte, r *Record) []byte {
	dst = append(dst, byte(r.Key.Kind))
	dst = append(dst, r.Key.ID[:]...)
	dst = binary.AppendUvarint(dst, r.Version.Clock)
	dst = binary.AppendUvarint(dst, r.Version.Node)
	dst = binary.AppendUvarint(dst, uint64(len(r.Value)))
	return append(dst, r.Value...)
}

func readRecord(b []byte) (r Record, rest []byte, err error) {
	d := decoder{b: b}
	if len(b) < 17 {
		return Record{}, nil, errCorrupt
	}
	r.Key = Key{Kind: Kind(d.take(1)[0]), ID: d.id()}
	r.Version = d.version()
	cut := len(d.b) == 0 // not a tombstone: that has a length, of zero
	n := d.uint()
	if cut || d.err != nil || n > uint64(len(d.b)) || r.Version.IsZero() {
		return Record{}, nil, errCorrupt
	}
	r.Value = d.b[:n:n]
	return r, d.b[n:], nil
}
