package journals

import (
	"fmt"

	"github.com/hashicorp/raft"
)

// heal makes a log take appends again whose newest file is sealed although the
// list of files does not say so. Cutting the last entry off makes raft-wal begin a
// new file; the entry is kept aside meanwhile, so that a crash does not lose it.
func (j *RaftWAL) heal() error {
	var entry raft.Log
	if err := j.log.GetLog(j.last, &entry); err != nil {
		return err
	}
	if err := j.log.Set(rescued, entry.Data); err != nil {
		return err
	}
	if err := j.log.SetUint64(rescueKey, j.last); err != nil {
		return err
	}
	if err := j.log.DeleteRange(j.last, j.last); err != nil {
		return err
	}
	j.last--
	if err := j.finishHealing(); err != nil {
		j.shut() // or the next entry would take the place of this one
		return err
	}
	return nil
}

// finishHealing appends the entry that was kept aside if the log ends before it.
func (j *RaftWAL) finishHealing() error {
	index, err := j.log.GetUint64(rescueKey)
	if err != nil || index != j.last+1 {
		return err
	}
	data, err := j.log.Get(rescued)
	if err != nil {
		return err
	}
	if err := j.store(data); err != nil {
		return fmt.Errorf("entry %d, kept aside: %w", index, err)
	}
	return j.log.SetUint64(rescueKey, 0)
}
