package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/svmgate/svmgate/store/internal/wal"
)

// ErrBackup reports what is no backup, or one that is damaged.
var ErrBackup = errors.New("the backup can not be read")

// Backup writes a copy of all records to w: the table as it was at one moment
// between the call and the return. Readers and writers go on meanwhile; it is an
// error if for too long they change more than w takes. The copy
// is a snapshot; [Restore] makes a data directory of it, [Table.RestoreAsNew]
// brings its objects back into a table that lives, [CheckBackup] tells whether it
// is whole. It holds digests of passwords and tokens: keep it as secret as the
// data directory. Tasks are left out: a gateway that starts from it must not undo
// what was under way when it was made, and has long been done.
func (t *Table) Backup(ctx context.Context, w io.Writer) error {
	buffered := bufio.NewWriterSize(w, 1<<20)
	s, err := newSnapshotWriter(buffered)
	if err != nil {
		return err
	}
	changed := &changedKeys{keys: map[Key]struct{}{}}
	cancel := t.Subscribe(changed.note)
	defer cancel()
	if err := t.writeRecords(ctx, s, func(k Kind) bool { return !k.isOfTasks() }); err != nil {
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
		if r := &news.Records[i]; lasts(*r) && !r.Key.Kind.isOfTasks() {
			c.keys[news.Records[i].Key] = struct{}{}
		}
	}
}

// changedChunk is how many records are read while writers wait.
const changedChunk = 4096

// writeChanged writes what changed while the rest was written. It goes on until
// little is left, which it takes while no writer changes anything: at that moment
// the copy is what the table is. What is written before then need not be of one
// moment, for whatever changes meanwhile is written again.
func (t *Table) writeChanged(ctx context.Context, s *snapshotWriter, changed *changedKeys) (clock uint64, err error) {
	const rounds = 8 // in which the number of changes may go up and down
	for round, before := 0, 0; ; round++ {
		t.writing.Lock()
		keys := changed.keys
		changed.keys = map[Key]struct{}{}
		if len(keys) <= changedChunk {
			list := t.recordsOf(keys)
			clock = t.clock.last
			t.writing.Unlock()
			return clock, s.records(list)
		}
		t.writing.Unlock()
		if round >= rounds && len(keys) >= before {
			return 0, fmt.Errorf("store: backup: the table changes faster than the backup is taken: %d records since the round before; "+
				"take it faster, or when less changes", len(keys))
		}
		before = len(keys)
		if err := t.writeKeys(ctx, s, keys); err != nil {
			return 0, err
		}
	}
}

// writeKeys writes the records of keys, a chunk after the other, so that writers
// never wait for long.
func (t *Table) writeKeys(ctx context.Context, s *snapshotWriter, keys map[Key]struct{}) error {
	chunk := make(map[Key]struct{}, changedChunk)
	flush := func() error {
		t.mu.RLock()
		list := t.recordsOf(chunk)
		t.mu.RUnlock()
		clear(chunk)
		if err := ctx.Err(); err != nil {
			return err
		}
		return s.records(list)
	}
	for key := range keys {
		chunk[key] = struct{}{}
		if len(chunk) == changedChunk {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// recordsOf returns the records of keys. It needs the table's read lock, or the
// writers'.
func (t *Table) recordsOf(keys map[Key]struct{}) []Record {
	list := make([]Record, 0, len(keys))
	for key := range keys {
		if r := t.current(key); !r.Version.IsZero() { // else forgotten since
			list = append(list, r)
		}
	}
	return list
}

// Restore makes a data directory of the backup in the first size bytes of
// backup. dir must be empty or not there, or have nothing but what a Restore has
// left that was cut short. The backup is read to its end before anything is made
// of it; after an error dir is as it was.
func Restore(dir string, backup io.ReaderAt, size int64, p Progress) (Summary, error) {
	if err := checkEmpty(dir); err != nil {
		return Summary{}, err
	}
	sum, err := CheckBackup(backup, size, p)
	if err != nil {
		return sum, err
	}
	_, err = os.Stat(dir)
	absent := errors.Is(err, os.ErrNotExist)
	if err := makeDir(dir); err != nil {
		return sum, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return sum, err
	}
	defer lock.Close()
	if err := checkEmpty(dir); err != nil { // while the backup was read a gateway may have made it its own
		return sum, err
	}
	if err := fillDir(dir, backup, size); err != nil {
		return sum, errors.Join(err, emptyDir(dir, absent))
	}
	return sum, nil
}

// restored are the files of a restored directory, in the order in which they are
// made; without the last the directory is not finished.
var restored = []string{lockName, snapshotName(firstBehind), wal.SegmentName(firstBehind), formatName}

// checkEmpty fails if dir has something that Restore must not replace.
func checkEmpty(dir string) error {
	names, err := readNames(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	unfinished := !slices.Contains(names, formatName)
	for _, name := range names {
		ours := slices.Contains(restored, strings.TrimSuffix(name, partial))
		if info, err := os.Stat(filepath.Join(dir, name)); ours && name == wal.SegmentName(firstBehind) {
			ours = err == nil && info.Size() <= int64(len(wal.Header)) // nobody has written to it
		}
		if !ours || !unfinished && name != lockName {
			return fmt.Errorf("%s is not empty: it has %s; name a directory that is empty or not there", dir, name)
		}
	}
	return nil
}

// fillDir makes the backup the first snapshot of dir, with an empty log behind it.
func fillDir(dir string, backup io.ReaderAt, size int64) error {
	if err := removeFiles(dir, restored[1:]); err != nil {
		return err
	}
	err := writeWhole(filepath.Join(dir, snapshotName(firstBehind)), func(f *os.File) error {
		w := newSteady(f)
		_, err := io.Copy(w, io.NewSectionReader(backup, 0, size))
		return errors.Join(err, w.end())
	})
	if err != nil {
		return err
	}
	log, err := wal.Open(dir, wal.Options{First: firstBehind})
	if err != nil {
		return err
	}
	if err := errors.Join(log.Replay(firstBehind, nil), log.Close()); err != nil {
		return err
	}
	return (&Dir{path: dir}).mark()
}

// emptyDir removes what Restore has made, which may be dir itself.
func emptyDir(dir string, remove bool) error {
	err := removeFiles(dir, restored)
	if err == nil && remove {
		err = os.Remove(dir)
	}
	return err
}

func removeFiles(dir string, names []string) (err error) {
	for _, name := range names {
		for _, path := range []string{filepath.Join(dir, name), filepath.Join(dir, name+partial)} {
			if e := os.Remove(path); !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	return err
}

// RestoreAsNew brings the tenants, SVMs, VMs, tokens and accounts of a backup back
// into a table that lives, as if they were written now: they win over what the
// table has of them, on every gateway. What the backup does not have stays. A
// tenant whose name has by now one that the backup does not have is an error,
// before anything is changed. Days of protection are added to those that the table has;
// events and what was observed are the history of another table, and left out. Other writers go on; an error may come in the midst of it, and calling
// it again goes on from there. The Summary counts what was written.
func (t *Table) RestoreAsNew(backup io.ReaderAt, size int64) (Summary, error) {
	from := newTable(Config{Clock: t.clock.physical})
	if err := from.loadSnapshot(backup, size); err != nil {
		return Summary{}, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	if err := t.checkNames(from); err != nil {
		return Summary{}, err
	}
	sum := Summary{}
	const chunk = 4096
	var list []Record
	var err error
	flush := func() {
		if err == nil {
			err = t.Update(func(tx *Tx) error { return tx.renew(from, list, &sum) })
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

// checkNames fails if a tenant of a backup has the name of one that the backup
// does not have, and that would keep it. Tenants of the backup itself may have
// traded names since, and even share one.
func (t *Table) checkNames(from *Table) error {
	names := map[string]Tenant{}
	for _, other := range t.Tenants() {
		if _, ok := from.Tenant(other.ID); !ok {
			names[other.Name] = other
		}
	}
	for _, tenant := range from.Tenants() {
		if other, ok := names[tenant.Name]; ok {
			return nameTaken(tenant, other)
		}
	}
	return nil
}

// renew writes records as if their objects were written now.
func (tx *Tx) renew(from *Table, list []Record, sum *Summary) error {
	for _, r := range list {
		value := r.Value
		switch r.Key.Kind {
		case KindSVMLoad:
			continue
		case KindTask, KindTaskCancel: // backup is a snapshot then, and its work is not under way here
			continue
		case KindEvent, KindObservation: // they are the history of another table
			continue
		case KindActivation: // comes with the tenant, which may have none, or be gone
			continue
		}
		if err := r.check(); err != nil { // else what is written here could not be read again
			return fmt.Errorf("%w: record %s: %w", ErrBackup, r.Key, err)
		}
		switch r.Key.Kind {
		case KindTenant:
			if err := tx.renewTenant(from, r, sum); err != nil {
				return err
			}
		case KindVM:
			row, err := decodeVM(r.Value)
			if err != nil {
				return err
			}
			have := tx.vm(r.Key.ID)
			tx.supersede(&row, &have.registration)
			value = row.encode()
		case KindProtection:
			if !r.Key.isFloor() && tx.addProtection(&r) {
				sum.add(&r)
			}
			continue
		}
		tx.write(r.Key, value)
		sum.add(&r)
	}
	return nil
}

// renewTenant writes the activation of a tenant, and claims its name.
func (tx *Tx) renewTenant(from *Table, r Record, sum *Summary) error {
	id := TenantID(r.Key.ID)
	tenant, _ := from.Tenant(id)
	if other, ok := tx.TenantByName(tenant.Name); ok && other.ID != id { // since checkNames, or in the backup, too
		if _, ok := from.Tenant(other.ID); !ok {
			return nameTaken(tenant, other)
		}
	}
	if old, ok := tx.Tenant(id); ok && old.Name != tenant.Name {
		if holder, ok := tx.TenantByName(old.Name); ok && holder.ID == id {
			tx.claim(old.Name, TenantID{})
		}
	}
	tx.claim(tenant.Name, id)
	activation := Record{Key: Key{KindActivation, id}}
	have, _ := decodeActivation(tx.record(activation.Key).Value)
	activation.Value = tx.switched(have, tenant.Status == Active).encode()
	tx.write(activation.Key, activation.Value)
	sum.add(&activation)
	return nil
}

func nameTaken(tenant, other Tenant) error {
	return fmt.Errorf("tenant %s of the backup is named %q, and so is another here: rename tenant %s here: %w",
		tenant.ID, tenant.Name, other.ID, ErrExists)
}
