package cluster

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	beaconEvery   = 2 * time.Second
	beaconsFor    = 100 * time.Millisecond // for each member, at least: a large cluster needs fewer
	beaconSamples = 1000
)

// What the value of a record of kind 0 begins with; the name of its node follows.
const (
	beaconRecord  byte = 1 + iota // measures how long changes take to spread
	goodbyeRecord                 // its node leaves
)

// beacons are changes of no table, which spread as all others do and whose arrival
// peers confirm.
type beacons struct {
	key  Key
	node uint64 // of versions

	mu   sync.Mutex
	sent [16]struct { // the last ones
		clock uint64
		at    time.Time
	}
	next    int
	last    uint64
	took    []time.Duration // the last ones
	oldTook int
}

func (b *beacons) init(name string) {
	b.key = beaconKey(name)
	b.node = binary.BigEndian.Uint64(b.key.ID[:])
}

func beaconKey(name string) Key {
	sum := sha256.Sum256([]byte(name))
	return Key{Kind: 0, ID: [16]byte(sum[:])}
}

// record returns a new record of this node's.
func (n *Node) ownRecord(what byte) Record {
	b := &n.beacons
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = max(b.last+1, uint64(max(0, n.clock.Now().UnixMilli()))<<16)
	sent := &b.sent[b.next%len(b.sent)]
	sent.clock, sent.at = b.last, time.Now()
	b.next++
	return Record{b.key, Version{b.last, b.node}, append([]byte{what}, n.cfg.Name...)}
}

// beacon sends beacons until Stop.
func (n *Node) beacon() {
	for {
		every := max(beaconEvery, time.Duration(len(n.peers.alive())+1)*beaconsFor)
		if !pause(n.life, vary(every)) {
			return
		}
		if len(n.peers.alive()) > 0 && !n.refuses("") {
			n.spread.news.put("", []Record{n.ownRecord(beaconRecord)}, nil)
		}
	}
}

// vary returns d, give or take a fifth, so that nodes do not fall into step.
func vary(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5+1)
}

// goodbye tells every peer that this node leaves. They need it to tell who left from
// who died, which memberlist knows and does not say.
func (n *Node) goodbye() {
	msg := appendNews(nil, newsMessage, n.cfg.Name, n.ownRecord(goodbyeRecord))
	for _, peer := range n.peers.alive() {
		if err := n.packet(peer, msg); err != nil {
			n.log.Debug("say goodbye", "peer", peer.Name, "error", err)
		}
	}
}

// heardBeacon takes a record of kind 0 and, if it is news, passes it on.
func (n *Node) heardBeacon(sender string, r Record) {
	if len(r.Value) < 2 {
		return
	}
	name := string(r.Value[1:])
	if r.Key != beaconKey(name) || !n.peers.hears(name, r.Version.Clock) {
		return
	}
	n.spread.news.put(sender, []Record{r}, nil)
	switch r.Value[0] {
	case beaconRecord:
		n.peers.stays(name)
		if err := n.sendPacket(name, appendBeaconAck(nil, n.cfg.Name, r.Version)); err != nil {
			n.log.Debug("confirm beacon", "peer", name, "error", err)
		}
	case goodbyeRecord:
		n.peers.goes(name)
	}
}

// hears reports whether this is the newest beacon of a known peer.
func (p *peers) hears(name string, clock uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	it := p.known[name]
	if it == nil || clock <= it.beacon {
		return false
	}
	it.beacon = clock
	return true
}

// confirmed takes the answer to a beacon.
func (b *beacons) confirmed(v Version) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.sent {
		if b.sent[i].clock == v.Clock && v.Node == b.node && v.Clock != 0 {
			b.sampleLocked(now.Sub(b.sent[i].at))
			return
		}
	}
}

func (b *beacons) sampleLocked(d time.Duration) {
	if len(b.took) < beaconSamples {
		b.took = append(b.took, d)
		return
	}
	b.took[b.oldTook] = d
	b.oldTook = (b.oldTook + 1) % beaconSamples
}

// percentiles returns how long it took half of the last beacons, and 99 % of them.
func (b *beacons) percentiles() (p50, p99 time.Duration) {
	b.mu.Lock()
	took := slices.Clone(b.took)
	b.mu.Unlock()
	if len(took) == 0 {
		return 0, 0
	}
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100]
}
