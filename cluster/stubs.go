package cluster

import (
	"math/bits"
	"time"
)

type repair struct{}

// What C2 implements, and its callers rely on. None may wait, but for startRepair's
// goroutines.

// initRepair says who answers; memberlist has not started yet.
func (n *Node) initRepair() {}

// startRepair starts what runs until n.life ends, counted in n.work.
func (n *Node) startRepair() {}

// localState is asked by push/pull: at most 64 KiB.
func (n *Node) localState(join bool) []byte { return nil }

// mergeRemoteState is told by push/pull; buf is not ours.
func (n *Node) mergeRemoteState(buf []byte, join bool) {}

// heardHint is told the root of a peer's digest.
func (n *Node) heardHint(peer string, root uint64) {}

// hintSoon has hints sent at once: news was dropped.
func (n *Node) hintSoon() {}

// refuses reports whether nothing may be taken from peer because it is stale, or
// this node is; peer "" asks for this node alone.
func (n *Node) refuses(peer string) bool { return false }

// describe fills in what exchanges told of a member.
func (n *Node) describe(m *Member) {}

// repairStats fills in counts of exchanges and repair, and of the clock.
func (n *Node) repairStats(s *Stats) {}

// Ready reports whether this node may answer, and if not, why not: it may once
// everything is applied that the first peer it met had, or when it has waited for
// 30 seconds and its table is not empty. A node that has no seeds is ready at once; an
// empty one that has seeds only waits for them, unless it is to bootstrap. Once
// ready, it stays so.
func (n *Node) Ready() (ready bool, why string) { return true, "" }

// A Clock gives the time that versions are made of: this machine's, as long as
// most peers do not agree on another.
type Clock struct{ wall func() time.Time }

// NewClock returns a clock over this machine's.
func NewClock(wall func() time.Time) *Clock { return &Clock{wall: wall} }

// Now returns the time that most members agree on. It never jumps by more than
// they do.
func (c *Clock) Now() time.Time { return c.wall() }

// root is a digest in short: equal for equal ones. All releases must agree on it.
func (d *Digest) root() uint64 {
	var h uint64
	for _, f := range d {
		h = bits.RotateLeft64(h^f, 29) * 0x9e3779b97f4a7c15
	}
	return h ^ h>>32
}

// rootOf is the root of a table's present digest.
func rootOf(t Table) uint64 {
	var d Digest
	t.Digest(&d)
	return d.root()
}
