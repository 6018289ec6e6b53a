package adminapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/license"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/routing"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Bounds of requests.
const (
	// DefaultMaxBody bounds the body of every request but an import, in bytes.
	DefaultMaxBody = 1 << 20
	// DefaultMaxImport bounds the body of an import, in bytes.
	DefaultMaxImport = 1 << 30
	// DefaultMaxRestore bounds the body of a restore, in bytes. Ten million VMs
	// take a twentieth of it.
	DefaultMaxRestore = 16 << 30
	// DefaultTokenOverlap is how long an agent token remains valid after the next
	// one was made.
	DefaultTokenOverlap = 24 * time.Hour
	// drainLimit is how much of a body that nobody read is read away so that the
	// connection can be kept, in bytes. Beyond it the connection is closed.
	drainLimit = 64 << 10
)

// Config configures an [API]. Table, Selector, Accounts and Agents are
// required; the zero value of every other field selects the default that its
// comment names.
type Config struct {
	Table    *store.Table
	Selector *discovery.Selector
	Accounts *auth.Accounts

	// Agents serves /v1/agents/…, the questions of agents asked for a test. It
	// is called only for accounts that may. A question may wait: then Agents asks
	// admitted whether the account still may, and reports false, without an answer,
	// when it may not.
	Agents func(ctx *fasthttp.RequestCtx, admitted func() bool) bool

	// Cluster is the gateways that share the table; nil if there are no others.
	Cluster Cluster

	// Deployments tells how far tenants have come. If nil, it is a [tenancy.Guide] that
	// asks no Kaspersky Security Center.
	Deployments Deployments

	// Licenses tells what SVMs are licensed for. If nil, it is a surveyor of Table with
	// [license.DefaultWarning].
	Licenses *license.Surveyor

	// Protection has the days on which VMs were protected. If nil, none are collected.
	Protection *protection.Book

	// Ready reports whether the table is complete. Until it does, everything is
	// 503. If nil, the API is always ready.
	Ready func() bool

	// MaxBody bounds bodies, in bytes; 0 means [DefaultMaxBody].
	MaxBody int
	// MaxImport bounds the body of an import, in bytes; 0 means [DefaultMaxImport].
	MaxImport int64
	// MaxRestore bounds the body of a restore, in bytes; 0 means
	// [DefaultMaxRestore]. Until it has arrived it is kept in a temporary file.
	MaxRestore int64

	// TokenOverlap is how long an agent token remains valid after the next one was
	// made, so that a tenant's agents can be moved to the new one; 0 means
	// [DefaultTokenOverlap], less than 0 not at all.
	TokenOverlap time.Duration

	// EventStreams is how many clients may follow events at a time; 0 means
	// [DefaultEventStreams].
	EventStreams int
	// Closing, when it is closed, ends the answers that would go on for ever. If nil,
	// nothing does.
	Closing <-chan struct{}

	// Log receives faults of the gateway itself, never requests. If nil,
	// nothing is logged.
	Log *slog.Logger
}

// A ConfigError reports a field of a [Config] that New can not accept.
type ConfigError struct {
	Field  string // name of the field, such as "Table"
	Reason string // what is wrong with it
}

func (e *ConfigError) Error() string { return "adminapi: " + e.Field + " " + e.Reason }

// API answers requests of the management plane. Its methods may be called from
// many goroutines.
type API struct {
	table      *store.Table
	selector   *discovery.Selector
	accounts   *auth.Accounts
	agents     func(ctx *fasthttp.RequestCtx, admitted func() bool) bool
	cluster    Cluster // nil if this gateway is alone
	guide      Deployments
	licenses   *license.Surveyor
	ready      func() bool
	maxBody    int
	maxImport  int64
	maxRestore int64
	overlap    time.Duration
	log        *slog.Logger
	document   []byte // /openapi.json

	feed       feed
	streams    atomic.Int64 // clients that follow events
	maxStreams int
	closing    <-chan struct{}

	// Held while a backup is made, a restore is under way, or a forecast is worked out:
	// there is one of each at a time.
	backups, restores, forecasts sync.Mutex

	protection *protection.Book
	reports    atomic.Int64 // that are being written

	copyTo func(context.Context, io.Writer) error // writes a backup; a test makes it fail
}

// New returns an API for cfg. It starts no goroutine and opens nothing, so
// there is nothing to close; it is told of changes for as long as the table lasts. If cfg is wrong the error is a [*ConfigError].
func New(cfg Config) (*API, error) {
	for _, required := range []struct {
		field  string
		absent bool
	}{
		{"Table", cfg.Table == nil},
		{"Selector", cfg.Selector == nil},
		{"Accounts", cfg.Accounts == nil},
		{"Agents", cfg.Agents == nil},
	} {
		if required.absent {
			return nil, &ConfigError{Field: required.field, Reason: "must not be nil"}
		}
	}
	if cfg.MaxBody < 0 || cfg.MaxImport < 0 || cfg.MaxRestore < 0 || cfg.EventStreams < 0 {
		return nil, &ConfigError{Field: "MaxBody, MaxImport, MaxRestore and EventStreams", Reason: "must not be negative"}
	}
	document, err := documentJSON()
	if err != nil {
		return nil, fmt.Errorf("adminapi: %w", err)
	}
	a := &API{
		table: cfg.Table, selector: cfg.Selector, accounts: cfg.Accounts, agents: cfg.Agents,
		cluster: cfg.Cluster, guide: cfg.Deployments, licenses: cfg.Licenses, ready: cfg.Ready, log: cfg.Log, document: document,
		maxBody: cmp.Or(cfg.MaxBody, DefaultMaxBody), maxImport: cmp.Or(cfg.MaxImport, DefaultMaxImport),
		maxRestore: cmp.Or(cfg.MaxRestore, DefaultMaxRestore), overlap: cmp.Or(cfg.TokenOverlap, DefaultTokenOverlap),
		maxStreams: cmp.Or(cfg.EventStreams, DefaultEventStreams), closing: cfg.Closing, copyTo: cfg.Table.Backup, protection: cfg.Protection,
	}
	if a.ready == nil {
		a.ready = func() bool { return true }
	}
	if a.guide == nil {
		a.guide = &tenancy.Guide{Table: cfg.Table, Selector: cfg.Selector}
	}
	if a.licenses == nil {
		a.licenses = &license.Surveyor{Table: cfg.Table, Selector: cfg.Selector, Warning: license.DefaultWarning}
	}
	if a.protection == nil {
		if a.protection, err = protection.New(protection.Config{Table: cfg.Table}); err != nil {
			return nil, err
		}
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	cfg.Table.Subscribe(a.feed.note)
	return a, nil
}

// MayStream reports whether the body of ctx is read as a stream: that of an
// import is, and that of a restore. One in chunks is refused with a status that
// says what to send.
func (a *API) MayStream(ctx *fasthttp.RequestCtx) bool {
	path := string(ctx.URI().PathOriginal())
	return ctx.IsPost() && (path == importPath || path == restorePath)
}

// Handler answers one request.
func (a *API) Handler(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set("Cache-Control", "no-store")
	c := &call{api: a, ctx: ctx}
	if err := a.serve(c); err != nil {
		c.fail(err)
	}
	settleBody(ctx)
}

// serve checks a request from the outside in: who asks, whether there is such a
// thing, whether the asker may, and only then what was asked.
func (a *API) serve(c *call) error {
	account, ok := a.accounts.Basic(c.ctx)
	if !ok {
		return c.unauthorized()
	}
	c.account = account
	segments, ok := routing.Split(c.ctx.URI().PathOriginal())
	if !ok {
		return refuse(400, "invalid_path", "the path has a broken percent-encoding")
	}
	method := string(c.ctx.Method())
	r, params, allowed := match(method, segments)
	if len(allowed) == 0 {
		return refuse(404, "route_not_found", "there is nothing at this path; /openapi.json lists what there is")
	}
	if r == nil {
		c.ctx.Response.Header.Set("Allow", strings.Join(allowed, ", "))
		return refuse(405, "method_not_allowed", "this path knows "+strings.Join(allowed, ", ")+", not "+method)
	}
	c.route, c.params = r, params
	if err := r.admit(c); err != nil {
		return err
	}
	if r.method != fasthttp.MethodGet && fence.CrossSite(c.ctx) {
		return refuse(403, "cross_origin", "another site sent this request (Origin or Sec-Fetch-Site); writes are not accepted from there")
	}
	if !a.ready() {
		c.ctx.Response.Header.Set("Retry-After", "1")
		return refuse(503, "not_ready", "the gateway is still loading its table")
	}
	if err := c.knownParameters(); err != nil {
		return err
	}
	return r.handle(a, c)
}

func (c *call) unauthorized() error {
	c.ctx.Response.Header.Set("WWW-Authenticate", `Basic realm="svmgate", charset="UTF-8"`)
	return refuse(401, "unauthorized", "this needs an account: send HTTP Basic credentials")
}

// isStill reports whether an account is what it was when it was verified.
func (a *API) isStill(account *store.Account) bool {
	now, ok := a.table.Account(account.Name)
	return ok && now.Hash == account.Hash && now.Role == account.Role
}

// settleBody leaves nothing of the body on the connection: what remained would
// be read as the next request.
func settleBody(ctx *fasthttp.RequestCtx) {
	body := ctx.RequestBodyStream()
	if body == nil {
		return
	}
	if _, err := io.CopyN(io.Discard, body, drainLimit); !errors.Is(err, io.EOF) {
		ctx.SetConnectionClose()
	}
}

// admit refuses accounts whose role does not cover the route.
func (r *route) admit(c *call) error {
	role := c.account.Role
	switch {
	case role == store.RoleAdmin:
		return nil
	case role == store.RoleViewer && r.access == reads:
		return nil
	case role == store.RoleSVM && r.access == reports:
		id, err := store.ParseSVMID(c.params[0])
		if err == nil && slices.Contains(c.account.SVMs, id) {
			return nil
		}
		return refuse(403, "forbidden", "account "+c.account.Name+" may report for its own SVMs only")
	}
	return refuse(403, "forbidden", "account "+c.account.Name+" has role "+role.String()+", which does not cover this")
}
