package cluster

import (
	"context"
	"time"
)

type (
	repair struct{}
	keys   struct{}
)

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

// What C4 implements.

// initKeys says who answers, and makes the ring of cfg.Keys.
func (n *Node) initKeys() {}

// Ready reports whether this node may answer, and if not, why not: it may once
// everything is applied that the first peer it met had, or when it has waited for
// 30 seconds and its table is not empty. A node that has no seeds is ready at once; an
// empty one that has seeds only waits for them, unless it is to bootstrap. Once
// ready, it stays so.
func (n *Node) Ready() (ready bool, why string) { return true, "" }

// A Confirmation says who has applied records.
type Confirmation struct {
	Applied []string // names, this node's among them
	Missing []string // known members that have not answered, or not yet
}

// Confirm sends records, which this node has applied, to every known member, and
// waits until enough of them have them on disk, or ctx ends. enough is how many
// members, this one included; all known ones if 0 or more than there are. What is
// known is what Members returns but for those that left.
func (n *Node) Confirm(ctx context.Context, records []Record, enough int) Confirmation {
	return Confirmation{Applied: []string{n.cfg.Name}}
}

// Majority is how many of the known members are more than half of them.
func (n *Node) Majority() int { return 1 }

// A TableDigest is a member's table in short.
type TableDigest struct {
	Node string `json:"node"`
	Root string `json:"root"` // equal for equal tables; 16 hexadecimal digits
	Err  string `json:"error,omitempty"`
}

// Digests asks every known member for its table's digest, by name.
func (n *Node) Digests(ctx context.Context) []TableDigest { return nil }

// A KeyChange is what is to be done about encryption keys.
type KeyChange string

// Changes of keys. To replace one: add the new one everywhere, use it everywhere,
// remove the old one everywhere.
const (
	ListKeys  KeyChange = "list"
	AddKey    KeyChange = "add"    // decrypt with it, too
	UseKey    KeyChange = "use"    // encrypt with it
	RemoveKey KeyChange = "remove" // not the one in use
)

// A KeyAnswer is what a member says of a change of keys.
type KeyAnswer struct {
	Node string   `json:"node"`
	Keys []string `json:"keys"` // short digests, the one in use first: enough to tell them apart
	Err  string   `json:"error,omitempty"`
}

// ChangeKeys makes a change on every known member, this one included, and returns
// what each says of it, by name. A change is refused everywhere, before anything is
// done, if it could part the cluster: using a key that a known member does not have,
// removing one that a member uses.
func (n *Node) ChangeKeys(ctx context.Context, change KeyChange, key []byte) ([]KeyAnswer, error) {
	return nil, nil
}

// A Clock gives the time that versions are made of: this machine's, as long as
// most peers do not agree on another.
type Clock struct{ wall func() time.Time }

// NewClock returns a clock over this machine's.
func NewClock(wall func() time.Time) *Clock { return &Clock{wall: wall} }

// Now returns the time that most members agree on. It never jumps by more than
// they do.
func (c *Clock) Now() time.Time { return c.wall() }
