package daemon

import (
	"context"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/adminapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ops"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/viis"
	"github.com/svmgate/svmgate/store"
)

// newTenancy begins to do what tasks ask for, those first that were interrupted.
func (a *assembly) newTenancy() error {
	c := &a.settings.Config
	cfg := tenancy.Config{Table: a.table, Node: c.NodeName, Reports: a.reports, Servers: a.servers, RecordOnly: c.KSCNone, Log: a.opt.Log}
	if a.replica != nil {
		cfg.Alive, cfg.Spread = a.alive, a.spread
	}
	var err error
	a.tenancy, err = tenancy.New(cfg)
	return err
}

// openServers gets ready to call the Kaspersky Security Centers, if there are any.
func (g *Gateway) openServers() error {
	c := &g.settings.Config
	if len(c.KSC) == 0 {
		return nil
	}
	cfg := ksc.Config{URLs: c.KSC, Accounts: map[string]ksc.Account{}, Timeout: c.KSCTimeout, Logger: g.opt.Log}
	accounts, err := config.ReadCredentials(c.KSCCredentials, c.KSC)
	if err != nil {
		return &config.Error{Key: "ksc-credentials", Value: c.KSCCredentials, Reason: err.Error()}
	}
	for url, a := range accounts {
		cfg.Accounts[url] = ksc.Account{User: a.User, Password: a.Password}
	}
	if c.KSCCA != "" {
		if cfg.CA, err = config.ReadAuthorities(c.KSCCA); err != nil {
			return &config.Error{Key: "ksc-ca", Value: c.KSCCA, Reason: err.Error()}
		}
	}
	if g.servers, err = ksc.Open(cfg); err != nil {
		return err
	}
	g.centers = ops.NewCenters(g.servers, g.opt.Log)
	g.registry.MustRegister(ops.NewSource(g.centers.Families()...))
	g.ops.ShowCenters(g.centers)
	return nil
}

// guide tells how far tenants' deployments have come.
func (a *assembly) guide() *tenancy.Guide {
	guide := &tenancy.Guide{Table: a.table, Selector: a.selector}
	if a.servers != nil { // else it would not be nil there
		guide.KSC, guide.URLs = a.servers, a.settings.KSC
	}
	return guide
}

// spread waits until one other gateway has a record on disk, or for a second.
func (a *assembly) spread(ctx context.Context, key store.Key) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	a.replica.Confirm(ctx, []store.Key{key}, 2)
}

// alive reports whether a gateway is there, and when it was last.
func (a *assembly) alive(node string) (alive bool, since time.Time) {
	return aliveAmong(a.replica.Members(), node, time.Now())
}

// aliveAmong takes everybody to be alive if fewer than half are: then it is this gateway
// that is cut off. Who left is not known any more.
func aliveAmong(members []cluster.Member, node string, now time.Time) (alive bool, since time.Time) {
	there := 0
	for _, m := range members {
		if m.State != "dead" {
			there++
		}
		if m.Name == node {
			alive, since = m.State != "dead", m.Seen
		}
	}
	if 2*there < len(members) {
		return true, now
	}
	return alive, since
}

// newIntegration returns the Integration Server's API.
func (a *assembly) newIntegration() (*viis.API, error) {
	cfg := viis.Config{Table: a.table, Tenancy: a.tenancy, Accounts: a.accounts, Report: a.report, Log: a.opt.Log}
	if a.replica != nil {
		cfg.Confirm = a.replica.Confirm
	}
	return viis.New(cfg)
}

// both answers what is asked of the admin plane's two APIs.
func both(admin *adminapi.API, integration *viis.API) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if viis.Serves(ctx.URI().PathOriginal()) {
			integration.Handler(ctx)
			return
		}
		admin.Handler(ctx)
	}
}
