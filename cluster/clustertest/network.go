// Package clustertest tries clusters on a network in memory, with faults and in
// virtual time: all of it runs in a bubble of testing/synctest.
//
// A [Network] loses, delays, repeats and reorders packets, cuts and heals. A [World]
// is nodes on one, with clocks that may be wrong, that crash and start again, and
// it knows what was acknowledged: [World.Settle] fails a test if tables stay
// different, if a write is lost, or if what was deleted is back. [Simulate] lets a
// seed choose all that happens.
//
// # What a seed repeats
//
// A seed fixes the plan (which nodes, which faults, what is written, cut and
// crashed at what moment of virtual time), and the fate of the nth packet on each
// way from one node to another. It does not fix everything: which of two goroutines
// runs first, which of two timers fires first at the same instant, which case a
// select takes and how memberlist chooses peers is chance, so the nth packet is not
// the same each time. A seed that fails because of its plan fails again; one that
// needed a particular order fails again now and then. Run it some dozens of times.
package clustertest

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/hashicorp/memberlist"
)

// Faults are what a network does at random to all that is sent.
type Faults struct {
	Loss      float64 // of packets, from 0 to 1; streams are held up instead
	Duplicate float64 // of packets

	// Delay is how long everything takes, Jitter how much longer at most. Packets
	// overtake one another by that.
	Delay, Jitter time.Duration
}

// Counts are packets.
type Counts struct {
	Sent, Lost, Duplicated uint64
	Cut                    uint64 // sent where there was no way
	Unheard                uint64 // nobody listened, or not fast enough
}

// A Network connects transports. Its methods may be called by any number of
// goroutines of one bubble.
type Network struct {
	seed uint64

	mu       sync.Mutex
	faults   Faults
	hosts    map[string]*host // by name
	byAddr   map[string]*host
	ways     map[way]*rand.Rand
	cut      map[way]bool
	group    map[string]int // of a partition; nil if there is none
	streams  map[*stream]bool
	counts   Counts
	captured []Packet
	capture  int // how many more
}

// A way leads from one host to another.
type way struct{ from, to string }

// A host is an address, and whoever listens there.
type host struct {
	name, addr string
	ip         net.IP
	listener   *Transport
	paused     chan struct{} // closed when the pause ends; nil if there is none
	held       []*memberlist.Packet
}

// Every host has this port.
const port = 7946

// NewNetwork returns a network without hosts.
func NewNetwork(seed uint64, faults Faults) *Network {
	return &Network{
		seed: seed, faults: faults,
		hosts: map[string]*host{}, byAddr: map[string]*host{},
		ways: map[way]*rand.Rand{}, cut: map[way]bool{}, streams: map[*stream]bool{},
	}
}

// Addr returns the address of a host, as host:port.
func (n *Network) Addr(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hostLocked(name).addr
}

func (n *Network) hostLocked(name string) *host {
	h := n.hosts[name]
	if h == nil {
		i := len(n.hosts) + 1
		h = &host{name: name, ip: net.IPv4(10, byte(i>>16), byte(i>>8), byte(i))}
		h.addr = net.JoinHostPort(h.ip.String(), fmt.Sprint(port))
		n.hosts[name], n.byAddr[h.addr] = h, h
	}
	return h
}

// SetFaults replaces the faults from now on.
func (n *Network) SetFaults(faults Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = faults
}

// Counts returns what became of the packets so far.
func (n *Network) Counts() Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counts
}

// Cut ends one way: what from sends does not reach to. Streams between the two
// break, and no new ones come about: they need both ways.
func (n *Network) Cut(from, to string) {
	n.mu.Lock()
	n.cut[way{from, to}] = true
	n.mu.Unlock()
	n.breakStreams(func(s *stream) bool { return n.severed(s.from, s.to) })
}

// Partition cuts all ways between nodes of different groups, in place of an
// earlier partition. Nodes that are named in no group are one, too.
func (n *Network) Partition(groups ...[]string) {
	n.mu.Lock()
	n.group = map[string]int{}
	for i, names := range groups {
		for _, name := range names {
			n.group[name] = i + 1
		}
	}
	n.mu.Unlock()
	n.breakStreams(func(s *stream) bool { return n.severed(s.from, s.to) })
}

// Heal ends all cuts and partitions.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.cut)
	n.group = nil
}

// openLocked reports whether packets get through from one host to another.
func (n *Network) openLocked(from, to string) bool {
	return !n.cut[way{from, to}] && (n.group == nil || n.group[from] == n.group[to])
}

// severed reports whether there is no way to or no way back.
func (n *Network) severed(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.openLocked(a, b) || !n.openLocked(b, a)
}

func (n *Network) breakStreams(which func(*stream) bool) {
	n.mu.Lock()
	all := make([]*stream, 0, len(n.streams))
	for s := range n.streams {
		all = append(all, s)
	}
	n.mu.Unlock()
	for _, s := range all {
		if which(s) {
			s.reset()
		}
	}
}

// Crash ends whoever listens at a host, and breaks its streams. Nobody is told.
func (n *Network) Crash(name string) {
	n.mu.Lock()
	listener := n.hostLocked(name).listener
	n.mu.Unlock()
	if listener != nil {
		_ = listener.Shutdown()
	}
	n.Resume(name)
	n.breakStreams(func(s *stream) bool { return s.from == name || s.to == name })
}

// Pause stops a host as SIGSTOP stops a process: it sends and reads nothing, and
// whoever tries waits. What is sent to it waits, too, until [Network.Resume].
func (n *Network) Pause(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hostLocked(name); h.paused == nil {
		h.paused = make(chan struct{})
	}
}

// Resume ends a pause.
func (n *Network) Resume(name string) {
	n.mu.Lock()
	h := n.hostLocked(name)
	held := h.held
	if h.paused != nil {
		close(h.paused)
	}
	h.paused, h.held = nil, nil
	n.mu.Unlock()
	for _, p := range held {
		n.deliver(h, p)
	}
}

// pause returns a channel that is closed when the pause of a host ends, or nil if
// there is none.
func (n *Network) pause(name string) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[name].paused
}

// A Packet is one that was sent: whether it arrived is another matter.
type Packet struct {
	From, To string
	Bytes    []byte
}

// Capture keeps the next count packets that are sent, until [Network.Captured].
func (n *Network) Capture(count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.capture, n.captured = count, nil
}

// Captured returns the packets kept since [Network.Capture], and ends it.
func (n *Network) Captured() []Packet {
	n.mu.Lock()
	defer n.mu.Unlock()
	captured := n.captured
	n.capture, n.captured = 0, nil
	return captured
}

// Inject delivers a packet to a host, as if it came from another.
func (n *Network) Inject(p Packet) {
	n.mu.Lock()
	from, to := n.hostLocked(p.From), n.hostLocked(p.To)
	n.mu.Unlock()
	n.deliver(to, &memberlist.Packet{Buf: bytes.Clone(p.Bytes), From: from, Timestamp: time.Now()})
}

// send lets a packet meet its fate.
func (n *Network) send(from *host, addr string, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counts.Sent++
	to := n.byAddr[addr]
	if to == nil {
		n.counts.Unheard++
		return
	}
	if n.capture > 0 {
		n.capture--
		n.captured = append(n.captured, Packet{from.name, to.name, bytes.Clone(b)})
	}
	chance := n.chanceLocked(from.name, to.name)
	lost, twice, delays := chance.Float64() < n.faults.Loss, chance.Float64() < n.faults.Duplicate, [2]time.Duration{}
	for i := range delays { // as many draws for every packet, so that fates do not depend on faults
		delays[i] = n.faults.Delay + time.Duration(chance.Float64()*float64(n.faults.Jitter))
	}
	copies := 1
	switch {
	case !n.openLocked(from.name, to.name):
		n.counts.Cut++
		return
	case lost:
		n.counts.Lost++
		return
	case twice:
		n.counts.Duplicated++
		copies = 2
	}
	for i := range copies {
		p := &memberlist.Packet{Buf: bytes.Clone(b), From: from}
		time.AfterFunc(delays[i], func() {
			p.Timestamp = time.Now()
			n.deliver(to, p)
		})
	}
}

// chanceLocked returns the dice of one way.
func (n *Network) chanceLocked(from, to string) *rand.Rand {
	w := way{from, to}
	if n.ways[w] == nil {
		n.ways[w] = rand.New(rand.NewPCG(n.seed, xxhash.Sum64String(from+">"+to)))
	}
	return n.ways[w]
}

// inbox is how many packets wait at a host that does not read.
const inbox = 1024

func (n *Network) deliver(to *host, p *memberlist.Packet) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case to.listener == nil:
		n.counts.Unheard++
	case to.paused != nil && len(to.held) < inbox:
		to.held = append(to.held, p)
	case to.paused != nil || !to.listener.take(p):
		n.counts.Unheard++
	}
}
