package store

import (
	"time"

	"github.com/cespare/xxhash/v2"
)

// MaxSkew is how far in the future a record's version may lie, by this node's
// clock. Records beyond it are refused and counted.
const MaxSkew = 60 * time.Second

// clock is a hybrid logical clock. Its methods need the writer's lock. The physical
// clock is read once for all the changes of a group: reading it takes as long as
// finding a VM.
type clock struct {
	physical func() time.Time
	now      time.Time // as last read
	node     uint64
	last     uint64
}

func newClock(node string, physical func() time.Time) *clock {
	return &clock{physical: physical, now: physical(), node: xxhash.Sum64String(node)}
}

// read reads the physical clock; the other methods go by what it said.
func (c *clock) read() { c.now = c.physical() }

func (c *clock) millis() uint64 { return uint64(c.now.UnixMilli()) << 16 }

// next returns a version newer than every version seen so far.
func (c *clock) next() Version {
	c.last = max(c.last+1, c.millis())
	return Version{Clock: c.last, Node: c.node}
}

// observe makes later versions newer than v. Call it for admissible versions
// only: a clock never follows one that is too far ahead.
func (c *clock) observe(v Version) { c.last = max(c.last, v.Clock) }

// admissible reports whether v is not from the future. What this node has
// written or admitted before is not, even if its physical clock has since been
// set back: otherwise its own writes would be refused until time catches up.
func (c *clock) admissible(v Version) bool {
	return v.Clock <= max(c.last, c.millis()+uint64(MaxSkew.Milliseconds())<<16)
}
