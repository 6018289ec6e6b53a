package watch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/store"
)

// Config configures a [Watch]. Table is required, Self and Ask where there are Members;
// the zero value of every other field selects what its comment names.
type Config struct {
	Table *store.Table

	// Clock is the physical time of the table; if nil, [time.Now].
	Clock func() time.Time

	// Feed is where notices come from. If nil, none come.
	Feed *Feed

	// Self is the name of this gateway. Members returns the gateways that are known, this
	// one included or not; one that left is not among them any more. It is called once a
	// second. If nil, this gateway is alone.
	Self    string
	Members func() []Member

	// Ask puts a question to another gateway, which gives it to its [Watch.Answer], and
	// returns the answer. A question has at most [MaxQuestion] bytes, an answer an eighth
	// of that.
	Ask func(ctx context.Context, member string, question []byte) ([]byte, error)

	// Protection is told what agents say of their connections, on the gateway that they
	// say it to. If nil, nobody is.
	Protection interface {
		Said(vm store.BIOSID, connected bool, at time.Time)
	}

	// LicenseWarning is how long before its end a licence is told of. If 0, it is not.
	LicenseWarning time.Duration

	// Log is told what keeps events from being written. If nil, nobody is.
	Log *slog.Logger
}

// A Watch makes events. Create one with [New], and [Watch.Run] it.
type Watch struct {
	cfg    Config
	log    *slog.Logger
	roster atomic.Pointer[roster]
	counts counts

	// Of Run's goroutine.
	notices []Notice // room for what the feed has
	batch   []item   // to act on
	later   wheel
	looked  time.Time // when members, SVMs and conflicts were looked at last
	svms    []svmSeen // by index
	members map[string]bool
	failing bool   // the last change failed
	cancel  func() // ends the subscription to the table

	mu        sync.Mutex // guards what follows
	running   bool
	greeted   map[string]greeting
	heard     []item // from other gateways
	back      []item // not taken by others
	lanes     map[string]*lane
	asking    sync.WaitGroup
	conflicts conflicts
}

// Every is how often notices are acted on.
const Every = 100 * time.Millisecond

// Bounds of what waits. Reaching one drops and counts what comes.
const (
	maxBatch = 256     // notices in one change
	maxTurn  = 1 << 14 // notices from the feed at once: then the rest has its turn
	maxHeard = 1 << 16
	maxLater = 1 << 17
)

// New returns a Watch for cfg. Before it runs it notes conflicts, and counts events: some
// are found while a gateway catches up with others.
func New(cfg Config) (*Watch, error) {
	switch {
	case cfg.Table == nil:
		return nil, errors.New("watch: Table must not be nil")
	case cfg.Members != nil && (cfg.Ask == nil || cfg.Self == ""):
		return nil, errors.New("watch: where there are Members, Self and Ask must not be empty")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Feed == nil {
		cfg.Feed = newFeed(1)
	}
	w := &Watch{
		cfg: cfg, log: cfg.Log, notices: make([]Notice, 0, 1024), batch: make([]item, 0, maxBatch),
		members: map[string]bool{}, lanes: map[string]*lane{}, greeted: map[string]greeting{},
	}
	w.roster.Store(newRoster(cfg.Self, cfg.Members == nil, time.Now()))
	w.cancel = cfg.Table.Subscribe(w.hear)
	return w, nil
}

// Run watches until ctx ends; then it acts on what it has, and tells other gateways what
// is theirs, for at most [lastWords]. It is called once.
func (w *Watch) Run(ctx context.Context) {
	w.roster.Store(newRoster(w.cfg.Self, w.cfg.Members == nil, time.Now()))
	w.later.at = time.Now().Unix()
	defer w.cancel()
	w.setRunning(true)
	asking, end := context.WithCancel(context.WithoutCancel(ctx))
	defer w.asking.Wait()
	defer end()
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			w.beat(asking, now)
		case <-ctx.Done():
			w.setRunning(false)
			w.beat(asking, time.Now())
			time.AfterFunc(lastWords, end)
			w.asking.Wait()
			return
		}
	}
}

// lastWords is how long a gateway that stops tells others what is theirs.
const lastWords = 2 * time.Second

func (w *Watch) setRunning(running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = running
}

// beat does what there is to do.
func (w *Watch) beat(ctx context.Context, now time.Time) {
	if now.Sub(w.looked) >= time.Second {
		w.looked = now
		w.look(ctx, now)
	}
	w.takeBack(now)
	for _, it := range w.takeHeard() {
		w.sort(it, now)
	}
	for taken := 0; taken < maxTurn; {
		list := w.cfg.Feed.Take(w.notices[:0])
		for _, n := range list {
			w.notice(n, now)
		}
		if taken += len(list); len(list) < cap(w.notices) {
			break
		}
	}
	w.act(now)
	w.dispatch(ctx)
}

// look is what is done once a second.
func (w *Watch) look(ctx context.Context, now time.Time) {
	var members []Member
	if w.cfg.Members != nil {
		members = w.cfg.Members()
		w.roster.Store(w.roster.Load().next(w.greet(ctx, members), now))
	}
	for _, it := range w.later.turn(now) {
		w.sort(it, now)
	}
	w.lookAtSVMs(now)
	w.lookAtMembers(members, now)
	w.lookAtConflicts(ctx, now)
}
