package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// Backup writes a copy of all records to w: the table as it was at one moment
// between the call and the return. Readers and writers go on meanwhile. The copy
// is a snapshot; [Restore] makes a data directory of it, [Table.RestoreAsNew]
// brings its objects back into a table that lives, [CheckBackup] tells whether it
// is whole. It holds digests of passwords and tokens: keep it as secret as the
// data directory.
func (t *Table) Backup(ctx context.Context, w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	s, err := newSnapshotWriter(buffered)
	if err != nil {
		return err
	}
	changed := &changedKeys{keys: map[Key]struct{}{}}
	cancel := t.Subscribe(changed.note)
	defer cancel()
	if err := t.writeRecords(ctx, s); err != nil {
		return err
	}
	clock, err := t.writeChanged(ctx, s, changed)
	if err != nil {
		return err
	}
	if err := s.finish(clock); err != nil {
		return err
	}
	return buffered.Flush()
}

// changedKeys are the keys of the records that changed. The writers' lock guards
// them.
type changedKeys struct{ keys map[Key]struct{} }

func (c *changedKeys) note(news *News) {
	for i := range news.Records {
		if lasts(news.Records[i]) {
			c.keys[news.Records[i].Key] = struct{}{}
		}
	}
}

// writeChanged writes what changed while the rest was written. It goes on until
// little is left, which it takes while no writer changes anything: at that moment
// the copy is what the table is.
func (t *Table) writeChanged(ctx context.Context, s *snapshotWriter, changed *changedKeys) (clock uint64, err error) {
	const little, rounds = 10_000, 8
	for round := 0; ; round++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		t.writing.Lock()
		last := len(changed.keys) <= little || round == rounds
		keys := changed.keys
		changed.keys = map[Key]struct{}{}
		var list []Record
		if last {
			list, clock = t.recordsOf(keys), t.clock.last
		}
		t.writing.Unlock()
		if !last {
			t.mu.RLock()
			list = t.recordsOf(keys)
			t.mu.RUnlock()
		}
		if err := s.records(list); err != nil || last {
			return clock, err
		}
	}
}

// recordsOf returns the records of keys. It needs the table's read lock, or the
// writers'.
func (t *Table) recordsOf(keys map[Key]struct{}) []Record {
	list := make([]Record, 0, len(keys))
	for key := range keys {
		list = append(list, t.current(key))
	}
	return list
}

// Restore makes a data directory of the backup in the first size bytes of
// backup. dir must be empty or not there. The backup is read to its end before
// anything is made of it; after an error dir is as it was.
func Restore(dir string, backup io.ReaderAt, size int64, p Progress) (Summary, error) {
	names, err := readNames(dir)
	made := errors.Is(err, os.ErrNotExist)
	if err != nil && !made {
		return Summary{}, err
	}
	if len(names) > 0 {
		return Summary{}, fmt.Errorf("%s is not empty: it has %s; name a directory that is empty or not there", dir, names[0])
	}
	sum, err := CheckBackup(backup, size, p)
	if err != nil {
		return sum, err
	}
	if err := fillDir(dir, backup, size); err != nil {
		return sum, errors.Join(err, emptyDir(dir, made))
	}
	return sum, nil
}

// fillDir makes the backup the first snapshot of dir, with an empty log behind it.
func fillDir(dir string, backup io.ReaderAt, size int64) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	const first = 1
	err := writeWhole(filepath.Join(dir, snapshotName(first)), func(w io.Writer) error {
		_, err := io.Copy(&steady{file: w.(*os.File)}, io.NewSectionReader(backup, 0, size))
		return err
	})
	if err != nil {
		return err
	}
	log, err := wal.Open(dir, wal.Options{First: first})
	if err != nil {
		return err
	}
	if err := errors.Join(log.Replay(first, nil), log.Close()); err != nil {
		return err
	}
	return (&Dir{path: dir}).mark()
}

func emptyDir(dir string, remove bool) error {
	names, err := readNames(dir)
	for _, name := range names {
		err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
	}
	if remove {
		err = errors.Join(err, os.Remove(dir))
	}
	return err
}

// RestoreAsNew brings the tenants, SVMs, VMs, tokens and accounts of a backup back
// into a table that lives, as if they were written now: they win over what the
// table has of them, on every gateway. What the backup does not have stays. A
// tenant whose name another tenant has by now is an error, before anything is
// changed. Other writers go on; an error may come in the midst of it, and calling
// it again goes on from there. The Summary counts what was written.
func (t *Table) RestoreAsNew(backup io.ReaderAt, size int64) (Summary, error) {
	from := newTable(Config{Clock: t.clock.now})
	if err := from.loadSnapshot(backup, size); err != nil {
		return Summary{}, fmt.Errorf("backup: %w", err)
	}
	for _, tenant := range from.Tenants() {
		if other, ok := t.TenantByName(tenant.Name); ok && other.ID != tenant.ID {
			return Summary{}, fmt.Errorf("tenant %s of the backup is named %q, and so is tenant %s here: rename one: %w",
				tenant.ID, tenant.Name, other.ID, ErrExists)
		}
	}
	sum := Summary{}
	const chunk = 4096
	var list []Record
	var err error
	flush := func() {
		if err == nil {
			err = t.Update(func(tx *Tx) error { return tx.renew(list, &sum) })
		}
		list = list[:0]
	}
	from.records(func(r Record) bool {
		if !r.Deleted() {
			list = append(list, r)
		}
		if len(list) >= chunk {
			flush()
		}
		return err == nil
	})
	flush()
	return sum, err
}

// renew writes records as if their objects were written now.
func (tx *Tx) renew(list []Record, sum *Summary) error {
	for _, r := range list {
		value := r.Value
		switch r.Key.Kind {
		case KindSVMLoad:
			continue
		case KindActivation:
			row, err := decodeActivation(r.Value)
			if err != nil {
				return err
			}
			have, _ := decodeActivation(tx.record(r.Key).Value)
			value = tx.switched(have, row.active()).encode()
		case KindVM:
			row, err := decodeVM(r.Value)
			if err != nil {
				return err
			}
			tx.supersede(&row, tx.record(r.Key))
			value = row.encode()
		}
		tx.write(r.Key, value)
		sum.add(&r)
	}
	return nil
}
