package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/memberlist"
)

// A Node keeps a table alike with its peers'. Its methods may be called by any
// number of goroutines.
type Node struct {
	cfg   Config
	log   *slog.Logger
	lines *limiter
	clock *Clock

	// list is nil while the node starts: memberlist calls on us before it is there.
	list atomic.Pointer[memberlist.Memberlist]

	life context.Context // ends with Stop
	end  context.CancelFunc
	work sync.WaitGroup // what runs until then
	stop sync.Once
	done chan struct{} // closed when nothing runs any more

	peers   peers
	spread  spread
	inbox   inbox
	beacons beacons
	asks    asks
	repair  repair
	keys    keys
	counts  counts

	programs programs
}

// counts are the parts of [Stats] that only grow.
type counts struct {
	droppedNews, droppedFleeting, droppedPackets atomic.Uint64
	droppedStreams                               atomic.Uint64
	malformed, unknown                           atomic.Uint64
	rejoins                                      atomic.Uint64
	sent                                         sent
}

// leaveTimeout bounds how long a node tells others that it goes: some gossip
// rounds, unless nobody is there to hear it.
const leaveTimeout = 2 * time.Second

// Start listens and begins to call on the seeds; it does not wait for them. Stop
// the node when done.
func Start(cfg Config) (*Node, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, clock: cfg.Clock, done: make(chan struct{})}
	n.lines = limit(cfg.Logger)
	n.log = slog.New(n.lines)
	if n.clock == nil {
		n.clock = NewClock(time.Now)
	}
	n.life, n.end = context.WithCancel(context.Background())
	n.peers.init(n.cfg.Name, cfg.State.Peers)
	n.spread.init(n)
	n.inbox.init()
	n.beacons.init(n.cfg.Name)
	n.asks.init(n.cfg.Name, n.sendReliable)
	n.answer(askConfirm, n.answerConfirm)
	n.answer(askKeys, n.answerKeys)
	n.answer(askRoot, n.answerRoot)
	n.initRepair()
	n.initQuestions()

	if err := n.keys.init(cfg.Keys, cfg.SaveKeys); err != nil {
		return nil, err
	}
	conf, err := n.membership()
	if err != nil {
		return nil, err
	}
	list, err := memberlist.Create(conf)
	if err != nil {
		n.end()
		_ = conf.Transport.Shutdown()
		return nil, fmt.Errorf("cluster: %w", err)
	}
	n.list.Store(list)
	n.run()
	return n, nil
}

// run starts what runs until Stop.
func (n *Node) run() {
	for range inboxWorkers {
		n.work.Go(n.mergeInbox)
	}
	n.work.Go(func() { n.flush(&n.spread.news) })
	n.work.Go(func() { n.flush(&n.spread.fleeting) })
	n.work.Go(n.beacon)
	n.work.Go(n.rejoin)
	n.work.Go(n.tend)
	n.asks.start(n.life, &n.work)
	n.startRepair()
}

func (cfg *Config) check() error {
	switch {
	case cfg.Name == "" || cfg.Table == nil:
		return errors.New("cluster: a node needs a Name and a Table")
	case len(cfg.Name) > maxName || !utf8.ValidString(cfg.Name):
		return fmt.Errorf("cluster: Name must be UTF-8 of at most %d bytes", maxName)
	case len(cfg.Label) > memberlist.LabelMaxSize:
		return fmt.Errorf("cluster: Label must have at most %d bytes", memberlist.LabelMaxSize)
	}
	return nil
}

// Stop tells the peers that this node goes, and ends it. It returns when nothing
// of the node runs any more, or when ctx ends: then the peers find out themselves.
// If ctx has ended already, nobody is told. (A probe of memberlist's that is under way
// only waits for its time to be up, for some seconds at most.)
func (n *Node) Stop(ctx context.Context) error {
	n.stop.Do(func() { go n.shutdown(ctx) })
	select {
	case <-n.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (n *Node) shutdown(ctx context.Context) {
	list := n.list.Load()
	if ctx.Err() == nil && len(n.peers.alive()) > 0 {
		n.goodbye()
		// Not beside what follows, should ctx end meanwhile: memberlist panics when it is
		// told to leave after it was shut down. Stop does not wait for this.
		if err := list.Leave(leaveTimeout); err != nil {
			n.log.Warn("peers may not have heard that this node goes", "error", err)
		}
	}
	n.end()
	if err := list.Shutdown(); err != nil {
		n.log.Warn("shut down", "error", err)
	}
	n.work.Wait()
	n.lines.flush()
	close(n.done)
}

// Name returns the name of this node.
func (n *Node) Name() string { return n.cfg.Name }

// Alive returns how many nodes are there, this one included, as far as it knows. It
// costs next to nothing.
func (n *Node) Alive() int { return len(n.peers.alive()) + 1 }

// Addr returns what peers are told to call this node on, as host:port.
func (n *Node) Addr() string { return n.peers.self().Address() }

// Clock returns the clock of this node.
func (n *Node) Clock() *Clock { return n.clock }
