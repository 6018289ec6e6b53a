package daemon

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/replica"
	"github.com/svmgate/svmgate/store"
)

// join shares the table with other gateways, if it is to be.
func (a *assembly) join() error {
	c := &a.settings.Config
	if !c.Clustered() {
		return nil
	}
	cfg := replica.Config{
		Table: a.table, Clock: a.clock, Log: a.opt.Log, Dir: c.DataDir,
		Name: c.NodeName, Addr: c.ClusterAddr, Advertise: c.ClusterAdvertise, Seeds: c.ClusterJoin,
		Anew: a.anew, Peers: a.peers, Bootstrap: c.ClusterBootstrap, Label: c.ClusterLabel, KeyFile: c.ClusterKeyFile, Keep: c.TombstoneKeep,
		Stale: func(s cluster.Stale) {
			a.outcast <- wasAway(s)
		},
		Hear: a.selector.Hear, Answer: a.answer,
	}
	if c.InMemory() {
		cfg.Dir = ""
	}
	var err error
	if a.replica, err = replica.Start(cfg); err != nil {
		return err
	}
	a.shared.Store(a.replica)
	a.show(ops.ClusterFamilies(a.replica))
	a.opt.Log.Info("svmgate shares its table", "cluster", a.replica.Addr(), "node", c.NodeName, "join", c.ClusterJoin,
		"encrypted", c.ClusterKeyFile != "")
	return nil
}

// An outcastError says why the gateway can not take part with the table it has.
type outcastError struct {
	why   string
	since time.Time // what it wrote after that, perhaps nobody else has
}

func (e *outcastError) Error() string { return e.why }

// offersBefore is how long before a gateway was last in contact what it wrote may not
// have reached the others.
const offersBefore = time.Minute

func wasAway(s cluster.Stale) *outcastError {
	return &outcastError{
		why:   "this gateway was away for longer than " + s.Peer + " remembers what was deleted",
		since: s.Exchanged.Add(-offersBefore),
	}
}

func (a *assembly) wasAhead() *outcastError {
	return &outcastError{
		why:   "this gateway's clock was ahead, and others refuse what it wrote",
		since: a.clock.Now().Add(-offersBefore),
	}
}

const (
	lookInterval = 20 * time.Millisecond // whether the gateway is ready
	sayInterval  = 10 * time.Second      // that it is not
)

// catchUp waits until the table is as its peers', and says meanwhile why the
// gateway is not ready.
func (a *assembly) catchUp(ctx context.Context) error {
	if a.replica == nil {
		return nil
	}
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	var said time.Time
	for {
		ready, why := a.replica.Ready()
		if ready {
			return nil
		}
		a.ops.SetReady(errors.New(why))
		if time.Since(said) > sayInterval {
			said = time.Now()
			a.opt.Log.Info("not ready yet", "reason", why)
		}
		select {
		case <-look.C:
		case outcast := <-a.outcast:
			return outcast
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch starts anew whenever the gateway can not take part with the table it has.
func (g *Gateway) watch(run context.Context) {
	look := time.NewTicker(clockInterval)
	defer look.Stop()
	ahead := 0 // how often in a row
	for {
		var outcast *outcastError
		select {
		case <-run.Done():
			return
		case outcast = <-g.assembly.outcast:
		case <-look.C:
			if ahead++; !g.assembly.refusedByOthers() {
				ahead = 0
			}
			if ahead < clockPatience {
				continue
			}
			outcast = g.assembly.wasAhead()
		}
		ahead = 0
		if err := g.renew(run, outcast); err != nil {
			if run.Err() == nil {
				g.failed <- err
			}
			return
		}
	}
}

// Versions that were made while the clock was ahead stay ahead when it is set right.
// So often it is looked at, and so often in a row others must refuse them.
var (
	clockInterval = 5 * time.Second // less in a test
	clockPatience = 4
)

// clockPeace is how long a gateway must not have refused anything from the future.
// Peers tell again what was refused whenever they compare.
const clockPeace = 2 * time.Minute

// refusedByOthers reports whether what is written here comes to nothing: versions
// are further ahead than others admit, and the tables of most that are there differ
// from this one. Gateways whose clocks were all ahead are alike, and leave it at
// that. When one of them writes, others refuse it: it is the furthest ahead, and they
// stay, lest nobody keeps the table.
func (a *assembly) refusedByOthers() bool {
	stats := a.table.Stats()
	if stats.SkewRefused > a.refused {
		a.refused, a.refusing = stats.SkewRefused, time.Now()
	}
	if a.replica == nil || stats.Ahead <= store.MaxSkew || time.Since(a.refusing) < clockPeace {
		return false
	}
	return mostDiffer(a.replica.Members())
}

// mostDiffer reports whether most tables that are there, and are whole, lastingly
// differ from this one.
func mostDiffer(members []cluster.Member) bool {
	alive, differ := 0, 0
	for _, m := range members {
		if m.Self || m.State != "alive" || !m.Ready {
			continue
		}
		alive++
		if m.Differing > 0 && m.Lag > clockInterval {
			differ++
		}
	}
	return differ > alive/2
}

// renew takes the gateway out of service until it has a new table.
func (g *Gateway) renew(run context.Context, outcast *outcastError) error {
	g.ops.SetReady(outcast)
	g.serveNobody()
	if err := g.setAside(run, outcast); err != nil {
		return err
	}
	if err := g.assemble(run); err != nil {
		return err
	}
	g.ops.SetReady(nil)
	g.opt.Log.Info("svmgate is ready again")
	return nil
}

// setAside closes the table, and puts aside what it kept, but for what nobody else
// has. A crash in between is of no harm: the old table is set aside at the next
// start, or the new one begins.
func (g *Gateway) setAside(ctx context.Context, outcast *outcastError) error {
	old, dir := g.assembly, g.settings.DataDir
	g.assembly = nil // it is shut once
	g.anew = true
	if old.replica != nil && g.settings.InMemory() {
		g.peers = old.replica.Peers() // before it leaves them
	}
	// Agents wait, so tasks may not: they are gone on with when there is a new table.
	wait, cancel := context.WithTimeout(ctx, g.settings.ShutdownTimeout)
	err := old.shut(wait)
	cancel()
	if err != nil {
		return err
	}
	aside, now, kept := "", old.clock.Now(), 0
	if g.settings.InMemory() {
		var offers bytes.Buffer
		if kept, err = old.table.WriteOffers(&offers, outcast.since, now); err != nil {
			return err
		}
		g.offers = append(g.offers, offers.Bytes())
	} else {
		if kept, err = replica.SaveOffers(old.table, dir, outcast.since, now); err != nil {
			return err
		}
		if aside, err = store.SetAside(dir); err != nil {
			return err
		}
	}
	g.opt.Log.Warn(outcast.why+": its table is set aside, and it starts anew from its peers",
		"since", outcast.since, "own_records", kept, "set_aside_in", aside)
	return nil
}

// bringIn writes as new what this gateway had written to a table that was set aside.
func (a *assembly) bringIn() error {
	if !a.settings.InMemory() {
		return replica.TakeOffers(a.table, a.settings.DataDir, a.opt.Log)
	}
	for len(a.offers) > 0 {
		took, err := a.table.TakeOffers(bytes.NewReader(a.offers[0]), int64(len(a.offers[0])))
		if err != nil {
			return err
		}
		a.opt.Log.Info("what this gateway wrote while it was away is brought in", "records", took.Records, "taken", took.Taken)
		a.offers = a.offers[1:]
	}
	return nil
}
