package agentapi

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Auth is how agents prove whose they are.
type Auth uint8

// Ways to authenticate. The zero value is None: whoever knows a BIOS ID may ask.
const (
	None  Auth = iota
	Token      // Authorization: Bearer, one token per tenant
	MTLS       // a client certificate with the URI svmgate:tenant:{id}
)

// ParseAuth reads "none", "token" or "mtls".
func ParseAuth(s string) (Auth, error) {
	for _, a := range []Auth{None, Token, MTLS} {
		if s == a.String() {
			return a, nil
		}
	}
	return None, fmt.Errorf("%q is not one of none, token, mtls", s)
}

func (a Auth) String() string {
	switch a {
	case None:
		return "none"
	case Token:
		return "token"
	case MTLS:
		return "mtls"
	}
	return "invalid(" + strconv.Itoa(int(a)) + ")"
}

// Config configures an [API]. Selector is required, and Table unless Auth is
// None; the zero value of every other field selects the default that its
// comment names.
type Config struct {
	Selector *discovery.Selector

	// Table knows the tenants' tokens and VMs.
	Table *store.Table

	// Auth is how agents authenticate on the agent plane; zero is [None].
	Auth Auth

	// Ready reports whether the table is complete enough to answer from. It is
	// called for every request. If nil, it always is.
	Ready func() bool

	// MaxWaiting bounds the questions that wait for a change at once, on both planes. If 0,
	// [DefaultMaxWaiting]; if negative, none may. Half of them, rounded up, may be for VMs of
	// one tenant, if there is a Table.
	MaxWaiting int

	// Closing, when it is closed, ends all waits: whoever waits is answered at once, and
	// nobody waits from then on. If nil, that is never.
	Closing <-chan struct{}

	// Metrics counts the answers of the agent plane. If nil, they are not
	// counted.
	Metrics *Metrics

	// Feed gets what the answers of the agent plane say of agents, and what agents
	// tell of their state. If nil, nobody wants to know.
	Feed *watch.Feed

	// Connections says that Feed gets what agents tell of their connections, too. It
	// has no effect where Auth is None: anybody could tell.
	Connections bool
}

// DefaultMaxWaiting is what [Config.MaxWaiting] is by default.
const DefaultMaxWaiting = 10_000

// API answers agents. Its methods may be called from many goroutines.
type API struct {
	table   *store.Table
	ready   func() bool
	agents  plane
	admin   plane
	room    *room
	scratch sync.Pool
	shard   atomic.Uint32 // of the next scratch
}

// A plane is one of the two ways in: for agents, or for administrators who ask
// in their place.
type plane struct {
	decide   func(*discovery.Query, *discovery.Answer)
	prefetch func(*store.BIOSID)
	auth     Auth
	metrics  *Metrics
	room     *room

	agents      bool // who asks is an agent
	feed        *watch.Feed
	connections bool // feed gets what agents tell of theirs
}

// New returns an API for cfg. It follows the table as long as that lives, and has a
// goroutine while somebody waits for a change; there is nothing to close.
func New(cfg Config) (*API, error) {
	switch {
	case cfg.Selector == nil:
		return nil, errors.New("agentapi: Selector must not be nil")
	case cfg.Auth > MTLS:
		return nil, errors.New("agentapi: Auth must be None, Token or MTLS")
	case cfg.Auth != None && cfg.Table == nil:
		return nil, errors.New("agentapi: Table must not be nil: it knows whose tokens and VMs these are")
	}
	if cfg.Ready == nil {
		cfg.Ready = func() bool { return true }
	}
	if cfg.MaxWaiting == 0 {
		cfg.MaxWaiting = DefaultMaxWaiting
	}
	if cfg.Metrics == nil {
		cfg.Metrics = new(Metrics)
	}
	room := newRoom(&cfg)
	a := &API{
		table: cfg.Table,
		ready: cfg.Ready,
		room:  room,
		agents: plane{
			decide: cfg.Selector.Select, prefetch: cfg.Selector.Prefetch, auth: cfg.Auth, metrics: cfg.Metrics, room: room,
			agents: true, feed: cfg.Feed, connections: cfg.Connections && cfg.Auth != None,
		},
		admin: plane{decide: cfg.Selector.Decide, prefetch: cfg.Selector.Prefetch, auth: None, metrics: new(Metrics), room: room},
	}
	a.scratch.New = func() any {
		return &scratch{shard: int(a.shard.Add(1) % shards), buf: make([]byte, 0, 2048)}
	}
	return a, nil
}

// Handler answers one request on the agent plane.
func (a *API) Handler(ctx *fasthttp.RequestCtx) { a.handle(ctx, &a.agents, nil) }

// Admits reports whether a request on the agent plane is of somebody who may ask, by its
// headers alone. Handler refuses those of others, and reads no body for that.
func (a *API) Admits(ctx *fasthttp.RequestCtx) bool {
	var who asker
	return a.ready() && a.authenticate(ctx, a.agents.auth, &who)
}

// Admin answers the same requests on the management plane, whose caller has
// been authorised already. The questions are not an agent's own: they are not
// counted, and no assignment is remembered for them. While a question waits, admitted is
// asked whether its caller still may; when not, the wait ends, there is no answer, and
// Admin reports false. If admitted is nil, he always may.
func (a *API) Admin(ctx *fasthttp.RequestCtx, admitted func() bool) bool {
	return a.handle(ctx, &a.admin, admitted)
}

func (a *API) handle(ctx *fasthttp.RequestCtx, p *plane, admitted func() bool) bool {
	w := a.serve(ctx, p, nil)
	return w == nil || a.await(ctx, p, w, admitted)
}

// serve answers a request, unless it is a question that waits for another answer: then it
// returns the waiter. w is that waiter if the question has waited.
//
// It is the hot path. From here to its return, a question that is answered, put off,
// or whose VM is not registered, keeps these invariants, which
// TestHandlerDoesNotAllocate and BenchmarkWhole watch:
//
//  1. No allocation, no lock, no clock, no logging.
//  2. Path and query are read where they lie in the request; nothing keeps a
//     pointer into it after the return.
//  3. Counters are bound when the program is built: no label is looked up.
func (a *API) serve(ctx *fasthttp.RequestCtx, p *plane, w *waiter) *waiter {
	s := a.scratch.Get().(*scratch)
	path, query := splitURI(ctx.Request.Header.RequestURI())
	id, route := matchRoute(path)
	var waits *waiter
	switch {
	case route == routeNone, route == routeState && !p.agents:
		p.refuse(ctx, s, notFound)
	case route == routeOne && !ctx.IsGet() && !ctx.IsHead():
		p.refuse(ctx, s, getOnly)
	case route == routeBatch && !ctx.IsPost():
		p.refuse(ctx, s, postOnly)
	case route == routeState && !ctx.IsPut():
		p.refuse(ctx, s, putOnly)
	case !a.ready():
		p.refuse(ctx, s, notReady)
	case !a.authenticate(ctx, p.auth, &s.asker):
		p.refuse(ctx, s, unauthorized[p.auth])
	case route == routeBatch:
		if a.startBatch(ctx, p, s, query) {
			return nil // the batch releases s when it has been read
		}
	case route == routeState:
		a.takeState(ctx, p, s, id, query)
	default:
		waits = p.answer(ctx, s, id, query, w)
	}
	a.release(s)
	return waits
}

// answer answers one question, or returns the waiter that it is now. It was w before.
func (p *plane) answer(ctx *fasthttp.RequestCtx, s *scratch, id, query []byte, w *waiter) *waiter {
	if bad := s.readQuestion(id, query); bad != nil {
		p.metrics.count(s.shard, outcomeInvalid)
		bad.write(ctx)
		return nil
	}
	p.decide(&s.query, &s.answer)
	if s.seen&patience == patience {
		if w, done := p.hold(ctx, s, w); done {
			return w
		}
	}
	switch s.answer.Result {
	case discovery.NotRegistered:
		p.refuse(ctx, s, notRegistered)
		return nil
	case discovery.Later:
		p.refuse(ctx, s, tooMany)
		s.buf = strconv.AppendInt(s.buf[:0], int64(s.answer.RefreshSeconds), 10)
		ctx.Response.Header.SetCanonical(retryAfterName, s.buf)
		return nil
	}
	p.metrics.count(s.shard, outcome(s.answer.Result))
	p.note(s)
	s.buf = s.answer.AppendJSON(s.buf[:0])
	ctx.Response.Header.SetContentType("application/json")
	ctx.Response.Header.SetCanonical(cacheControl, noStore)
	ctx.Response.SetBody(s.buf)
	return nil
}

// note tells who watches what an answer, and the question, say of an agent: mostly
// nothing. There may be no room for it: the agent asks again.
func (p *plane) note(s *scratch) {
	switch s.answer.Result {
	case discovery.TenantInactive:
		p.feed.Note(s.query.BIOS, watch.Inactive)
	case discovery.NoSVM:
		p.feed.Note(s.query.BIOS, watch.NoSVM)
	default:
		if s.answer.Amiss {
			p.feed.Note(s.query.BIOS, watch.Regained)
		}
	}
	if p.connections && s.seen&(1<<paramCurrent) != 0 {
		p.feed.Note(s.query.BIOS, connected(s.query.Current))
	}
}

// connected is what the SVM says that an agent has; zero is none. One that is not in the
// table is one all the same: the gateway may yet have to hear of it.
func connected(svm store.SVMID) watch.What {
	if svm.IsZero() {
		return watch.Disconnected
	}
	return watch.Connected
}

// refuse sends an answer that was written when the program started.
func (p *plane) refuse(ctx *fasthttp.RequestCtx, s *scratch, c *canned) {
	p.metrics.count(s.shard, c.outcome)
	c.write(ctx)
}

func (a *API) release(s *scratch) {
	s.query = discovery.Query{} // which may point into the request
	a.scratch.Put(s)
}

// A scratch is what one request needs. It belongs to one goroutine at a time,
// and to the same processor most of the time, so its shard of the counters is
// rarely in another's cache.
type scratch struct {
	asker   asker
	query   discovery.Query
	answer  discovery.Answer
	failed  [discovery.MaxLimit]store.SVMID // what query.Failed points to
	bios    store.BIOSID                    // as it was written
	swapped bool                            // written in the other byte order
	patient patient                         // if seen says so
	seen    uint16                          // parameters read so far, by bit
	text    []byte                          // decoded text; query.Tag may point into it
	buf     []byte                          // the answer's body
	shard   int
	ahead   [together]store.BIOSID // VMs of the next lines
}

// An asker is who asks: the tenant, if agents authenticate.
type asker struct {
	tenant        store.TenantID
	authenticated bool
}

// retryAfter is when to come back to a gateway that is not ready, in seconds:
// soon, and not everybody at once.
var retryAfter = [...]string{"2", "3", "4", "5", "6"}

func someTimeSoon() string { return retryAfter[rand.IntN(len(retryAfter))] }
