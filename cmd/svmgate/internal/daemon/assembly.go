package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/adminapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/agentapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/license"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/replica"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/sink"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// An assembly is a table with all that works on it. A gateway has one, and takes
// another if it was away from its peers for too long.
type assembly struct {
	*Gateway
	clock    *cluster.Clock
	table    *store.Table
	replica  *replica.Replica                // nil without a cluster
	shared   atomic.Pointer[replica.Replica] // the same, for the selector's goroutine
	selector *discovery.Selector
	agents   *agentapi.API
	accounts *auth.Accounts
	tenancy  *tenancy.Service
	sinks    *sink.Sinks
	feed     *watch.Feed
	watching *watch.Watch
	book     *protection.Book
	reports  *protection.Files

	refused  uint64    // records from the future, when it was last looked
	refusing time.Time // when there were last more of them

	sources []*ops.Source      // in the registry
	outcast chan *outcastError // its one may come at any time
	life    context.Context    // ends with the assembly
	end     context.CancelFunc
	work    sync.WaitGroup // what runs until then
}

// assemble opens the table, waits until it is like its peers', and lets the planes
// answer from it.
func (g *Gateway) assemble(ctx context.Context) error {
	for {
		g.assembly = &assembly{Gateway: g, clock: cluster.NewClock(time.Now), outcast: make(chan *outcastError, 1)}
		g.assembly.life, g.assembly.end = context.WithCancel(context.Background())
		err := g.assembly.open(ctx)
		var outcast *outcastError
		if !errors.As(err, &outcast) {
			return err
		}
		if err := g.setAside(ctx, outcast); err != nil {
			return err
		}
	}
}

func (a *assembly) open(ctx context.Context) error {
	if err := a.openTable(); err != nil {
		return err
	}
	if err := a.openProtection(); err != nil {
		return err
	}
	if err := a.openSinks(); err != nil {
		return err
	}
	var err error
	if a.accounts, err = auth.NewAccounts(a.table); err != nil {
		return err
	}
	if err := a.newSelector(); err != nil {
		return err
	}
	a.work.Go(func() {
		if err := a.table.Run(a.life); err != nil && a.life.Err() == nil {
			a.failed <- fmt.Errorf("the table: %w", err)
		}
	})
	if err := a.newWatch(); err != nil {
		return err
	}
	if err := a.join(); err != nil {
		return err
	}
	if err := a.catchUp(ctx); err != nil {
		return err
	}
	if err := a.begin(); err != nil {
		return err
	}
	return a.serve()
}

func (a *assembly) openTable() error {
	c := &a.settings.Config
	cfg := store.Config{Node: c.NodeName, SVMTTL: c.SVMTTL, Logger: a.opt.Log}
	if c.Clustered() {
		cfg.Clock = a.clock.Now
	}
	if c.InMemory() {
		table, err := store.Open(cfg)
		a.table = table
		return err
	}
	dir, err := store.OpenDir(c.DataDir)
	if err != nil {
		return fmt.Errorf("data %s: %w", c.DataDir, err)
	}
	if a.appends == nil {
		a.appends = ops.NewAppends(a.registry, a.opt.Log)
	}
	cfg.Journal, cfg.OnAppend = dir, a.appends.Observe
	if a.table, err = store.Open(cfg); err != nil {
		return fmt.Errorf("data %s: %w", c.DataDir, errors.Join(err, dir.Close()))
	}
	a.show(ops.DiskFamilies(a.table.Disk))
	a.ops.Watch(a.table.Fault, a.appends)
	return nil
}

// show adds metrics for as long as the assembly lasts.
func (a *assembly) show(families []ops.Family) {
	s := ops.NewSource(families...)
	a.registry.MustRegister(s)
	a.sources = append(a.sources, s)
}

// begin makes what a gateway begins with, if nobody has.
func (a *assembly) begin() error {
	if err := a.bringIn(); err != nil {
		return err
	}
	if err := a.firstAdmin(); err != nil {
		return err
	}
	return a.loadSample()
}

// serve lets the planes answer.
func (a *assembly) serve() error {
	c := &a.settings.Config
	how, err := agentapi.ParseAuth(c.AgentAuth)
	if err != nil {
		return err
	}
	metrics := new(agentapi.Metrics)
	a.agents, err = agentapi.New(agentapi.Config{
		Selector: a.selector, Table: a.table, Auth: how, Metrics: metrics, Feed: a.feed, Connections: c.ProtectionReports,
		MaxWaiting: cmp.Or(c.MaxWaiting, -1), // a setting of 0 means that none may
		Closing:    a.streamsEnd(),
		Ready:      func() bool { return a.life.Err() == nil }, // of a table that is set aside nobody is told
	})
	if err != nil {
		return err
	}
	licenses := &license.Surveyor{Table: a.table, Selector: a.selector, Warning: c.LicenseWarning}
	cfg := adminapi.Config{
		Table: a.table, Selector: a.selector, Accounts: a.accounts, Agents: a.agents.Admin, Deployments: a.guide(), Licenses: licenses,
		Protection: a.book,
		MaxImport:  c.ImportLimit, Log: a.opt.Log,
		TokenOverlap: cmp.Or(c.TokenOverlap, -1), // a setting of 0 means none
		EventStreams: c.EventStreams, Closing: a.streamsEnd(),
	}
	if a.replica != nil {
		cfg.Cluster = a.replica
	}
	admin, err := adminapi.New(cfg)
	if err != nil {
		return err
	}
	if err := a.newTenancy(); err != nil {
		return err
	}
	integration, err := a.newIntegration()
	if err != nil {
		return err
	}
	a.show(ops.TableFamilies(a.table))
	a.show(ops.TaskFamilies(a.table))
	a.show(ops.SelectorFamilies(a.selector))
	a.show(ops.LicenseFamilies(a.life, licenses))
	a.show(agentFamilies(metrics))
	a.show(waitFamilies(a.agents))
	a.ops.Show(a.table, a.selector)
	a.probe()
	a.startProtection()
	a.startWatch()
	a.startEvents(admin)
	a.serveAgents(a.agents)
	a.serveAdmin(admin, integration)
	return nil
}

// leaveTimeout bounds how long peers are told that this gateway goes.
const leaveTimeout = 3 * time.Second

// shut ends what open began. The table can still be read.
func (a *assembly) shut(ctx context.Context) error {
	if a.tenancy != nil { // while peers still learn how tasks end
		a.tenancy.Stop(ctx)
	}
	a.end()
	a.work.Wait()
	if a.replica != nil {
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
		if err := a.replica.Stop(leave); err != nil {
			a.opt.Log.Warn("the other gateways were not all told that this one goes", "reason", err.Error())
		}
		cancel()
	}
	if a.selector != nil {
		a.selector.Close()
	}
	if a.accounts != nil {
		a.accounts.Close()
	}
	for _, s := range a.sources {
		a.registry.Unregister(s)
	}
	if a.table != nil {
		return a.table.Close()
	}
	return nil
}
