package cluster

import (
	"context"
	"time"
)

type (
	peers  struct{}
	spread struct{}
	inbox  struct{}
	repair struct{}
	keys   struct{}
	counts struct{}
)

// A Member is a node that this one knows of, itself included.
type Member struct {
	Name    string    `json:"name"`
	Addr    string    `json:"addr"`
	State   string    `json:"state"` // alive, suspect, dead, left
	Self    bool      `json:"self"`
	Seen    time.Time `json:"seen"`    // when it was last known to be alive
	Formats [2]uint8  `json:"formats"` // the oldest and the newest message format it reads

	// Of a peer, when digests were last exchanged with it, and how many buckets
	// differed then. Lag is how long they have been differing; 0 if they are equal.
	Exchanged time.Time     `json:"exchanged"`
	Differing int           `json:"differing"`
	Lag       time.Duration `json:"lag"`
	Offset    time.Duration `json:"offset"` // of its clock from this node's, as last heard
}

// Members returns all nodes that this one knows of, by name: those that are gone
// stay known for a week, unless they left.
func (n *Node) Members() []Member { return nil }

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

// Stats are counts of a node since its start, and what holds now.
type Stats struct {
	Members, Alive int // known, itself included

	QueuedRecords, QueuedBytes int // news that waits to be sent
	DroppedNews                uint64
	DroppedFleeting            uint64
	DroppedPackets             uint64 // received, and not applied for want of room
	Malformed                  uint64 // messages that can not be read
	UnknownMessages            uint64 // of formats or types of another release

	Exchanges      uint64
	PulledRecords  uint64
	PulledBytes    uint64
	ServedRecords  uint64
	ServedBytes    uint64
	Differing      int // buckets, in the last exchange with any peer
	Rejoins        uint64
	LocalStateSize int // bytes, of the last one sent

	ClockOffset time.Duration // of this node's clock from that of most
	ClockWrong  bool          // whether most members' clocks agree on another time

	// Propagation is how long it takes from a change here until a peer has it and
	// this node knows, measured by beacons: of the last thousand.
	PropagationP50, PropagationP99 time.Duration
}

// Stats returns the present counts.
func (n *Node) Stats() Stats { return Stats{} }

// A Clock gives the time that versions are made of: this machine's, as long as
// most peers do not agree on another.
type Clock struct{ wall func() time.Time }

// NewClock returns a clock over this machine's.
func NewClock(wall func() time.Time) *Clock { return &Clock{wall: wall} }

// Now returns the time that most members agree on. It never jumps by more than
// they do.
func (c *Clock) Now() time.Time { return c.wall() }
