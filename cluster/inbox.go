package cluster

import (
	"errors"
	"slices"
	"sync/atomic"
)

const (
	inboxWorkers  = 4    // each waits for the disk with what it merges
	maxInbox      = 4096 // messages
	maxInboxBytes = 8 << 20
	maxMerge      = 256 // records, or one message
)

// inbox is what peers told and the table has not taken yet. It is left by a few
// goroutines, so that the one that reads packets never waits for the table.
type inbox struct {
	queue chan arrived
	bytes atomic.Int64
}

type arrived struct {
	message
	size int
}

func (b *inbox) init() { b.queue = make(chan arrived, maxInbox) }

// hear takes a message as it came. It is called by the goroutines that read from
// the network: it must not wait. buf is not ours.
func (n *Node) hear(buf []byte) {
	m, err := decode(slices.Clone(buf))
	switch {
	case errors.Is(err, errUnknown):
		n.counts.unknown.Add(1)
		return
	case err != nil:
		n.counts.malformed.Add(1)
		return
	case m.sender == n.cfg.Name: // nobody tells itself
		return
	case m.sender != "":
		n.peers.heard(m.sender, n.clock.Now(), false)
	}
	switch m.kind {
	case newsMessage, fleetingMessage:
		if !n.inbox.put(arrived{m, len(buf)}) {
			n.counts.droppedPackets.Add(1)
			n.hintSoon()
		}
	case beaconAckMessage:
		n.beacons.confirmed(m.version)
	case hintMessage:
		n.heardHint(m.sender, m.root)
	case askMessage, answerMessage:
		n.asks.heard(m)
	}
}

// put notes a message, if there is room. Fleeting ones have half of it.
func (b *inbox) put(m arrived) bool {
	if m.kind == fleetingMessage && len(b.queue) > maxInbox/2 {
		return false
	}
	if b.bytes.Add(int64(m.size)) <= maxInboxBytes {
		select {
		case b.queue <- m:
			return true
		default:
		}
	}
	b.bytes.Add(-int64(m.size))
	return false
}

// mergeInbox gives the table what came, until Stop. What one peer sent in several
// messages is merged at once, if it waits together.
func (n *Node) mergeInbox() {
	var next *arrived
	for {
		if next == nil {
			select {
			case <-n.life.Done():
				return
			case m := <-n.inbox.queue:
				next = &m
			}
		}
		batch := *next
		next = nil
		for next == nil && len(batch.records) < maxMerge && n.life.Err() == nil {
			select {
			case m := <-n.inbox.queue:
				if m.sender == batch.sender && m.kind == batch.kind {
					batch.records = append(batch.records, m.records...)
					batch.size += m.size
				} else {
					next = &m
				}
				continue
			default:
			}
			break
		}
		n.inbox.bytes.Add(-int64(batch.size))
		n.merge(&batch.message)
	}
}

// merge gives the table what a peer told. The cluster's own records count as heard
// after that, because so they measure how long a change takes.
func (n *Node) merge(m *message) {
	if n.refuses(m.sender) {
		return
	}
	var own []Record
	records := slices.DeleteFunc(m.records, func(r Record) bool {
		if r.Key.Kind == 0 {
			own = append(own, r)
		}
		return r.Key.Kind == 0
	})
	if len(records) > 0 {
		if err := n.cfg.Table.Merge(m.sender, records); err != nil {
			n.log.Warn("what a peer told is not taken now: it will be repaired", "peer", m.sender, "error", err)
			return
		}
	}
	for _, r := range own {
		n.heardBeacon(m.sender, r)
	}
}
