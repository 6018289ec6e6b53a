package ops

import (
	"strconv"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

const (
	shards  = 16
	maxCode = 600
)

// Requests counts the answers of the HTTP planes by status code.
type Requests struct{ planes []*planeCount }

type planeCount struct {
	name   string
	shards [shards]struct{ codes [maxCode]atomic.Uint64 }
}

// Count returns h and a counter around it, for the plane called name. All calls
// are made before the first request.
func (r *Requests) Count(name string, h fasthttp.RequestHandler) fasthttp.RequestHandler {
	p := r.plane(name)
	return func(ctx *fasthttp.RequestCtx) {
		h(ctx)
		p.add(ctx)
	}
}

// CountErrors does the same for the handler of requests that can not be read.
func (r *Requests) CountErrors(name string, h func(*fasthttp.RequestCtx, error)) func(*fasthttp.RequestCtx, error) {
	p := r.plane(name)
	return func(ctx *fasthttp.RequestCtx, err error) {
		h(ctx, err)
		p.add(ctx)
	}
}

// Counter returns a counter for the plane called name, for answers to which no handler of
// [Requests.Count] comes. Connections are told apart by their numbers.
func (r *Requests) Counter(name string) func(conn uint64, code int) { return r.plane(name).addCode }

func (r *Requests) plane(name string) *planeCount {
	for _, p := range r.planes {
		if p.name == name {
			return p
		}
	}
	p := &planeCount{name: name}
	r.planes = append(r.planes, p)
	return p
}

func (p *planeCount) add(ctx *fasthttp.RequestCtx) {
	p.addCode(ctx.ConnID(), ctx.Response.StatusCode())
}

// addCode counts one answer. A connection stays in its shard, and connections spread
// over processors, so two processors seldom write to one cache line.
func (p *planeCount) addCode(conn uint64, code int) {
	if code < 0 || code >= maxCode {
		code = 0
	}
	p.shards[conn%shards].codes[code].Add(1)
}

// Families tells the counts.
func (r *Requests) Families() []Family {
	return []Family{{
		Name: "http_requests_total", Help: "Answered HTTP requests by plane and status code.", Labels: []string{"plane", "code"}, Counter: true,
		Read: func(emit Emit) {
			for _, p := range r.planes {
				p.each(func(code int, n uint64) { emit(float64(n), p.name, strconv.Itoa(code)) })
			}
		},
	}}
}

func (p *planeCount) each(fn func(code int, n uint64)) {
	for code := range maxCode {
		var n uint64
		for i := range p.shards {
			n += p.shards[i].codes[code].Load()
		}
		if n > 0 {
			fn(code, n)
		}
	}
}
