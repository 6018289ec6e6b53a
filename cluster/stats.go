package cluster

import "time"

// Stats are counts of a node since its start, and what holds now.
type Stats struct {
	Members, Alive int // known, itself included

	QueuedRecords, QueuedBytes int // news that waits to be sent
	DroppedNews                uint64
	DroppedFleeting            uint64
	DroppedPackets             uint64 // received, and not applied for want of room
	DroppedStreams             uint64 // closed unread, because too many came from one host, or in all
	Malformed                  uint64 // messages that can not be read
	UnknownMessages            uint64 // of formats or types of another release

	// What was sent, encrypted, without the headers of UDP, TCP and IP.
	SentPackets, SentPacketBytes, SentStreamBytes uint64

	Exchanges      uint64
	PulledRecords  uint64
	PulledBytes    uint64
	ServedRecords  uint64
	ServedBytes    uint64
	Differing      int // buckets, in the last exchange with any peer
	Rejoins        uint64
	LocalStateSize int // bytes, of the last one sent

	// What programs ask each other: see [Node.Ask].
	QuestionsAsked    uint64 // of other members
	QuestionsTimedOut uint64 // of those, without an answer in time
	QuestionsAnswered uint64 // of others', errors included
	QuestionsRefused  uint64 // too many, this node's own or others'; or others' that it could not answer in time

	ClockOffset time.Duration // of this node's clock from that of most
	ClockWrong  bool          // whether most members' clocks agree on another time

	// Propagation is how long it takes from a change here until a peer has it and
	// this node knows, measured by beacons: of the last thousand.
	PropagationP50, PropagationP99 time.Duration
}

// Stats returns the present counts.
func (n *Node) Stats() Stats {
	c := &n.counts
	s := Stats{
		DroppedNews:     c.droppedNews.Load(),
		DroppedFleeting: c.droppedFleeting.Load(),
		DroppedPackets:  c.droppedPackets.Load(),
		DroppedStreams:  c.droppedStreams.Load(),
		Malformed:       c.malformed.Load(),
		UnknownMessages: c.unknown.Load(),
		Rejoins:         c.rejoins.Load(),
		SentPackets:     c.sent.packets.Load(),
		SentPacketBytes: c.sent.packetBytes.Load(),
		SentStreamBytes: c.sent.streamBytes.Load(),
	}
	s.Members, s.Alive = n.peers.count()
	for _, l := range []*lane{&n.spread.news, &n.spread.fleeting} {
		records, bytes := l.len()
		s.QueuedRecords += records
		s.QueuedBytes += bytes
	}
	s.PropagationP50, s.PropagationP99 = n.beacons.percentiles()
	n.repairStats(&s)
	n.questionStats(&s)
	return s
}
