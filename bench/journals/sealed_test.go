package journals

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/types"

	"github.com/svmgate/svmgate/store"
)

// stopsHere is raft-wal's list of files, at which a process stops.
type stopsHere struct {
	metadb.BoltMetaDB
	stopped atomic.Bool
}

func (s *stopsHere) CommitState(state types.PersistentState) error {
	if s.stopped.Load() {
		return errors.New("the process was killed")
	}
	return s.BoltMetaDB.CommitState(state)
}

// TestStopWhileFilesChange stops raft-wal between the append that fills a file and
// the note of it in the list of files. From then on raft-wal by itself takes no
// append, however often it is opened; the adapter must make it take one without
// losing any.
func TestStopWhileFilesChange(t *testing.T) {
	dir := t.TempDir()
	list := &stopsHere{}
	log, err := wal.Open(dir, wal.WithSegmentSize(smallFiles), wal.WithMetaStore(list), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		t.Fatal(err)
	}
	list.stopped.Store(true)
	groups, records := 0, 0
	for err == nil {
		next := group(groups, records)
		err = log.StoreLog(&raft.Log{Index: uint64(groups + 1), Data: appendEntry(nil, next)})
		if err == nil {
			groups, records = groups+1, records+len(next)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		log, err := wal.Open(dir, wal.WithSegmentSize(smallFiles), wal.WithLogger(hclog.NewNullLogger()))
		if err != nil {
			t.Fatal(err)
		}
		err = log.StoreLog(&raft.Log{Index: uint64(groups + 1)})
		t.Logf("raft-wal by itself, opened again: %v", err)
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	e, err := engine("raft-wal")
	if err != nil {
		t.Fatal(err)
	}
	healed := 0
	c := read(e, dir, smallFiles, func(j store.Journal) error {
		err := j.Append(group(groups, records))
		healed = j.(*RaftWAL).Healed
		return err
	})
	if c.err != nil || c.crash != nil {
		t.Fatal(c.err, c.crash)
	}
	c = read(e, dir, smallFiles, nil)
	if got := judge(c, groups+1); got != whole || healed != 1 {
		t.Errorf("healed %d times, and then %s, %v; want once, and all there", healed, got, c.err)
	}
}
