package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	maxPeers    = 1024               // known; more than that is not a cluster, but somebody inventing names
	forgetAfter = 7 * 24 * time.Hour // what is dead
)

// peers are the nodes that this one knows of. memberlist forgets the dead within a
// minute, does not tell who left from who died, and its own nodes can not be read
// while it changes them: so this is a copy, made in its callbacks.
type peers struct {
	mu    sync.Mutex
	name  string // of this node
	me    memberlist.Node
	known map[string]*peer // without this node
	live  atomic.Pointer[[]*memberlist.Node]
}

// A peer is another node. What live points to is never changed.
type peer struct {
	node    *memberlist.Node // nil if it has not been met since the start
	addr    string
	alive   bool
	leaving bool // it said so
	failed  bool // the last attempt to reach it
	seen    time.Time
	beacon  uint64 // clock of its last
}

func (p *peers) init(self string, before []Peer) {
	p.name, p.known = self, make(map[string]*peer)
	p.live.Store(new([]*memberlist.Node))
	for _, b := range before[:min(len(before), maxPeers)] {
		if b.Name != self && b.Name != "" && b.Addr != "" {
			p.known[b.Name] = &peer{addr: b.Addr, seen: b.Seen}
		}
	}
}

// alive returns the peers that are alive, as far as is known; shared, not to be
// changed.
func (p *peers) alive() []*memberlist.Node { return *p.live.Load() }

func (p *peers) self() *memberlist.Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	me := p.me
	return &me
}

// node returns a live peer, or nil.
func (p *peers) node(name string) *memberlist.Node {
	p.mu.Lock()
	defer p.mu.Unlock()
	if peer := p.known[name]; peer != nil && peer.alive {
		return peer.node
	}
	return nil
}

// publishLocked renews what alive returns.
func (p *peers) publishLocked() {
	live := make([]*memberlist.Node, 0, len(p.known))
	for _, peer := range p.known {
		if peer.alive {
			live = append(live, peer.node)
		}
	}
	slices.SortFunc(live, func(a, b *memberlist.Node) int { return cmp.Compare(a.Name, b.Name) })
	p.live.Store(&live)
}

// met notes a node that is alive, and reports whether it was not before.
func (p *peers) met(node *memberlist.Node, now time.Time) (isNew bool) {
	own := *node
	own.Addr, own.Meta = slices.Clone(node.Addr), slices.Clone(node.Meta)
	p.mu.Lock()
	defer p.mu.Unlock()
	if own.Name == p.name {
		p.me = own
		return false
	}
	it := p.known[own.Name]
	if it == nil {
		it = new(peer)
		p.known[own.Name] = it
	}
	isNew = !it.alive
	if isNew {
		it.leaving, it.failed, it.beacon = false, false, 0
	}
	it.node, it.addr, it.alive, it.seen = &own, own.Address(), true, now
	p.publishLocked()
	return isNew
}

// lost notes that a peer is not alive any more, and reports whether it left.
func (p *peers) lost(name string, now time.Time) (left bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	it := p.known[name]
	if it == nil {
		return false
	}
	it.alive, it.seen, left = false, now, it.leaving
	if left {
		delete(p.known, name)
	}
	p.publishLocked()
	return left
}

// goes notes that a peer said it would leave. If it was thought dead, it is
// forgotten now.
func (p *peers) goes(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if it := p.known[name]; it != nil {
		it.leaving = true
		if !it.alive {
			delete(p.known, name)
		}
	}
}

// stays notes that a peer is there after all: what it said was old.
func (p *peers) stays(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if it := p.known[name]; it != nil {
		it.leaving = false
	}
}

// heard notes that a peer said something, or could not be reached.
func (p *peers) heard(name string, now time.Time, failed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if it := p.known[name]; it != nil {
		it.failed = failed
		if !failed {
			it.seen = now
		}
	}
}

// forget drops peers that have been dead for long. It keeps all while nobody is
// alive: then whoever was known is all there is to go back to, and our clock may be
// wrong.
func (p *peers) forget(now time.Time) {
	if len(p.alive()) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.known, func(_ string, it *peer) bool {
		return !it.alive && now.Sub(it.seen) > forgetAfter
	})
}

// missing returns the addresses of known peers that are not alive, and of those
// that are, this node included.
func (p *peers) missing() (missing []string, alive map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	alive = map[string]bool{p.me.Address(): true}
	for _, it := range p.known {
		if it.alive {
			alive[it.addr] = true
		} else {
			missing = append(missing, it.addr)
		}
	}
	return missing, alive
}

// count returns how many nodes are known and alive, this one included.
func (p *peers) count() (known, alive int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.known) + 1, len(p.alive()) + 1
}

// knownPeers returns what [State.Peers] should be.
func (n *Node) knownPeers() []Peer {
	p := &n.peers
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Peer, 0, len(p.known))
	for _, name := range slices.Sorted(maps.Keys(p.known)) {
		it := p.known[name]
		all = append(all, Peer{Name: name, Addr: it.addr, Seen: it.seen})
	}
	return all
}

// livePeers returns the names of the peers that are alive.
func (n *Node) livePeers() []string {
	live := n.peers.alive()
	names := make([]string, len(live))
	for i, node := range live {
		names[i] = node.Name
	}
	return names
}

// sendPacket sends a message that may be lost. It must fit into a packet.
func (n *Node) sendPacket(peer string, msg []byte) error {
	node := n.peers.node(peer)
	if node == nil {
		return fmt.Errorf("%w: %s", ErrNoMember, peer)
	}
	return n.packet(node, msg)
}

func (n *Node) packet(to *memberlist.Node, msg []byte) error {
	list := n.list.Load()
	if list == nil {
		return ErrNoMember
	}
	return list.SendBestEffort(to, msg)
}

// sendReliable sends a message over a connection of its own. That it returns no
// error means that it was sent: not that it was read.
func (n *Node) sendReliable(peer string, msg []byte) error {
	node, list := n.peers.node(peer), n.list.Load()
	if node == nil || list == nil {
		return fmt.Errorf("%w: %s", ErrNoMember, peer)
	}
	err := list.SendReliable(node, msg)
	if err != nil {
		n.peers.heard(peer, time.Time{}, true)
		return fmt.Errorf("cluster: send to %s: %w", peer, err)
	}
	return nil
}

// A Member is a node that this one knows of, itself included.
type Member struct {
	Name string `json:"name"`
	Addr string `json:"addr"`

	// State is alive; suspect, if it should be alive but was not to be reached the
	// last time; or dead. Who leaves is forgotten.
	State string `json:"state"`

	Self    bool      `json:"self"`
	Seen    time.Time `json:"seen"`    // when it was last known to be alive
	Formats [2]uint8  `json:"formats"` // the oldest and the newest message format it reads
	Ready   bool      `json:"ready"`   // it may answer, as last heard

	// Of a peer, when digests were last exchanged with it, and how many buckets
	// differed then. Lag is how long they have been differing; 0 if they are equal.
	Exchanged time.Time     `json:"exchanged"`
	Differing int           `json:"differing"`
	Lag       time.Duration `json:"lag"`
	Offset    time.Duration `json:"offset"` // of its clock from this node's, as last heard
}

// Members returns all nodes that this one knows of, by name: those that are gone
// stay known for a week, unless they left.
func (n *Node) Members() []Member {
	me := Member{Name: n.cfg.Name, Addr: n.Addr(), State: "alive", Self: true,
		Seen: n.clock.Now(), Formats: [2]uint8{oldestFormat, newestFormat}}
	all := append(n.peers.members(), me)
	slices.SortFunc(all, func(a, b Member) int { return cmp.Compare(a.Name, b.Name) })
	for i := range all {
		n.describe(&all[i])
	}
	return all
}

func (p *peers) members() []Member {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Member, 0, len(p.known)+1)
	for name, it := range p.known {
		m := Member{Name: name, Addr: it.addr, Seen: it.seen, State: "dead"}
		switch {
		case it.alive && it.failed:
			m.State = "suspect"
		case it.alive:
			m.State = "alive"
		}
		if it.node != nil && len(it.node.Meta) >= 2 {
			m.Formats = [2]uint8(it.node.Meta)
		}
		all = append(all, m)
	}
	return all
}

// events is what memberlist tells of members, while it holds a lock of its own:
// nothing here may call it.
type events struct{ *Node }

func (n events) NotifyJoin(node *memberlist.Node) {
	if n.peers.met(node, n.clock.Now()) {
		n.log.Info("peer is there", "peer", node.Name, "addr", node.Address())
	}
}

func (n events) NotifyUpdate(node *memberlist.Node) { n.peers.met(node, n.clock.Now()) }

func (n events) NotifyLeave(node *memberlist.Node) {
	if node.Name == n.cfg.Name {
		return
	}
	left := n.peers.lost(node.Name, n.clock.Now())
	n.asks.gone(node.Name) // nobody asks it any more
	if left {
		n.log.Info("peer left", "peer", node.Name)
	} else {
		n.log.Warn("peer is gone", "peer", node.Name, "addr", node.Address())
	}
}

// NotifyAlive refuses nodes that can not be.
func (n events) NotifyAlive(node *memberlist.Node) error {
	if node.Name == "" || len(node.Name) > maxName {
		return errors.New("its name is empty or too long")
	}
	n.peers.mu.Lock()
	defer n.peers.mu.Unlock()
	if n.peers.known[node.Name] == nil && len(n.peers.known) >= maxPeers && node.Name != n.cfg.Name {
		return errors.New("too many members")
	}
	return nil
}

// NotifyConflict hears of two nodes with one name.
func (n events) NotifyConflict(known, other *memberlist.Node) {
	if !known.Addr.Equal(other.Addr) || known.Port != other.Port {
		n.log.Warn("two nodes have the same name, or one has moved: the one that was there first stays, until it is dead",
			"name", known.Name, "addr", known.Address(), "other", other.Address())
	}
}
