package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"time"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// A snapshot is a header line and frames; the first byte of a frame says what is
// in it:
//
//	V  a shard of the VM table: its number, and a block (see vmblock.go)
//	D  the dictionary that the blocks refer to
//	R  a list of records: all other kinds; in a backup also whatever changed while
//	   it was made
//	E  the end: where the other frames are, and the clock of the table
//	T  where E is; always the last 21 bytes of the file
//
// The dictionary comes behind the blocks because it grows while they are scanned.
const (
	snapshotLine = "svmgate snapshot 1\n"

	frameBlock      = 'V'
	frameDictionary = 'D'
	frameRecords    = 'R'
	frameEnd        = 'E'
	frameTrailer    = 'T'

	trailerSize = wal.FrameHeader + 1 + 8
)

// A section is a frame of a snapshot.
type section struct {
	kind   byte
	offset int64 // of its frame in the file
	bytes  int64 // of its payload
}

// snapshotWriter writes frames and remembers where they are.
type snapshotWriter struct {
	w        io.Writer
	at       int64
	sections []section
	buf      []byte   // payload in the making
	block    vmGather // likewise
}

func newSnapshotWriter(w io.Writer) (*snapshotWriter, error) {
	n, err := io.WriteString(w, snapshotLine)
	return &snapshotWriter{w: w, at: int64(n)}, err
}

// begin starts a frame; the caller appends to buf.
func (s *snapshotWriter) begin(kind byte) { s.buf = append(s.buf[:0], kind) }

func (s *snapshotWriter) end() error { return s.frame(s.buf) }

// frame writes a frame whose payload is the parts, one after the other.
func (s *snapshotWriter) frame(parts ...[]byte) error {
	length, sum := 0, uint32(0)
	for _, part := range parts {
		length += len(part)
		for piece := range slices.Chunk(part, sumPiece) {
			sum = crc32.Update(sum, castagnoli, piece)
			giveWay()
		}
	}
	if length > wal.MaxFrame {
		return fmt.Errorf("store: a part of the snapshot is %d bytes long; at most %d are allowed", length, wal.MaxFrame)
	}
	s.sections = append(s.sections, section{parts[0][0], s.at, int64(length)})
	s.at += wal.FrameHeader + int64(length)
	head := wal.FrameHeadOf(length, sum)
	_, err := s.w.Write(head[:])
	for _, part := range parts {
		if err == nil {
			_, err = s.w.Write(part)
		}
	}
	return err
}

// sumPiece is how much is summed up at a time: some 20 µs of work.
const sumPiece = 256 << 10

// recordsFrame is about how long a list of records may be, in bytes.
const recordsFrame = 1 << 20

func (s *snapshotWriter) records(list []Record) error {
	for len(list) > 0 {
		s.begin(frameRecords)
		for len(list) > 0 && len(s.buf) < recordsFrame {
			s.buf = appendRecord(s.buf, &list[0])
			list = list[1:]
		}
		if err := s.end(); err != nil {
			return err
		}
	}
	return nil
}

// finish writes what a reader begins with.
func (s *snapshotWriter) finish(clock uint64) error {
	end := s.at
	s.begin(frameEnd)
	e := encoder(s.buf)
	e.uint(clock)
	sections := s.sections
	encodeList(&e, sections, func(x section) {
		e = append(e, x.kind)
		e.uint(uint64(x.offset))
		e.uint(uint64(x.bytes))
	})
	s.buf = e
	if err := s.end(); err != nil {
		return err
	}
	s.begin(frameTrailer)
	s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(end))
	return s.end()
}

func everything(Kind) bool { return true }

// writeRecords writes the records of the table while writers go on, of VMs and of the
// kinds that are wanted: of what writers change meanwhile, either the old or the new
// may be there.
func (t *Table) writeRecords(ctx context.Context, s *snapshotWriter, wanted func(Kind) bool) error {
	for shard := range vmShards {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := t.writeBlock(s, shard); err != nil {
			return err
		}
	}
	t.mu.RLock()
	rows := make([]Record, 0, len(t.rows))
	for _, r := range t.rows {
		if lasts(r) && wanted(r.Key.Kind) {
			rows = append(rows, r)
		}
	}
	t.mu.RUnlock()
	if err := s.records(rows); err != nil {
		return err
	}
	if err := t.writeBulk(ctx, s); err != nil {
		return err
	}
	s.begin(frameDictionary)
	t.mu.RLock()
	s.buf = t.symbols.append(s.buf)
	t.mu.RUnlock()
	return s.end()
}

// writeBlock writes the VMs of a shard. It gives way every now and then, to writers too.
func (t *Table) writeBlock(s *snapshotWriter, shard int) error {
	s.block.reset()
	for more := true; more; giveWay() {
		t.mu.RLock()
		more = s.block.gather(&t.vms.shards[shard], gatherPiece)
		t.mu.RUnlock()
	}
	s.begin(frameBlock)
	s.buf = append(s.buf, byte(shard))
	return s.frame(append([][]byte{s.buf}, s.block.parts()...)...)
}

// writeBulk writes the records of bulk kinds, bucket by bucket.
func (t *Table) writeBulk(ctx context.Context, s *snapshotWriter) error {
	s.begin(frameRecords)
	for i := range Buckets {
		t.mu.RLock()
		t.buckets[i].bulk.each(func(r Record) bool {
			s.buf = appendRecord(s.buf, &r)
			return true
		})
		t.mu.RUnlock()
		if len(s.buf) < recordsFrame && i < Buckets-1 || len(s.buf) == 1 {
			continue
		}
		if err := errors.Join(ctx.Err(), s.end()); err != nil {
			return err
		}
		s.begin(frameRecords)
	}
	return nil
}

// Snapshot writes all records to the data directory, so that the next start need
// not replay what led to them, and shortens the log by what is in the older of
// the two snapshots that are kept. Readers and writers go on meanwhile. Without a
// data directory, and if nothing has changed since the last one, it does nothing.
// [Table.Run] calls it when it pays.
func (t *Table) Snapshot(ctx context.Context) error {
	d, ok := t.journal.(*Dir)
	if !ok {
		return nil
	}
	t.snapshotting.Lock()
	defer t.snapshotting.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.life, cancel)()
	err := t.snapshot(ctx, d)
	if err != nil && ctx.Err() == nil {
		d.mu.Lock()
		d.failures++
		d.mu.Unlock()
	}
	if err != nil && t.life.Err() != nil {
		return ErrClosed
	}
	return err
}

func (t *Table) snapshot(ctx context.Context, d *Dir) error {
	var number uint64
	err := t.inTurn(func() (err error) {
		number, err = d.log.Rotate()
		return err
	})
	if err != nil {
		return fmt.Errorf("store: snapshot: %w", err)
	}
	if newest, ok := d.newest(); ok && newest.number == number {
		return nil
	}
	path := d.snapshotPath(number)
	var bytes int64
	err = writeWhole(path, func(f *os.File) (err error) {
		w := newSteady(f)
		bytes, err = t.writeSnapshot(ctx, w)
		return errors.Join(err, w.end())
	})
	if err != nil {
		return fmt.Errorf("store: snapshot: %w", err)
	}
	oldest := d.keep(snapshotFile{number: number, bytes: bytes, made: time.Now()})
	return t.inTurn(func() error {
		if err := d.forget(oldest); err != nil {
			t.log.Warn("a snapshot was written, but what it makes needless can not be removed; the next one tries again", "reason", err)
		}
		return nil
	})
}

func (t *Table) writeSnapshot(ctx context.Context, w io.Writer) (bytes int64, err error) {
	s, err := newSnapshotWriter(w)
	if err != nil {
		return 0, err
	}
	if err := t.writeRecords(ctx, s, everything); err != nil {
		return 0, err
	}
	t.writing.Lock()
	clock := t.clock.last
	t.writing.Unlock()
	return s.at, s.finish(clock)
}

// inTurn runs fn when no change is being made.
func (t *Table) inTurn(fn func() error) error {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	if t.closed {
		return ErrClosed
	}
	return fn()
}

func (d *Dir) newest() (snapshotFile, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.snapshots) == 0 {
		return snapshotFile{}, false
	}
	return d.snapshots[0], true
}

// keptSnapshots is how many snapshots are kept.
const keptSnapshots = 2

// keep adds a new snapshot and returns the number of the oldest that is to stay.
func (d *Dir) keep(s snapshotFile) (oldest uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written++
	d.snapshots = slices.Insert(d.snapshots, 0, s)
	d.damaged = slices.DeleteFunc(d.damaged, func(old snapshotFile) bool { return old.number == s.number })
	return d.snapshots[min(len(d.snapshots), keptSnapshots)-1].number
}

// forget removes the snapshots before oldest, those that were passed over, and
// what the log has for them only.
func (d *Dir) forget(oldest uint64) error {
	d.mu.Lock()
	gone := d.damaged
	d.damaged = nil
	if i := slices.IndexFunc(d.snapshots, func(s snapshotFile) bool { return s.number < oldest }); i >= 0 {
		gone = append(gone, d.snapshots[i:]...)
		d.snapshots = d.snapshots[:i]
	}
	many := len(d.snapshots) == keptSnapshots
	d.mu.Unlock()
	var err error
	for _, s := range gone {
		if e := os.Remove(d.snapshotPath(s.number)); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
			d.mu.Lock()
			d.damaged = append(d.damaged, s)
			d.mu.Unlock()
		}
	}
	if many { // with one snapshot the log stays whole, and stands in for the other
		err = errors.Join(err, d.log.Remove(oldest))
	}
	return err
}

// due reports whether a snapshot would save the next start more than it costs:
// the log behind the last one is long, and not short beside it.
func (d *Dir) due() bool {
	newest, _ := d.newest()
	return d.log.Bytes(newest.number) > max(snapshotAfter, newest.bytes/4)
}

// snapshotAfter is how long the log behind a snapshot may be in any case.
const snapshotAfter = 64 << 20
