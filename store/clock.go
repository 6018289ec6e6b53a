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
	return &clock{physical: physical, now: physical(), node: nodeHash(node)}
}

// nodeHash is what versions have of the name of a node.
func nodeHash(name string) uint64 { return xxhash.Sum64String(name) }

const (
	counterBits = 16
	mostMillis  = 1<<(64-counterBits) - 1
)

// clockAt is the first version of a moment. One before 1970 is taken for that, or
// it would be the far future.
func clockAt(at time.Time) uint64 {
	return uint64(min(max(at.UnixMilli(), 0), mostMillis)) << counterBits
}

// read reads the physical clock; the other methods go by what it said.
func (c *clock) read() { c.now = c.physical() }

// next returns a version newer than every version seen so far.
func (c *clock) next() Version {
	c.last = max(c.last+1, clockAt(c.now))
	return Version{Clock: c.last, Node: c.node}
}

// observe makes later versions newer than v. Call it for admissible versions
// only: a clock never follows one that is too far ahead.
func (c *clock) observe(v Version) { c.last = max(c.last, v.Clock) }

// admissible reports whether v is not from the future: its time, in milliseconds,
// is at most [MaxSkew] from now. What this node has written or admitted before is
// not, even if its physical clock has since been set back: otherwise its own writes
// would be refused until time catches up.
func (c *clock) admissible(v Version) bool {
	return v.Clock <= c.last || v.Clock <= latest(c.now)
}

// latest is the greatest clock that is admissible at a moment.
func latest(now time.Time) uint64 { return clockAt(now.Add(MaxSkew)) | (1<<counterBits - 1) }

// ahead is how far the newest version is ahead of the physical clock.
func (c *clock) ahead() time.Duration { return Version{Clock: c.last}.after(c.physical()) }

// after is how much later than a moment v is: at most some 290 years.
func (v Version) after(at time.Time) time.Duration { return time.UnixMilli(v.Millis()).Sub(at) }

// refusals tells of refused records, in at most one line a second.
type refusals struct {
	told   time.Time // when the last line was written
	silent int       // refused since
}

// refuse counts a record from the future, and tells of it.
func (t *Table) refuse(r *Record) {
	t.refused.Add(1)
	if t.refusals.silent++; !t.refusals.told.IsZero() && time.Since(t.refusals.told) < time.Second {
		return
	}
	t.log.Warn("records from the future refused: check the clocks of the gateways",
		"records", t.refusals.silent, "key", r.Key, "ahead", r.Version.after(t.clock.now).String())
	t.refusals = refusals{told: time.Now()}
}
