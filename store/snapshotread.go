package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/svmgate/svmgate/store/internal/wal"
)

var errSnapshot = errors.New("store: snapshot is damaged")

// A snapshotReader reads a snapshot by its index. Its methods may be called by
// many goroutines.
type snapshotReader struct {
	r        io.ReaderAt
	sections []section
	clock    uint64 // of the table when it was written
	dict     *dictionary
}

// openSnapshot reads the index and the dictionary of the snapshot in the first
// size bytes of r. Whatever is wrong with it is an error.
func openSnapshot(r io.ReaderAt, size int64) (*snapshotReader, error) {
	err := wal.CheckHeader(r, size, snapshotLine)
	if errors.Is(err, wal.ErrTorn) {
		return nil, fmt.Errorf("%w: it is cut within its first line", errSnapshot)
	}
	if err != nil {
		return nil, fmt.Errorf("the file %w", err)
	}
	end, err := wal.ReadFrameAt(r, max(0, size-trailerSize), nil)
	if err != nil {
		return nil, err
	}
	if len(end) != trailerSize-wal.FrameHeader || end[0] != frameTrailer {
		return nil, fmt.Errorf("%w: it does not end as snapshots do", errSnapshot)
	}
	s := &snapshotReader{r: r}
	if err := s.readIndex(int64(binary.LittleEndian.Uint64(end[1:])), size-trailerSize); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(s.sections, func(x section) bool { return x.kind == frameDictionary })
	if i < 0 {
		return nil, fmt.Errorf("%w: it has no dictionary", errSnapshot)
	}
	text, err := s.read(s.sections[i], nil)
	if err != nil {
		return nil, err
	}
	if s.dict, err = readDictionary(text); err != nil {
		return nil, err
	}
	return s, s.checkShards()
}

// checkShards fails unless every shard has its block, in order.
func (s *snapshotReader) checkShards() error {
	shards := 0
	for _, x := range s.sections {
		if x.kind != frameBlock {
			continue
		}
		var front [2]byte
		if _, err := s.r.ReadAt(front[:min(x.bytes, 2)], x.offset+wal.FrameHeader); err != nil {
			return err
		}
		if x.bytes < 2 || int(front[1]) != shards {
			return fmt.Errorf("%w: the frame at byte %d is not of shard %d", errSnapshot, x.offset, shards)
		}
		shards++
	}
	if shards != vmShards {
		return fmt.Errorf("%w: it has %d blocks of VMs, not %d", errSnapshot, shards, vmShards)
	}
	return nil
}

// readIndex reads the index, a frame that reaches from offset to end. It must
// name the frames of the whole file, each once: then reading them all takes no
// longer than reading the file, and nothing is in it that nobody looks at.
func (s *snapshotReader) readIndex(offset, end int64) error {
	payload, err := wal.ReadFrameAt(s.r, offset, nil)
	if err != nil {
		return err
	}
	if len(payload) == 0 || payload[0] != frameEnd {
		return fmt.Errorf("%w: its index is not where it should be", errSnapshot)
	}
	in := strict{b: payload[1:]}
	s.clock = in.uint()
	at, dictionaries := int64(len(snapshotLine)), 0
	for range in.number(len(in.b) + 1) {
		x := section{kind: in.byte(), offset: int64(in.uint()), bytes: int64(in.uint())}
		if in.bad || x.offset != at || x.bytes < 1 || x.bytes > wal.MaxFrame {
			return fmt.Errorf("%w: its index makes no sense", errSnapshot)
		}
		switch x.kind {
		case frameBlock, frameRecords:
		case frameDictionary:
			dictionaries++
		default:
			return fmt.Errorf("%w: the frame at byte %d is of a kind that this release does not know", errSnapshot, x.offset)
		}
		s.sections = append(s.sections, x)
		at += wal.FrameHeader + x.bytes
	}
	if in.bad || len(in.b) > 0 || dictionaries > 1 || at != offset || offset+wal.FrameHeader+int64(len(payload)) != end {
		return fmt.Errorf("%w: its index makes no sense", errSnapshot)
	}
	return nil
}

// read returns what a section holds, in the memory of buf if that is large enough.
func (s *snapshotReader) read(x section, buf []byte) ([]byte, error) {
	payload, err := wal.ReadFrameAt(s.r, x.offset, buf)
	if err != nil {
		return nil, err
	}
	if int64(len(payload)) != x.bytes || payload[0] != x.kind {
		return nil, fmt.Errorf("%w: the frame at byte %d is not the one of the index", errSnapshot, x.offset)
	}
	return payload[1:], nil
}

// blocks calls fn with every block, from many goroutines.
func (s *snapshotReader) blocks(fn func(shard int, block []byte) error) error {
	var list []section
	for _, x := range s.sections {
		if x.kind == frameBlock {
			list = append(list, x)
		}
	}
	var next atomic.Int64
	errs := make([]error, runtime.GOMAXPROCS(0))
	var workers sync.WaitGroup
	for w := range errs {
		workers.Go(func() {
			var buf []byte
			for i := int(next.Add(1)) - 1; i < len(list) && errs[w] == nil; i = int(next.Add(1)) - 1 {
				buf, errs[w] = s.block(i, list[i], buf, fn)
			}
		})
	}
	workers.Wait()
	return errors.Join(errs...)
}

func (s *snapshotReader) block(i int, x section, buf []byte, fn func(int, []byte) error) ([]byte, error) {
	payload, err := s.read(x, buf)
	if err != nil {
		return nil, err
	}
	if err := fn(i, payload[1:]); err != nil {
		return nil, fmt.Errorf("the frame at byte %d: %w", x.offset, err)
	}
	return payload, nil
}

// records calls fn with every record that is in a list.
func (s *snapshotReader) records(fn func(Record) error) error {
	var buf []byte
	for _, x := range s.sections {
		if x.kind != frameRecords {
			continue
		}
		list, err := s.read(x, buf)
		if err != nil {
			return err
		}
		if err := readRecords(list, fn); err != nil {
			return fmt.Errorf("the frame at byte %d: %w", x.offset, err)
		}
		buf = list
	}
	return nil
}

// loadSnapshot fills an empty table with a snapshot. After an error the table may
// hold a part of it.
func (t *Table) loadSnapshot(r io.ReaderAt, size int64) error {
	s, err := openSnapshot(r, size)
	if err != nil {
		return err
	}
	err = s.blocks(func(shard int, block []byte) error { return t.vms.loadBlock(shard, block, s.dict, t.buckets) })
	if err != nil {
		return err
	}
	return t.loadSnapshotRecords(s)
}

// loadSnapshotRecords loads what a snapshot has besides the blocks.
func (t *Table) loadSnapshotRecords(s *snapshotReader) error {
	t.symbols = s.dict
	t.view.Store(&View{tenants: make([]*Tenant, len(s.dict.tenants)), paths: s.dict.paths, versions: s.dict.versions})
	t.clock.observe(Version{Clock: s.clock})
	return t.loadRecords(s.records)
}

// loadRecords merges records in large batches: publishing a view for every record
// would make a start quadratic.
func (t *Table) loadRecords(each func(func(Record) error) error) error {
	const batch = 1 << 14
	tx := &Tx{table: t, group: &group{table: t}}
	flush := func() error {
		err := t.checkBounds(&tx.group.stage)
		if err == nil {
			err = t.commit(&tx.group.stage)
		}
		tx.group.stage = stage{}
		t.sinkAll()
		return err
	}
	err := each(func(r Record) error {
		t.clock.observe(r.Version)
		if err := r.check(); err != nil {
			return fmt.Errorf("record %s: %w", r.Key, err)
		}
		if !t.floors.lift(&r) {
			return nil
		}
		if winner, changed := merge(tx.record(r.Key), r); changed {
			winner.Value = bytes.Clone(winner.Value) // a large buffer is not to stay for it
			tx.group.put(winner)
		}
		// What comes behind a floor must not meet what it has dropped, nor find no room for it.
		if len(tx.group.rows) >= batch || r.Key.isFloor() {
			return flush()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return flush()
}

// loadFile is loadSnapshot from a file.
func (t *Table) loadFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.loadSnapshot(f, info.Size()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
