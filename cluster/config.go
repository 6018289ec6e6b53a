package cluster

import (
	"context"
	"log/slog"
	"time"

	"github.com/hashicorp/memberlist"
)

// Config configures a [Node]. Name and Table are needed; with the zero value of
// everything else a node is alone until somebody joins it.
type Config struct {
	// Name is this node's, unlike any other's, and the same after a restart.
	Name string

	Table Table

	// Addr is where to listen, TCP and UDP, as host:port. If empty,
	// 127.0.0.1 and a port that is free. Advertise is what peers are told; if empty,
	// Addr.
	Addr, Advertise string

	// Seeds are addresses of some other nodes, as host:port: names are looked up
	// anew at every attempt. This node's own may be among them.
	Seeds []string

	// Bootstrap lets an empty node be ready though no seed answers. One node of a
	// new cluster needs it, once.
	Bootstrap bool

	// Label separates clusters that share a network: a node hears its own label only.
	Label string

	// Keys encrypt all traffic (AES-GCM; 16, 24 or 32 bytes): the first encrypts, all
	// decrypt. None: everything is sent in the clear, and can be forged.
	Keys [][]byte

	// SaveKeys, if not nil, makes a change of keys last; its error is passed to who
	// asked for the change.
	SaveKeys func(keys [][]byte) error

	// Fleeting says which kinds are told again soon: they are sent when there is room,
	// kept by no digest, and never repaired. Nil means none.
	Fleeting func(kind uint8) bool

	// State is what was last given to Save; the zero State is a node that never met
	// another. Save must keep it, and is called by one goroutine at a time, when
	// something changed, at most once a second. Nil means it is not kept: a restarted
	// node knows its seeds only, and is not held back however long it was away.
	State State
	Save  func(State) error

	// Stale, if not nil, is called once if this node was away for longer than its
	// peers keep tombstones. It takes no part from then on: stop it, put its table
	// aside, and start with an empty one and a zero State.
	Stale func(Stale)

	// Answer answers what other members ask with [Node.Ask], several goroutines at a
	// time: 8, and 64 questions more wait. Who asks is a member, but a question may be
	// an old one that a stranger sends again. When ctx ends nobody waits for the answer
	// any more, or the node stops, which waits for Answer to return. The question is
	// Answer's own; the answer must stay as it is. What an error says is sent in place of
	// the answer, up to 1 KiB of it. If nil, nobody is answered.
	Answer func(ctx context.Context, from string, question []byte) ([]byte, error)

	// Keep is how long tombstones are kept, and so how long a node may be away. If 0,
	// 7 days. The nodes of a cluster should agree; the shortest holds.
	Keep time.Duration

	// Clock gives the time that versions are made of. If nil, one over [time.Now].
	Clock *Clock

	// Transport carries packets and streams. If nil, UDP and TCP on Addr.
	Transport memberlist.Transport

	// Logger receives what an operator should know, at most ten lines a second of
	// what comes from the network. If nil, nothing is logged.
	Logger *slog.Logger
}

// State is what a node should know when it starts again.
type State struct {
	Peers []Peer `json:"peers"`

	// Exchanged is when, by the cluster's clock, this node last exchanged digests
	// with a peer; zero if it never did.
	Exchanged time.Time `json:"exchanged"`

	// Partial says that the table is a part of a peer's: this node stopped before it
	// had taken over all of it.
	Partial bool `json:"partial,omitempty"`
}

// A Peer is another node, as it was last seen.
type Peer struct {
	Name string    `json:"name"`
	Addr string    `json:"addr"`
	Seen time.Time `json:"seen"`
}

// Stale tells why a node may take no part.
type Stale struct {
	Peer      string    // who said so
	Exchanged time.Time // when this node last heard of a peer
	Floor     time.Time // older tombstones are gone
}
