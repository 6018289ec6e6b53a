package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/agentapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/buildinfo"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/replica"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/sink"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf"
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
	settings *config.Effective // those of the start: most can change only at a restart
	mu       sync.Mutex        // of reloaded
	reloaded *config.Effective // what Reload compares with

	registry *prometheus.Registry
	ops      *ops.Plane
	requests ops.Requests
	files    *tlsconf.Files // nil without TLS
	planes   []*plane       // agent, admin, ops
	servers  *ksc.Servers   // nil if there are none
	centers  *ops.Centers   // likewise

	appends   *ops.Appends   // nil if nothing is kept
	anew      bool           // a table was set aside: only peers have what belongs in the next
	peers     []cluster.Peer // for the next assembly, if nothing is kept
	offers    [][]byte       // likewise
	sinksKept sink.Memory    // likewise
	assembly  *assembly      // replaced by one goroutine, which has ended when it is closed

	closing    context.Context // ends when the gateway begins to stop
	beginClose context.CancelFunc
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
	g := &Gateway{opt: opt, settings: opt.Settings, reloaded: opt.Settings, failed: make(chan error, 8)}
	g.closing, g.beginClose = context.WithCancel(context.Background())
	g.registry = ops.NewRegistry(opt.Build)
	g.ops = ops.New(g.registry, opt.Log)
	run, cancel := context.WithCancel(context.Background())
	g.background = cancel
	err := g.listen(ctx)
	if err == nil {
		err = g.assemble(ctx)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, g.close(ctx))
	}
	if g.files != nil {
		g.tasks.Go(func() { g.files.Watch(run) })
	}
	if g.centers != nil {
		g.tasks.Go(func() { g.centers.Run(run) })
	}
	g.ops.SetReady(nil)
	g.announce()
	g.tasks.Go(func() { g.watch(run) }) // from now on the assembly is its own
	return g, nil
}

// listen opens and serves the planes; the agent and admin planes answer that the
// gateway is starting.
func (g *Gateway) listen(ctx context.Context) error {
	c := &g.settings.Config
	if c.ClusterKeyFile != "" { // it is read again when it is needed: better to fail before the table is loaded
		if _, err := replica.ReadKeys(c.ClusterKeyFile); err != nil {
			return &config.Error{Key: "cluster-key-file", Value: c.ClusterKeyFile, Reason: err.Error()}
		}
	}
	if err := g.openServers(); err != nil {
		return err
	}
	if c.TLSCert != "" {
		var err error
		paths := tlsconf.Paths{Cert: c.TLSCert, Key: c.TLSKey, ClientCA: c.TLSClientCA}
		if g.files, err = tlsconf.Open(paths, g.opt.Log); err != nil {
			return &config.Error{Key: "tls-cert", Value: c.TLSCert, Reason: err.Error()}
		}
		if c.ClusterKeyFile != "" {
			err = g.files.Share(c.ClusterKeyFile, func() ([][]byte, error) { return replica.ReadKeys(c.ClusterKeyFile) })
			if err != nil {
				return &config.Error{Key: "cluster-key-file", Value: c.ClusterKeyFile, Reason: err.Error()}
			}
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

// waitFamilies tells of agents that wait for changes.
func waitFamilies(a *agentapi.API) []ops.Family {
	return []ops.Family{
		{
			Name: "agent_waiting", Help: "Questions that wait for a change now.",
			Read: func(emit ops.Emit) { emit(float64(a.WaitStats().Waiting)) },
		}, {
			Name: "agent_waits_total", Help: "Questions that waited, or found no room to, by how that ended.", Labels: []string{"end"}, Counter: true,
			Read: func(emit ops.Emit) {
				s := a.WaitStats()
				emit(float64(s.Changed), "changed")
				emit(float64(s.Timeout), "timeout")
				emit(float64(s.Closing), "closing")
				emit(float64(s.Gone), "gone")
				emit(float64(s.Refused), "refused")
				emit(float64(s.Limited), "refused_tenant")
			},
		},
	}
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
	if r := g.assembly.replica; r != nil {
		attrs = append(attrs, "cluster", r.Addr())
	}
	c := &g.settings.Config
	attrs = append(attrs, "data", c.DataDir, "node", c.NodeName, "agent_auth", c.AgentAuth, "version", g.opt.Build.Version)
	g.opt.Log.Info("svmgate is ready", attrs...)
	g.assembly.showSample()
}
