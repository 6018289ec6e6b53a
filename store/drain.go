package store

import (
	"fmt"
	"time"
)

// A Drain is how agents leave an SVM that is draining: evenly, each in its turn. The
// zero Drain of such an SVM was written by a release that did not know of turns: its
// agents leave at once.
type Drain struct {
	Since Time `json:"since"` // when it began
	Over  int  `json:"over"`  // seconds until all have left, from Since on; 0 means at once
}

// Bounds of [Drain.Over].
const (
	DefaultDrain = 10 * time.Minute
	MaxDrain     = 24 * time.Hour
)

// Until returns when all agents have left, or are told to with their next question.
func (d Drain) Until() time.Time { return d.Since.Add(time.Duration(d.Over) * time.Second) }

// began is the drain of an SVM that is draining, and was if it has one already.
func (d Drain) began(now time.Time) Drain {
	if d.Since.IsZero() {
		return Drain{Since: Time{now}, Over: int(DefaultDrain / time.Second)}
	}
	return d
}

// drainOf is the drain of an SVM that is to be draining, and was or was not.
func (tx *Tx) drainOf(id SVMID) Drain {
	row, err := decodeSVMConfig(tx.current(KindSVMConfig, id).Value)
	if err == nil && row.Wanted == Draining {
		return row.Drain
	}
	return Drain{}.began(tx.now)
}

// DrainSVM lets an SVM take no new agents, and those that it has leave evenly over a
// time of 0 (at once) to [MaxDrain]. Of one that is draining already only that time
// changes, not since when.
func (tx *Tx) DrainSVM(id SVMID, over time.Duration) (bool, error) {
	row, err := decodeSVMConfig(tx.current(KindSVMConfig, id).Value)
	if err != nil {
		return false, fmt.Errorf("SVM %s: %w", id, ErrNotFound)
	}
	if over < 0 || over > MaxDrain {
		return false, fieldError("over", over.String(), "must be 0s to %s", MaxDrain)
	}
	row.Wanted, row.Drain = Draining, row.Drain.began(tx.now)
	row.Drain.Over = int((over + time.Second - 1) / time.Second)
	return tx.put(KindSVMConfig, id, row.encode()), nil
}
