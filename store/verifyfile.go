package store

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// This file has how a verifier reads each kind of file.

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
	if errors.Is(err, wal.ErrTorn) {
		v.report(Damage{File: path, Reason: "the file is cut"})
	} else if err != nil {
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
	before := v.found
	s, err := openSnapshot(r, size)
	dict := (*dictionary)(nil)
	if err == nil {
		dict = s.dict
	} else {
		// What is wrong with the first line is reported where the frames are read.
		if line := wal.CheckHeader(r, size, snapshotLine); line == nil || errors.Is(line, wal.ErrTorn) {
			v.report(Damage{File: path, Reason: err.Error()})
		}
		dict = findDictionary(r, size)
	}
	err = v.frames(path, snapshotLine, r, size, func(offset int64, payload []byte) bool {
		switch {
		case len(payload) == 0:
			return false
		case payload[0] == frameRecords:
			return v.records(path, offset, payload[1:])
		case payload[0] == frameBlock && len(payload) > 1:
			return v.block(path, offset, payload[1:], dict)
		}
		return false
	})
	if err == nil && v.found == before { // every part of it is sound, which does not mean that it is not too much
		if err := newTable(Config{}).loadSnapshotRecords(s); err != nil {
			v.report(Damage{File: path, Reason: err.Error()})
		}
	}
	return err
}

// findDictionary looks for the dictionary of a snapshot whose index does not say
// where it is. It returns nil if there is none, or if it is damaged.
func findDictionary(r io.ReaderAt, size int64) *dictionary {
	frames := wal.ReadFrames(r, size, int64(len(snapshotLine)))
	for {
		_, payload, err := frames.Next()
		if err != nil {
			if _, _, found := frames.Resync(); !found {
				return nil
			}
			continue
		}
		if len(payload) == 0 || payload[0] != frameDictionary {
			continue
		}
		if d, err := readDictionary(payload[1:]); err == nil {
			return d
		}
	}
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

// block looks at the block of a shard, behind the number of the shard. What can be
// told apart is not yet what can be loaded, so that is tried, too.
func (v *verifier) block(path string, offset int64, numbered []byte, dict *dictionary) (hurt bool) {
	shard, block := int(numbered[0]), numbered[1:]
	err := eachInBlock(block, dict, func(id BIOSID, sound bool, e vmEntry) error {
		if !sound {
			hurt = true
			v.report(Damage{path, offset, Key{KindVM, id}.String(), errEntry.Error()})
			return nil
		}
		for _, r := range [...]Record{e.registration, e.placement} {
			if r.Version.IsZero() {
				continue
			}
			if err := r.check(); err != nil {
				hurt = true
				v.report(Damage{path, offset, r.Key.String(), err.Error()})
				continue
			}
			v.sum.add(&r)
		}
		return nil
	})
	if err == nil && !hurt && dict != nil {
		err = v.load(shard, block, dict)
	}
	if err != nil {
		hurt = true
		v.report(Damage{path, offset, "", err.Error()})
	}
	return hurt
}

// load reports whether a sound block can be loaded, and forgets it again.
func (v *verifier) load(shard int, block []byte, dict *dictionary) error {
	if v.scratch == nil {
		v.scratch = new(scratch)
	}
	s := v.scratch
	err := s.table.loadBlock(shard, block, dict, &s.buckets)
	s.table.shards[shard] = vmShard{}
	return err
}

// frames calls fn with the payload of every frame of a file, those that fail
// their checksum included if their length is sound. fn reports whether it told
// what is hurt; if not, the frame as a whole is.
func (v *verifier) frames(path, header string, r io.ReaderAt, size int64, fn func(offset int64, payload []byte) (hurt bool)) error {
	if err := wal.CheckHeader(r, size, header); errors.Is(err, wal.ErrTorn) {
		v.sum.Cut += size
		return nil
	} else if err != nil {
		v.report(Damage{File: path, Reason: err.Error()})
	}
	frames := &liveFrames{r: r, size: size, Frames: wal.ReadFrames(r, size, int64(len(header)))}
	for {
		offset, payload, err := frames.next()
		v.step(offset)
		var damage *wal.DamageError
		switch {
		case err == nil:
			fn(offset, payload)
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, wal.ErrTorn):
			return v.torn(path, header, r, offset, frames.size)
		case errors.As(err, &damage):
			payload, ok := wal.ReadDamagedFrameAt(r, frames.size, offset)
			if !ok || !fn(offset, payload) {
				v.report(Damage{path, offset, "", damage.Reason})
			}
			if ok { // the next one may be damaged, too: Resync would pass it over
				frames.Frames = wal.ReadFrames(r, frames.size, offset+wal.FrameHeader+int64(len(payload)))
			} else if _, _, found := frames.Resync(); !found {
				return nil
			}
		default:
			return fmt.Errorf("%s: %w", path, err)
		}
	}
}

// liveFrames reads a file that another process may be writing to: that appends
// frames, and cuts the room behind them.
type liveFrames struct {
	*wal.Frames
	r    io.ReaderAt
	size int64
}

// next is Next of frames that are whole or damaged for good. What looks damaged
// may have been read in part before it was written and in part after, so it is
// read again; and the file may have become shorter meanwhile.
func (f *liveFrames) next() (offset int64, payload []byte, err error) {
	const enough = 4 // no writer is fast enough to spoil as many in a row
	for try := 1; ; try++ {
		offset, payload, err = f.Next()
		damage := (*wal.DamageError)(nil)
		if try == enough || !errors.As(err, &damage) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return offset, payload, err
		}
		if file, ok := f.r.(*os.File); ok {
			if info, err := file.Stat(); err == nil {
				f.size = max(offset, min(f.size, info.Size()))
			}
		}
		f.Frames = wal.ReadFrames(f.r, f.size, offset)
	}
}

// torn notes an end that is not whole: of a log a crash may have cut it, a
// snapshot has its name only once it is whole.
func (v *verifier) torn(path, header string, r io.ReaderAt, offset, size int64) error {
	if header == snapshotLine {
		v.report(Damage{path, offset, "", "the file is cut"})
		return nil
	}
	cut, err := wal.Written(r, offset, size)
	v.sum.Cut += cut
	if errors.Is(err, io.ErrUnexpectedEOF) { // it has been cut, by the process that has it open
		return nil
	}
	return err
}

// step tells how far the reading of the present file has come.
func (v *verifier) step(offset int64) {
	const often = 1 << 20
	done := min(v.begin+offset, v.total)
	if v.progress == nil || done <= v.told || done-v.told < often && done < v.total {
		return
	}
	v.told = done
	v.progress(done, v.total)
}
