package store

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	if newest := (Version{Clock: t.clock.last}); newest.Clock > t.clock.physical()+uint64(MaxSkew.Milliseconds())<<16 {
		t.log.Warn("the journal has records from the future: look at this machine's clock", "newest", milliTime(newest.Millis()))
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
// to make up for it.
func (d *Dir) loadNewest(t *Table) (from uint64, err error) {
	var damage error
	for _, s := range d.snapshots {
		if err := t.loadFile(d.snapshotPath(s.number)); err != nil {
			damage = errors.Join(damage, err)
			t.empty()
			continue
		}
		if damage != nil {
			t.log.Error("a damaged snapshot is passed over; an older one and the log have all that was in it",
				"damage", damage, "loaded", snapshotName(s.number))
		}
		return s.number, nil
	}
	const first = 1
	switch segments := d.log.Segments(); {
	case damage == nil:
		return first, nil
	case d.snapshots[len(d.snapshots)-1].number > first && slices.Contains(segments, first):
		t.log.Error("a damaged snapshot is passed over; the log has all that was in it", "damage", damage)
		return first, nil
	}
	return 0, fmt.Errorf("%w; restore a backup, or start with an empty directory and import the inventory", damage)
}

// replayLog calls fn with every record in the log, from a segment on.
func (d *Dir) replayLog(from uint64, fn func(Record) error) error {
	if len(d.snapshots) > 0 && !slices.Contains(d.log.Segments(), from) {
		return fmt.Errorf("there is a snapshot, yet the log behind it is missing, from segment %d on", from)
	}
	err := d.log.Replay(from, func(_ uint64, _ int64, payload []byte) error { return readRecords(payload, fn) })
	if damage := (*wal.DamageError)(nil); errors.As(err, &damage) {
		return fmt.Errorf("%w; `svmgate store verify` names what is damaged: "+
			"restore a backup, or start with an empty directory and import the inventory", err)
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

// convert makes a directory of release 1 one of this release.
func (d *Dir) convert(t *Table) error {
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
