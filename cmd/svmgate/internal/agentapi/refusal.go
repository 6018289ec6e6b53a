package agentapi

import (
	"fmt"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/problem"
)

var (
	cacheControl   = []byte("Cache-Control")
	retryAfterName = []byte("Retry-After")

	// Answers change with the table; a cache between agent and gateway would
	// keep a deactivated tenant protected.
	noStore = []byte("no-store")
)

// A refusal is a question that can not be answered, and why. It is made for one
// request, so it costs allocations that an answer does not.
type refusal struct {
	status int
	code   string
	detail string
}

func (r *refusal) write(ctx *fasthttp.RequestCtx) {
	problem.Write(ctx, r.status, r.code, r.detail)
	ctx.Response.Header.SetCanonical(cacheControl, noStore)
}

// badValue refuses the value of a parameter.
func badValue(name string, value []byte, want string) *refusal {
	return &refusal{400, "invalid_parameter", fmt.Sprintf("%s %s: want %s", name, quote(value), want)}
}

// quote quotes text from the network: shortened, and without control characters.
func quote(text []byte) string {
	const most = 64
	if len(text) > most {
		return fmt.Sprintf("%q…", text[:most])
	}
	return fmt.Sprintf("%q", text)
}

// A canned refusal is the same for everybody and is therefore written once.
type canned struct {
	status  int
	outcome outcome
	header  string // name of one more header field, if any
	value   string
	again   bool // tells when to come back
	body    []byte
}

func (c *canned) write(ctx *fasthttp.RequestCtx) {
	ctx.Response.SetStatusCode(c.status)
	h := &ctx.Response.Header
	h.SetContentType(problem.ContentType)
	h.SetCanonical(cacheControl, noStore)
	if c.header != "" {
		h.Set(c.header, c.value)
	}
	if c.again {
		h.Set("Retry-After", someTimeSoon())
	}
	ctx.Response.SetBody(c.body)
}

const (
	notRegisteredCode   = "vm_not_registered"
	notRegisteredDetail = "no VM with this BIOS ID is registered"
	tooManyCode         = "too_many_requests"
	tooManyDetail       = "many agents of this tenant need another SVM at present: keep the one there is, and ask again later"
)

var (
	notFound = &canned{status: 404, outcome: outcomeNotFound, body: problem.Append(nil, 404, "route_not_found",
		"there is nothing at this path: agents ask GET /v1/agents/{biosId}/svm or POST /v1/agents/svm, and tell PUT /v1/agents/{biosId}/state")}
	getOnly = &canned{status: 405, outcome: outcomeNotAllowed, header: "Allow", value: "GET, HEAD",
		body: problem.Append(nil, 405, "method_not_allowed", "this path knows GET and HEAD only")}
	postOnly = &canned{status: 405, outcome: outcomeNotAllowed, header: "Allow", value: "POST",
		body: problem.Append(nil, 405, "method_not_allowed", "this path knows POST only")}
	putOnly = &canned{status: 405, outcome: outcomeNotAllowed, header: "Allow", value: "PUT",
		body: problem.Append(nil, 405, "method_not_allowed", "this path knows PUT only")}
	notReady = &canned{status: 503, outcome: outcomeNotReady, again: true,
		body: problem.Append(nil, 503, "not_ready", "the gateway is still loading its table")}
	notRegistered = &canned{status: 404, outcome: outcomeNotRegistered,
		body: problem.Append(nil, 404, notRegisteredCode, notRegisteredDetail)}

	// anybody says that an agent's state is not taken from whoever knows a BIOS ID.
	anybody = &canned{status: 403, outcome: outcomeForbidden, body: problem.Append(nil, 403, "agents_not_authenticated",
		"a state is taken from agents that prove whose they are, and here they do not: start the gateway with --agent-auth token or mtls")}
	busy = &canned{status: 503, outcome: outcomeBusy, again: true, body: problem.Append(nil, 503, "busy",
		"too many agents tell something at present: tell it again later")}

	// tooMany goes with a Retry-After of the agent's own.
	tooMany = &canned{status: 429, outcome: outcomeLater, body: problem.Append(nil, 429, tooManyCode, tooManyDetail)}

	// unauthorized is by [Auth]; None refuses nobody.
	unauthorized = [...]*canned{
		Token: {status: 401, outcome: outcomeUnauthorized, header: "WWW-Authenticate", value: `Bearer realm="svmgate"`,
			body: problem.Append(nil, 401, "unauthorized", "this needs the tenant's agent token: send Authorization: Bearer")},
		MTLS: {status: 401, outcome: outcomeUnauthorized,
			body: problem.Append(nil, 401, "unauthorized", "this needs a client certificate with one URI svmgate:tenant:{id}")},
	}
)
