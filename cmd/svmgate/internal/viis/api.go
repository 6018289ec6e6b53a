package viis

import (
	"context"
	"log/slog"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/auth"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

// Base is where the API begins.
const Base = "/api/2.0/virtualization"

// MaxBody bounds the body of a request, in bytes.
const MaxBody = 256 << 10

// Config configures an [API]. Table, Tenancy and Accounts are required.
type Config struct {
	Table    *store.Table
	Tenancy  *tenancy.Service
	Accounts *auth.Accounts

	// Confirm waits until every live member has the records of keys, or ctx ends. If nil,
	// there are no others.
	Confirm func(ctx context.Context, keys []store.Key, enough int) cluster.Confirmation

	Log *slog.Logger // receives faults of the gateway itself; if nil, nothing is logged
}

// API answers requests. Its methods may be called from many goroutines.
type API struct{ cfg Config }

// New returns an API for cfg. It starts nothing.
func New(cfg Config) (*API, error) { return &API{cfg: cfg}, nil }

// Serves reports whether a path is of this API.
func Serves(path []byte) bool {
	return len(path) >= len(Base) && string(path[:len(Base)]) == Base && (len(path) == len(Base) || path[len(Base)] == '/')
}

// Handler answers one request.
func (a *API) Handler(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusNotImplemented) }
