package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// load fills an empty table from its journal.
func (t *Table) load() error {
	var err error
	if d, ok := t.journal.(*Dir); ok {
		err = d.load(t)
	} else {
		err = t.loadRecords(t.journal.Replay)
	}
	if err != nil {
		return fmt.Errorf("store: read the journal: %w", err)
	}
	t.sinkAll()
	t.clock.read()
	if ahead := t.clock.ahead(); ahead > MaxSkew {
		t.log.Warn("the journal has records from the future: look at this machine's clock", "ahead", ahead.String())
	}
	t.heardAll()
	return nil
}

// load fills an empty table with the newest snapshot that is whole, and the log
// behind it.
func (d *Dir) load(t *Table) error {
	from, err := d.loadNewest(t)
	if err != nil {
		return err
	}
	if d.old != nil {
		if err := t.loadRecords(func(fn func(Record) error) error { return d.replay1(t, fn) }); err != nil {
			return err
		}
	}
	if err := t.loadRecords(func(fn func(Record) error) error { return d.replayLog(from, fn) }); err != nil {
		return err
	}
	if n := d.log.Dropped(); n > 0 {
		t.log.Warn("the end of the log was cut by a crash and is dropped", "bytes", n)
	}
	if d.old != nil {
		return d.convert(t)
	}
	return nil
}

// loadNewest loads a snapshot and returns the first segment of the log that is
// not in it. A damaged snapshot is passed over if the log reaches back far enough
// to make up for it. One that the system does not let be read may be good, and the
// next snapshot would take its place: that is an error.
func (d *Dir) loadNewest(t *Table) (from uint64, err error) {
	var damage error
	for i, s := range d.snapshots {
		if err := t.loadFile(d.snapshotPath(s.number)); err != nil {
			if notRead := (*fs.PathError)(nil); errors.As(err, &notRead) {
				return 0, err
			}
			damage = errors.Join(damage, err)
			t.empty()
			continue
		}
		if damage != nil {
			t.log.Error("a damaged snapshot is passed over; an older one and the log have all that was in it",
				"damage", damage, "loaded", snapshotName(s.number))
			d.passOver(i)
		}
		return s.number, nil
	}
	first, segments := d.opt.First, d.log.Segments()
	switch {
	case damage == nil && len(segments) > 0 && segments[0] > first:
		return 0, fmt.Errorf("%s is missing, and so is what was in the log before %s; %s",
			d.snapshotPath(segments[0]), wal.SegmentName(segments[0]), startAnew)
	case damage == nil:
		return first, nil
	case d.old != nil || first == firstSegment && slices.Contains(segments, first):
		t.log.Error("a damaged snapshot is passed over; the log has all that was in it", "damage", damage)
		d.passOver(len(d.snapshots))
		return first, nil
	}
	return 0, fmt.Errorf("%w; %s", damage, startAnew)
}

const startAnew = "restore a backup, or start with an empty directory and import the inventory"

// passOver sets the first n snapshots aside. They stay until there is another one:
// who can read a part of them may want to.
func (d *Dir) passOver(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.damaged, d.snapshots = d.snapshots[:n:n], d.snapshots[n:]
}

// replayLog calls fn with every record in the log, from a segment on.
func (d *Dir) replayLog(from uint64, fn func(Record) error) error {
	if len(d.snapshots) > 0 && !slices.Contains(d.log.Segments(), from) {
		return fmt.Errorf("%s is missing, yet there is %s; %s",
			filepath.Join(d.path, wal.SegmentName(from)), snapshotName(from), startAnew)
	}
	err := d.log.Replay(from, func(_ uint64, _ int64, payload []byte) error { return readRecords(payload, fn) })
	if damage := (*wal.DamageError)(nil); errors.As(err, &damage) {
		return fmt.Errorf("%w; `svmgate store verify` names what is damaged: %s", err, startAnew)
	}
	return err
}

// replay1 calls fn with every record in the journal of release 1.
func (d *Dir) replay1(t *Table, fn func(Record) error) error {
	info, err := d.old.Stat()
	if err != nil {
		return err
	}
	switch err := wal.CheckHeader(d.old, info.Size(), formatLine1); {
	case errors.Is(err, wal.ErrTorn):
		return nil
	case err != nil:
		return err
	}
	frames := wal.ReadFrames(d.old, info.Size(), int64(len(formatLine1)))
	for {
		offset, payload, err := frames.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, wal.ErrTorn):
			t.log.Warn("the end of the journal was cut by a crash and is dropped", "bytes", info.Size()-offset)
			return nil
		case err != nil:
			return fmt.Errorf("%s is damaged: %w", d.old.Name(), err)
		}
		if err := readRecords1(payload, fn); err != nil {
			return fmt.Errorf("%s: frame at byte %d: %w", d.old.Name(), offset, err)
		}
	}
}

// convert makes a directory of release 1 one of this release. A snapshot that is
// there already does not do: it is of an attempt that was cut short, and release 1
// may have gone on writing since.
func (d *Dir) convert(t *Table) error {
	d.mu.Lock()
	d.damaged, d.snapshots = append(d.damaged, d.snapshots...), nil
	d.mu.Unlock()
	if err := t.snapshot(context.Background(), d); err != nil {
		return fmt.Errorf("convert the journal of an older release: %w", err)
	}
	if err := d.mark(); err != nil { // takes the place of the old journal
		return err
	}
	err := d.old.Close()
	d.old = nil
	return err
}

// Replay implements [Journal], for whoever wants records rather than a table.
func (d *Dir) Replay(fn func(Record) error) error {
	t := newTable(Config{})
	if err := d.load(t); err != nil {
		return err
	}
	var failed error
	t.records(func(r Record) bool {
		failed = fn(r)
		return failed == nil
	})
	return failed
}
