package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/adminapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/agentapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/buildinfo"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Options configure a [Gateway]. All fields are required.
type Options struct {
	Settings *config.Effective
	Build    buildinfo.Build

	// Out is shown what only a person at the start may see: the first password,
	// and how to try the sample.
	Out io.Writer

	// Log receives the log; Level changes with log-level.
	Log   *slog.Logger
	Level *slog.LevelVar
}

// A Gateway is a gateway that runs. Its methods may be called from many
// goroutines.
type Gateway struct {
	opt      Options
	settings *config.Effective // those that hold; Reload replaces them
	mu       sync.Mutex        // of settings

	registry *prometheus.Registry
	ops      *ops.Plane
	requests ops.Requests
	files    *tlsconf.Files // nil without TLS
	planes   []*plane       // agent, admin, ops

	table    *store.Table
	selector *discovery.Selector
	accounts *auth.Accounts

	background context.CancelFunc
	tasks      sync.WaitGroup
	failed     chan error
}

// errDraining is why a gateway that is being stopped is not ready.
var errDraining = errors.New("the gateway is shutting down")

// Start starts a gateway and returns it when it is ready. If it can not start,
// the error says why and what to change, and nothing is left running. If ctx
// ends first, Start gives up. The caller calls [Gateway.Stop].
func Start(ctx context.Context, opt Options) (*Gateway, error) {
	g := &Gateway{opt: opt, settings: opt.Settings, failed: make(chan error, 8)}
	g.registry = ops.NewRegistry(opt.Build)
	g.ops = ops.New(g.registry, opt.Log)
	run, cancel := context.WithCancel(context.Background())
	g.background = cancel
	err := g.listen(ctx)
	if err == nil {
		err = g.open(run)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, g.close(ctx))
	}
	g.ops.SetReady(nil)
	g.announce()
	return g, nil
}

// listen opens and serves the planes; the agent and admin planes answer that the
// gateway is starting.
func (g *Gateway) listen(ctx context.Context) error {
	c := &g.settings.Config
	if c.TLSCert != "" {
		var err error
		paths := tlsconf.Paths{Cert: c.TLSCert, Key: c.TLSKey, ClientCA: c.TLSClientCA}
		if g.files, err = tlsconf.Open(paths, g.opt.Log); err != nil {
			return &config.Error{Key: "tls-cert", Value: c.TLSCert, Reason: err.Error()}
		}
	}
	var listening []ops.Listening
	for _, build := range []func(context.Context) (*plane, error){g.agentPlane, g.adminPlane, g.opsPlane} {
		p, err := build(ctx)
		if err != nil {
			return err
		}
		g.planes = append(g.planes, p)
		listening = append(listening, ops.Listening{Plane: p.name, Listener: p.listener, Open: p.open, Rejected: p.rejected})
	}
	g.registry.MustRegister(ops.NewSource(append(ops.ListenerFamilies(listening), g.requests.Families()...)...),
		ops.NewSource(g.ops.ReadyFamilies()...))
	if g.files != nil {
		g.registry.MustRegister(ops.NewSource(ops.TLSFamilies(g.files)...))
	}
	for _, p := range g.planes {
		g.tasks.Go(func() {
			if err := p.serve(); err != nil {
				g.failed <- fmt.Errorf("the %s plane at %s: %w", p.name, p.listener.Addr(), err)
			}
		})
	}
	return nil
}

// open loads the table and lets the planes answer from it.
func (g *Gateway) open(run context.Context) error {
	c := &g.settings.Config
	if err := g.openTable(); err != nil {
		return err
	}
	var err error
	g.selector, err = discovery.New(discovery.Config{
		Table: g.table, Matrix: c.Matrix, Unregistered: c.Unregistered, DeadAddress: c.DeadAddress,
		OpenStackLocality: c.OpenStackLocality, Logger: g.opt.Log,
	})
	if err != nil {
		return err
	}
	if g.accounts, err = auth.NewAccounts(g.table); err != nil {
		return err
	}
	how, err := agentapi.ParseAuth(c.AgentAuth)
	if err != nil {
		return err
	}
	metrics := new(agentapi.Metrics)
	agents, err := agentapi.New(agentapi.Config{Selector: g.selector, Table: g.table, Auth: how, Metrics: metrics})
	if err != nil {
		return err
	}
	admin, err := adminapi.New(adminapi.Config{
		Table: g.table, Selector: g.selector, Accounts: g.accounts, Agents: agents.Admin,
		MaxImport: c.ImportLimit, Log: g.opt.Log,
		TokenOverlap: cmp.Or(c.TokenOverlap, -1), // a setting of 0 means none
	})
	if err != nil {
		return err
	}
	if err := g.firstAccount(); err != nil {
		return err
	}
	if err := g.loadSample(); err != nil {
		return err
	}
	g.registry.MustRegister(ops.NewSource(ops.TableFamilies(g.table)...), ops.NewSource(ops.SelectorFamilies(g.selector)...),
		ops.NewSource(agentFamilies(metrics)...))
	g.ops.Show(g.table, g.selector)
	g.tasks.Go(func() {
		if err := g.table.Run(run); err != nil && run.Err() == nil {
			g.failed <- fmt.Errorf("the table: %w", err)
		}
	})
	if g.files != nil {
		g.tasks.Go(func() { g.files.Watch(run) })
	}
	g.serveAgents(agents)
	g.serveAdmin(admin)
	return nil
}

func (g *Gateway) openTable() error {
	c := &g.settings.Config
	cfg := store.Config{Node: c.NodeName, SVMTTL: c.SVMTTL, Logger: g.opt.Log}
	if c.InMemory() {
		table, err := store.Open(cfg)
		g.table = table
		return err
	}
	dir, err := store.OpenDir(c.DataDir)
	if err != nil {
		return fmt.Errorf("data %s: %w", c.DataDir, err)
	}
	appends := ops.NewAppends(g.registry, g.opt.Log)
	cfg.Journal, cfg.OnAppend = dir, appends.Observe
	if g.table, err = store.Open(cfg); err != nil {
		return fmt.Errorf("data %s: %w", c.DataDir, errors.Join(err, dir.Close()))
	}
	g.registry.MustRegister(ops.NewSource(ops.DiskFamilies(g.table.Disk)...))
	g.ops.Watch(g.table.Fault, appends)
	return nil
}

// agentFamilies tells what the agent plane answered.
func agentFamilies(m *agentapi.Metrics) []ops.Family {
	help := map[string]string{
		"agent_requests_total":    "Answered requests of agents by result.",
		"agent_batch_lines_total": "Answered lines of batch requests by result.",
	}
	var families []ops.Family
	for name, text := range help {
		families = append(families, ops.Family{
			Name: name, Help: text, Labels: []string{"result"}, Counter: true,
			Read: func(emit ops.Emit) {
				m.Each(func(of, result string, value uint64) {
					if of == name {
						emit(float64(value), result)
					}
				})
			},
		})
	}
	return families
}

// Failed delivers the error of a part that ended by itself. The gateway should
// then be stopped.
func (g *Gateway) Failed() <-chan error { return g.failed }

// announce says in one line where the gateway is.
func (g *Gateway) announce() {
	attrs := []any{}
	for _, p := range g.planes {
		attrs = append(attrs, p.name, p.url())
	}
	c := &g.settings.Config
	attrs = append(attrs, "data", c.DataDir, "node", c.NodeName, "agent_auth", c.AgentAuth, "version", g.opt.Build.Version)
	g.opt.Log.Info("svmgate is ready", attrs...)
	g.showSample()
}
