package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/adminapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/agentapi"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/config"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/express"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/problem"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tlsconf"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/viis"
)

// A plane is one listener with its server.
type plane struct {
	name     string
	listener *tlsconf.Listener
	serve    func() error // returns nil after stop
	stop     func(context.Context) error
	open     func() int
	rejected func() int
	handler  *atomic.Pointer[fasthttp.RequestHandler] // nil on the operations plane
	express  *express.Listener                        // before the server of the agent plane; else nil
}

func (g *Gateway) agentPlane(ctx context.Context) (*plane, error) {
	c := &g.settings.Config
	auth := tlsconf.NoClientCert
	if c.AgentAuth == "mtls" {
		auth = tlsconf.Require
	}
	p, err := g.newPlane(ctx, "agent", c.AgentAddr, g.tlsConfig("agent", auth, true))
	if err != nil {
		return nil, err
	}
	p.listener.PerAddress, p.listener.Unbounded = c.MaxPerAddress, c.TrustedProxies
	srv := g.serveHTTP(p, g.connectionLimit())
	p.express = express.Before(srv, p.listener, g.requests.Counter(p.name), g.opt.Log.With("plane", p.name))
	p.serve = func() error { return srv.Serve(p.express) }
	return p, nil
}

func (g *Gateway) adminPlane(ctx context.Context) (*plane, error) {
	c := &g.settings.Config
	auth := tlsconf.NoClientCert
	if c.TLSClientCA != "" {
		auth = tlsconf.VerifyIfGiven
	}
	p, err := g.newPlane(ctx, "admin", c.AdminAddr, g.tlsConfig("admin", auth, true))
	if err != nil {
		return nil, err
	}
	g.serveHTTP(p, c.AdminMaxConnections)
	return p, nil
}

func (g *Gateway) opsPlane(ctx context.Context) (*plane, error) {
	c := &g.settings.Config
	p, err := g.newPlane(ctx, "ops", c.OpsAddr, g.tlsConfig("ops", tlsconf.NoClientCert, c.OpsTLS()))
	if err != nil {
		return nil, err
	}
	srv := g.ops.Server(g.opt.Log)
	var open atomic.Int64
	srv.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
	p.serve = func() error {
		if err := srv.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}
	p.stop = srv.Shutdown
	p.open = func() int { return int(open.Load()) }
	p.rejected = func() int { return 0 }
	return p, nil
}

// newPlane listens on addr.
func (g *Gateway) newPlane(ctx context.Context, name, addr string, tlsConfig *tls.Config) (*plane, error) {
	inner, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s-addr: can not listen at %q: %s", name, addr, cause(err))
	}
	c := &g.settings.Config
	return &plane{name: name, listener: &tlsconf.Listener{
		Listener: inner, TLS: tlsConfig, Plain: c.TLSTerminatedBy, Log: g.opt.Log.With("plane", name),
		Guarded: !config.Loopback(addr) && !slices.Contains(c.Insecure, name),
	}}, nil
}

// cause drops what an error of the network repeats.
func cause(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

func (g *Gateway) tlsConfig(plane string, auth tlsconf.ClientAuth, wanted bool) *tls.Config {
	if g.files == nil || !wanted {
		return nil
	}
	return g.files.Config(plane, auth)
}

// serveHTTP gives p a server whose handler can be exchanged; the first one says
// that the gateway is starting.
func (g *Gateway) serveHTTP(p *plane, connections int) *fasthttp.Server {
	p.handler = new(atomic.Pointer[fasthttp.RequestHandler])
	g.setHandler(p, fence.Wrap(starting, nil))
	srv := fence.Server(p.name, func(ctx *fasthttp.RequestCtx) { (*p.handler.Load())(ctx) }, g.opt.Log)
	srv.ErrorHandler = g.requests.CountErrors(p.name, srv.ErrorHandler)
	srv.Concurrency = connections
	p.serve = func() error { return srv.Serve(p.listener) }
	p.stop = srv.ShutdownWithContext
	p.open = func() int { return int(srv.GetOpenConnectionsCount()) }
	p.rejected = func() int { return int(srv.GetRejectedConnectionsCount()) }
	return srv
}

func (g *Gateway) setHandler(p *plane, h fasthttp.RequestHandler) {
	h = g.requests.Count(p.name, h)
	p.handler.Store(&h)
}

func (g *Gateway) plane(name string) *plane {
	return g.planes[slices.IndexFunc(g.planes, func(p *plane) bool { return p.name == name })]
}

func (g *Gateway) serveAgents(api *agentapi.API) {
	p := g.plane("agent")
	g.setHandler(p, fence.Forwarded(fence.Guard(api.Handler, api.Admits), g.settings.TrustedProxies))
	p.express.Use(api.Express)
}

func (g *Gateway) serveAdmin(api *adminapi.API, integration *viis.API) {
	p := g.plane("admin")
	h := fence.Wrap(both(api, integration), func(ctx *fasthttp.RequestCtx) bool { return api.MayStream(ctx) || integration.MayStream(ctx) })
	g.setHandler(p, fence.Forwarded(g.watchLogins(h), g.settings.TrustedProxies))
}

// serveNobody lets the agent and admin planes say that the gateway is starting.
func (g *Gateway) serveNobody() {
	g.plane("agent").express.Use(nil)
	for _, name := range []string{"agent", "admin"} {
		g.setHandler(g.plane(name), fence.Wrap(starting, nil))
	}
}

// starting answers until the table is loaded.
func starting(ctx *fasthttp.RequestCtx) {
	problem.Write(ctx, fasthttp.StatusServiceUnavailable, "not_ready", "the gateway is starting; try again in a few seconds")
	ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "2")
}

// watchLogins logs refused logins with where they came from, at most one a
// second: who guesses passwords must not fill the disk as well. The name is left
// out, because people type passwords there.
func (g *Gateway) watchLogins(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	var last, quiet atomic.Int64
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		if ctx.Response.StatusCode() != fasthttp.StatusUnauthorized || len(ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)) == 0 {
			return
		}
		now, before := time.Now().UnixNano(), last.Load()
		if now-before < int64(time.Second) || !last.CompareAndSwap(before, now) {
			quiet.Add(1)
			return
		}
		g.opt.Log.Warn("a login was refused", "plane", "admin", "from", ctx.RemoteIP().String(), "not_logged", quiet.Swap(0))
	}
}

// url returns where the plane can be reached from this host.
func (p *plane) url() string {
	scheme := "http"
	if p.listener.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + p.listener.Addr().String()
}
