package journals

import (
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"github.com/svmgate/svmgate/store"
)

// underTest are the engines that the failures are tried on: the finalists, and
// raft-wal without what the adapter adds, to tell the two apart.
var underTest = append(Engines[:len(Engines):len(Engines)], Engine{
	Name: "raft-wal by itself", Logs: "*.wal",
	Open: openBare,
})

// bareWAL is raft-wal by itself, as a journal.
type bareWAL struct{ log *wal.WAL }

func openBare(dir string, segments int) (store.Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	log, err := wal.Open(dir, wal.WithSegmentSize(segments), wal.WithLogger(hclog.NewNullLogger()))
	if err != nil {
		return nil, err
	}
	return bareWAL{log}, nil
}

// Replay implements [store.Journal].
func (w bareWAL) Replay(fn func(store.Record) error) error {
	last, err := w.log.LastIndex()
	var entry raft.Log
	for i := uint64(1); i <= last && err == nil; i++ {
		if err = w.log.GetLog(i, &entry); err == nil {
			err = readRecords(entry.Data, fn)
		}
	}
	return err
}

// Append implements [store.Journal].
func (w bareWAL) Append(records []store.Record) error {
	last, err := w.log.LastIndex()
	if err != nil {
		return err
	}
	return w.log.StoreLog(&raft.Log{Index: last + 1, Data: appendEntry(nil, records)[sumSize:]})
}

// Close implements [store.Journal].
func (w bareWAL) Close() error { return w.log.Close() }
