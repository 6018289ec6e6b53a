package viis

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/routing"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

// Base is where the API begins.
const Base = "/api/2.0/virtualization"

// MaxBody bounds the body of a request, in bytes.
const MaxBody = 256 << 10

// Config configures an [API]. Table, Tenancy, Accounts and Report are required.
type Config struct {
	Table    *store.Table
	Tenancy  Tenancy
	Accounts *auth.Accounts

	// Report opens a protection report that a gateway made. The error wraps
	// [protection.ErrNoReport] or [protection.ErrAway] if it is one of these.
	Report func(node string, id uuid.UUID) (protection.Report, error)

	// Confirm waits until every live member has the records of keys, or ctx ends. If nil,
	// there are no others.
	Confirm func(ctx context.Context, keys []store.Key, enough int) cluster.Confirmation

	// Ready reports whether the table is complete. Until it does, everything is 503. If
	// nil, the API is always ready.
	Ready func() bool

	Log *slog.Logger // receives faults of the gateway itself; if nil, nothing is logged
}

// Tenancy is what [tenancy.Service] does for this API; see there.
type Tenancy interface {
	Create(by audit.Who, n tenancy.NewTenant) (store.Task, error)
	SetActive(by audit.Who, id store.TenantID, active bool) (store.Task, error)
	Delete(by audit.Who, id store.TenantID, artifacts bool) (store.Task, error)
	Report(by audit.Who, r tenancy.ReportRequest) (store.Task, error)
	Cancel(id store.TaskID, by audit.Who) (store.Task, error)
}

// API answers requests. Its methods may be called from many goroutines.
type API struct {
	table    *store.Table
	tenancy  Tenancy
	accounts *auth.Accounts
	report   func(node string, id uuid.UUID) (protection.Report, error)
	confirm  func(ctx context.Context, keys []store.Key, enough int) cluster.Confirmation // nil if there are no others
	ready    func() bool
	log      *slog.Logger
}

// New returns an API for cfg. It starts nothing, so there is nothing to close. If cfg is
// wrong the error says which field.
func New(cfg Config) (*API, error) {
	if cfg.Table == nil || cfg.Tenancy == nil || cfg.Accounts == nil || cfg.Report == nil {
		return nil, errors.New("viis: Table, Tenancy, Accounts and Report must not be nil")
	}
	a := &API{table: cfg.Table, tenancy: cfg.Tenancy, accounts: cfg.Accounts, report: cfg.Report, confirm: cfg.Confirm, ready: cfg.Ready, log: cfg.Log}
	if a.ready == nil {
		a.ready = func() bool { return true }
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	return a, nil
}

// Serves reports whether a path is of this API.
func Serves(path []byte) bool {
	return len(path) >= len(Base) && string(path[:len(Base)]) == Base && (len(path) == len(Base) || path[len(Base)] == '/')
}

// MayStream reports whether the body of ctx is read as a stream: every body that this
// API reads is, so that one which is too large is refused before it has arrived.
func (a *API) MayStream(ctx *fasthttp.RequestCtx) bool {
	return ctx.IsPost() && Serves(ctx.URI().PathOriginal())
}

// A route is one call of the API.
type route struct {
	method  string
	pattern routing.Pattern // below Base
	handle  func(*call) error
}

// routes is the whole API: what is not here is 404.
var routes = []route{
	{"GET", "/tenants", (*call).listTenants},
	{"POST", "/tenants", (*call).createTenant},
	{"GET", "/tenants/{id}", (*call).readTenant},
	{"DELETE", "/tenants/{id}", (*call).deleteTenant},
	{"POST", "/tenants/{id}/activate", (*call).activateTenant},
	{"POST", "/tenants/{id}/deactivate", (*call).deactivateTenant},

	{"GET", "/tenants/{id}/vms", (*call).listVMs},
	{"POST", "/tenants/{id}/vms/register", (*call).registerVM},
	{"POST", "/tenants/{id}/vms/unregister", (*call).unregisterVM},

	{"POST", "/reports/tenants", (*call).createReport},
	{"GET", "/reports/tenants/{id}", (*call).readReport},

	{"GET", "/tasks", (*call).listTasks},
	{"GET", "/tasks/{id}", (*call).readTask},
	{"POST", "/tasks/{id}/cancel", (*call).cancelTask},
}

// Handler answers one request.
func (a *API) Handler(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set("Cache-Control", "no-store")
	c := &call{api: a, ctx: ctx}
	if err := a.serve(c); err != nil {
		c.fail(err)
	}
}

// serve checks a request from the outside in: who asks, whether there is such a thing,
// whether the asker may, and only then what was asked.
func (a *API) serve(c *call) error {
	account, ok := a.accounts.Basic(c.ctx)
	if !ok {
		c.ctx.Response.Header.Set("WWW-Authenticate", `Basic realm="svmgate", charset="UTF-8"`)
		return refuse(401, codeUnauthorized, "this needs an account: send HTTP Basic credentials")
	}
	c.account = account
	method, r, err := string(c.ctx.Method()), (*route)(nil), error(nil)
	if r, err = c.find(method); err != nil {
		return err
	}
	if account.Role != store.RoleMultitenancy && account.Role != store.RoleAdmin {
		return refuse(403, codeForbidden, "account "+account.Name+" has role "+account.Role.String()+"; this needs multitenancy or admin")
	}
	if r.method != fasthttp.MethodGet && fence.CrossSite(c.ctx) {
		return refuse(403, codeForbidden, "another site sent this request (Origin or Sec-Fetch-Site); changes are not accepted from there")
	}
	if !a.ready() {
		c.retryAfter("1")
		return refuse(503, codeNotReady, "the gateway is still loading its table")
	}
	return r.handle(c)
}

// find returns the route of a request.
func (c *call) find(method string) (*route, error) {
	segments, ok := routing.Split(c.ctx.URI().PathOriginal()[len(Base):])
	if !ok {
		return nil, bad("the path has a broken percent-encoding")
	}
	r, params, allowed := routing.Find(routes, func(r *route) (string, routing.Pattern) { return r.method, r.pattern }, method, segments)
	if len(allowed) == 0 {
		return nil, refuse(404, codeNoSuchCall, "there is nothing at this path")
	}
	if r == nil {
		c.ctx.Response.Header.Set("Allow", strings.Join(allowed, ", "))
		return nil, refuse(405, codeMethod, "this path knows "+strings.Join(allowed, ", ")+", not "+method)
	}
	c.params = params
	return r, nil
}

// confirmFor is how long a change waits to be known to every gateway that is alive.
// Behind a balancer the next call may reach another one.
const confirmFor = time.Second

// spread waits until every gateway that is alive has what this one has of keys, but
// not for longer than ctx.
func (a *API) spread(ctx context.Context, keys []store.Key) {
	if a.confirm == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, confirmFor)
	defer cancel()
	a.confirm(ctx, keys, 0)
}
