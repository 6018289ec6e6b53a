package cluster

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	near   = 32 // how many peers are told of a change at once by where it was made: mostly all
	fanOut = 4  // by whoever hears of it

	newsPace     = 5 * time.Millisecond   // between two flushes
	fleetingPace = 250 * time.Millisecond // of fleeting records
	packetPace   = 600 * time.Microsecond // for each packet of the flush before
	maxFlush     = 32                     // packets in a flush: more would only fill the receivers' buffers
	fewPackets   = 8                      // that may go to more peers

	maxWaiting      = 4096 // records in a lane
	maxWaitingBytes = 1 << 20
	maxBurst        = 1024 // records in a call: more are not news, but for repair
	maxTail         = 256  // records that are repeated
)

// spread tells peers of changes, in two lanes. News is sent as soon as it comes, in
// packets to a few random peers, and then repeated with memberlist's gossip: that
// makes up for lost packets, but is slow (a packet each 50 ms), and waits behind
// what memberlist has to say itself.
type spread struct {
	news, fleeting lane
	tail           memberlist.TransmitLimitedQueue // of single records, by key
	room, tailRoom int                             // bytes of a message, in a packet and in the tail
}

func (s *spread) init(n *Node) {
	s.news.init(newsMessage, newsPace)
	s.fleeting.init(fleetingMessage, fleetingPace)
	s.tail.NumNodes = func() int { return len(n.peers.alive()) + 1 }
	s.tail.RetransmitMult = 4

	// What memberlist puts around a message: its type and checksum or, with others
	// in a packet, lengths; a label, and what encryption needs.
	const single, compound, encryption = 1 + 5, 2 + 2 + 1, 29
	label := 0
	if n.cfg.Label != "" {
		label = 2 + len(n.cfg.Label)
	}
	s.room = min(maxPacket, packetSize-single-encryption-label)
	s.tailRoom = packetSize - compound - encryption - label
}

// A lane is what waits to be sent: of each key the last record only.
type lane struct {
	kind messageType
	pace time.Duration
	wake chan struct{}

	mu      sync.Mutex
	waiting []entry
	first   int         // number of waiting[0], counted from the start
	index   map[Key]int // numbers of what waits
	bytes   int
}

// An entry is a record, and the only peer that need not be told.
type entry struct {
	Record
	from string
}

func (l *lane) init(kind messageType, pace time.Duration) {
	l.kind, l.pace = kind, pace
	l.wake, l.index = make(chan struct{}, 1), make(map[Key]int)
}

// put adds records that want accepts (nil: all), and returns how many were dropped:
// if there is no room, everything.
func (l *lane) put(from string, records []Record, want func(kind uint8) bool) (dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range records {
		if want == nil || want(records[i].Key.Kind) {
			l.putLocked(entry{records[i], from})
		}
		if len(l.waiting) > maxWaiting || l.bytes > maxWaitingBytes {
			dropped += l.dropLocked()
		}
	}
	if len(l.waiting) > 0 {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
	return dropped
}

func (l *lane) putLocked(e entry) {
	number, waits := l.index[e.Key]
	if !waits {
		l.index[e.Key] = l.first + len(l.waiting)
		l.waiting = append(l.waiting, e)
		l.bytes += recordSize(&e.Record)
		return
	}
	old := &l.waiting[number-l.first]
	l.bytes += recordSize(&e.Record) - recordSize(&old.Record)
	if old.from != e.from {
		e.from = "" // neither of the two need have what the other told
	}
	*old = e
}

func (l *lane) dropLocked() (dropped int) {
	dropped = len(l.waiting)
	l.first += dropped
	l.waiting, l.bytes = nil, 0
	clear(l.index)
	return dropped
}

func (l *lane) drop() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropLocked()
}

// take appends to batch what has waited longest, until it is about so many bytes.
func (l *lane) take(batch []entry, bytes int) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for ; n < len(l.waiting) && bytes > 0; n++ {
		size := recordSize(&l.waiting[n].Record)
		bytes, l.bytes = bytes-size, l.bytes-size
		batch = append(batch, l.waiting[n])
		delete(l.index, l.waiting[n].Key)
	}
	clear(l.waiting[:n])
	l.waiting, l.first = l.waiting[n:], l.first+n
	return batch
}

func (l *lane) len() (records, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting), l.bytes
}

// Spread tells the peers of records that changed in this node's table: of every
// change, whether it was made here or came from a peer, which from then names as
// [Table.Merge] was told. It only notes what is to be sent, and does not wait. The
// values are kept until then. More than a thousand records in one call are left to
// repair, which begins within a second or two.
func (n *Node) Spread(from string, records []Record) {
	peers := len(n.peers.alive())
	if peers == 0 || len(records) == 0 || n.refuses("") {
		return // who comes later is brought up to date then
	}
	if len(records) > maxBurst && !n.fleeting(records[0].Key.Kind) {
		n.counts.droppedNews.Add(uint64(len(records)))
		n.hintSoon()
		return
	}
	if dropped := n.spread.news.put(from, records, n.lasting); dropped > 0 {
		n.counts.droppedNews.Add(uint64(dropped))
		n.hintSoon()
	}
	if n.cfg.Fleeting != nil && (from == "" || peers > near) { // else its origin told all
		n.counts.droppedFleeting.Add(uint64(n.spread.fleeting.put(from, records, n.fleeting)))
	}
}

func (n *Node) fleeting(kind uint8) bool { return n.cfg.Fleeting != nil && n.cfg.Fleeting(kind) }
func (n *Node) lasting(kind uint8) bool  { return n.cfg.Fleeting == nil || !n.cfg.Fleeting(kind) }

// flush sends what waits in a lane, as soon as something does, but not more often
// than its pace.
func (n *Node) flush(l *lane) {
	var batch []entry
	next := time.Now()
	for {
		select {
		case <-n.life.Done():
			return
		case <-l.wake:
		}
		for more := true; more && pause(n.life, time.Until(next)); {
			packets := 0
			batch = l.take(batch[:0], maxFlush*n.spread.room)
			if waiting, _ := n.spread.news.len(); l.kind == fleetingMessage && waiting > maxWaiting/2 {
				n.counts.droppedFleeting.Add(uint64(len(batch) + l.drop()))
			} else {
				packets = n.tell(l.kind, batch)
			}
			clear(batch)
			waiting, _ := l.len()
			more = waiting > 0
			pace := l.pace
			if more {
				pace = newsPace
			}
			next = time.Now().Add(max(pace, time.Duration(packets)*packetPace))
		}
	}
}

// pause waits, and reports whether life goes on.
func pause(life context.Context, d time.Duration) bool {
	if d <= 0 {
		return life.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-life.Done():
		return false
	case <-timer.C:
		return true
	}
}

// tell packs records into packets, sends each to some peers, and returns how many
// packets there were.
func (n *Node) tell(kind messageType, batch []entry) (packets int) {
	live := n.peers.alive()
	if len(live) == 0 {
		return 0
	}
	p := packet{kind: kind, few: fits(batch, fewPackets*n.spread.room)}
	for i := range batch {
		e := &batch[i]
		if kind == newsMessage && len(batch)-i <= maxTail {
			n.repeat(&e.Record)
		}
		if e.from != "" && len(live) <= fanOut {
			continue // who made the change told all; what got lost is repeated
		}
		size := recordSize(&e.Record)
		if p.records > 0 && len(p.buf)+size > n.spread.room {
			n.sendSome(live, &p)
			packets++
		}
		if p.records == 0 {
			p.buf, p.from, p.own = appendNews(p.buf[:0], kind, n.cfg.Name), e.from, false
		}
		if len(p.buf)+size > n.spread.room {
			n.hintSoon() // too large for any packet
			continue
		}
		p.buf = appendRecords(p.buf, e.Record)
		p.records++
		p.own = p.own || e.from == ""
		if p.from != e.from {
			p.from = ""
		}
	}
	if p.records > 0 {
		n.sendSome(live, &p)
		packets++
	}
	return packets
}

// fits reports whether records have at most so many bytes.
func fits(batch []entry, bytes int) bool {
	for i := range batch {
		bytes -= recordSize(&batch[i].Record)
	}
	return bytes >= 0
}

// A packet is a message that is being filled.
type packet struct {
	kind    messageType
	buf     []byte
	records int
	from    string // where all of them came from
	own     bool   // some are changes that were made here
	few     bool   // other packets go with it
}

// sendSome sends a packet to some peers, and begins anew. If each node told four
// others, e⁻⁴ of all, 2 %, would hear from nobody and wait until it is repeated. So
// where a change is made all are told, if they are not too many, and the others pass
// it on for what got lost only; else everybody tells twice as many. When there is
// much to tell, four must do. Fleeting records are not repeated, and so many that
// they could not be told to all are not expected.
func (n *Node) sendSome(live []*memberlist.Node, p *packet) {
	width := fanOut
	switch {
	case p.own && (p.few || p.kind == fleetingMessage):
		width = near
	case p.few && len(live) > near:
		width = 2 * fanOut
	case p.few:
		width = fanOut / 2
	}
	for _, to := range some(live, width, p.from) {
		if err := n.packet(to, p.buf); err != nil {
			n.log.Debug("send news", "peer", to.Name, "error", err)
		}
	}
	p.records = 0
}

// some returns up to k random nodes, without that of the name.
func some(nodes []*memberlist.Node, k int, without string) []*memberlist.Node {
	left := len(nodes)
	if slices.ContainsFunc(nodes, func(node *memberlist.Node) bool { return node.Name == without }) {
		left--
	}
	chosen := make([]*memberlist.Node, 0, k)
	for _, node := range nodes {
		if node.Name == without {
			continue
		}
		if rand.IntN(left) < k-len(chosen) {
			chosen = append(chosen, node)
		}
		left--
	}
	return chosen
}

// repeat lets a record ride with memberlist's gossip. One that does not fit would
// stay in its queue for ever.
func (n *Node) repeat(r *Record) {
	msg := appendNews(nil, newsMessage, n.cfg.Name, *r)
	if len(msg) > n.spread.tailRoom {
		return
	}
	n.spread.tail.QueueBroadcast(&broadcast{name: string(append(r.Key.ID[:], r.Key.Kind)), msg: msg})
	n.spread.tail.Prune(maxTail) // only after there is something: an empty queue panics
}

// A broadcast replaces that of the same name.
type broadcast struct {
	name string
	msg  []byte
}

func (b *broadcast) Invalidates(other memberlist.Broadcast) bool {
	o, ok := other.(*broadcast)
	return ok && o.name == b.name
}
func (b *broadcast) Name() string    { return b.name }
func (b *broadcast) Message() []byte { return b.msg }
func (b *broadcast) Finished()       {}
