package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A craft is a backup in the making, with right checksums whatever is in it.
type craft struct {
	*snapshotWriter
	file  *bytes.Buffer
	table *Table
}

func newCraft(t *testing.T) craft {
	t.Helper()
	var file bytes.Buffer
	s, err := newSnapshotWriter(&file)
	if err != nil {
		t.Fatal(err)
	}
	return craft{s, &file, newTable(Config{})}
}

// enter puts a VM into the table that no change could have put there.
func (c craft) enter(id BIOSID, e vmEntry) {
	e.registration.Key, e.placement.Key = Key{KindVM, id}, Key{KindPlacement, id}
	slot := c.table.vms.claim(&id)
	c.table.vms.setPacked(slot, bytes.Clone(c.table.symbols.pack(&e)))
	c.table.vms.setFacts(slot, factsClaimed)
}

// block writes the block of one shard under the number of another.
func (c craft) block(shard, number int) error {
	s := c.snapshotWriter
	s.begin(frameBlock)
	s.buf = c.table.vms.appendBlock(append(s.buf, byte(number)), shard)
	return s.end()
}

func (c craft) dictionary() error {
	s := c.snapshotWriter
	s.begin(frameDictionary)
	s.buf = c.table.symbols.append(s.buf)
	return s.end()
}

// What passes as a backup can be started with, and what can not be started with
// is refused before anything is made or changed.
func TestCraftedBackupIsRefused(t *testing.T) {
	version := Version{Clock: uint64(time.Now().UnixMilli()) << 16, Node: 1}
	unreadable := Record{Version: version, Value: []byte{1, 0xff, 0xff}}
	all := func(c craft) error { return c.table.writeRecords(context.Background(), c.snapshotWriter, everything) }
	tests := []struct {
		name  string
		write func(craft) error
	}{
		{"no blocks", craft.dictionary},
		{"a block less", func(c craft) (err error) {
			for shard := range vmShards - 1 {
				err = errors.Join(err, c.block(shard, shard))
			}
			return errors.Join(err, c.dictionary())
		}},
		{"blocks in another order", func(c craft) (err error) {
			for shard := range vmShards {
				err = errors.Join(err, c.block(shard^1, shard^1))
			}
			return errors.Join(err, c.dictionary())
		}},
		{"VMs in another shard", func(c craft) (err error) {
			c.enter(BIOSID{1}, vmEntry{registration: Record{Version: version}})
			for shard := range vmShards {
				err = errors.Join(err, c.block(shard^1, shard))
			}
			return errors.Join(err, c.dictionary())
		}},
		{"a registration that can not be read", func(c craft) error {
			c.enter(BIOSID{1}, vmEntry{registration: unreadable})
			return all(c)
		}},
		{"a placement that can not be read", func(c craft) error {
			c.enter(BIOSID{1}, vmEntry{placement: unreadable})
			return all(c)
		}},
		{"more SVMs than a table takes", func(c craft) error {
			row := svmConfigRow{SVMConfig: SVMConfig{Name: "s", Address: "10.0.0.1"}}
			list := slices.Repeat([]Record{{Key: Key{Kind: KindSVMConfig}, Version: version, Value: row.encode()}}, MaxSVMs+1)
			for i := range list {
				list[i].Key.ID = numberedBIOS(i + 1)
			}
			return errors.Join(all(c), c.records(list))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCraft(t)
			if err := errors.Join(tt.write(c), c.finish(version.Clock)); err != nil {
				t.Fatal(err)
			}
			backup := bytes.NewReader(c.file.Bytes())
			if sum, err := CheckBackup(backup, backup.Size(), nil); err == nil {
				t.Errorf("CheckBackup finds %+v", sum)
			}
			dir := filepath.Join(t.TempDir(), "made")
			if _, err := Restore(dir, backup, backup.Size(), nil); err == nil {
				t.Error("it was restored")
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Error("the refusal made a directory")
			}
			x := open(t, Config{})
			if _, err := x.RestoreAsNew(backup, backup.Size()); !errors.Is(err, ErrBackup) || len(x.all()) > 0 {
				t.Errorf("RestoreAsNew = %v, and there are %d records; want ErrBackup and none", err, len(x.all()))
			}
		})
	}
}
