package viis

import (
	"errors"
	"mime"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/problem"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// call is one request on its way through the API.
type call struct {
	api     *API
	ctx     *fasthttp.RequestCtx
	account store.Account
	params  []string // of the path
}

// who asks, for the audit.
func (c *call) who() audit.Who {
	return audit.Who{Account: c.account.Name, Address: c.ctx.RemoteIP().String()}
}

// tableCodes are the codes for what the table refuses, by those of package problem.
var tableCodes = map[string]string{
	"invalid_field": codeBadRequest,
	"not_found":     codeNotFound,
	"exists":        codeExists,
	"read_only":     codeReadOnly,
	"table_full":    codeReadOnly,
	"not_ready":     codeNotReady,
}

// fail answers an error. What the caller can not mend is logged and not shown.
func (c *call) fail(err error) {
	var f *failure
	switch {
	case errors.As(err, &f):
	case errors.Is(err, task.ErrBusy):
		f = &failure{503, codeBusy, "too many tasks wait already; nothing was changed"}
	default:
		f = new(failure)
		status, code, detail, known := problem.OfTable(err, c.api.table.Fault())
		if *f = (failure{status, tableCodes[code], detail}); !known {
			c.api.log.Error("request failed", "method", string(c.ctx.Method()), "path", string(c.ctx.Path()), "error", err)
			*f = failure{500, codeInternal, "the gateway failed; its log has the reason"}
		}
	}
	if f.status == fasthttp.StatusServiceUnavailable && len(c.ctx.Response.Header.Peek("Retry-After")) == 0 {
		c.retryAfter("5")
	}
	c.answer(f.status, func(dst []byte) []byte { return appendError(dst, f.code, f.message) })
}

func (c *call) retryAfter(seconds string) { c.ctx.Response.Header.Set("Retry-After", seconds) }

// answer writes a document with one element.
func (c *call) answer(status int, element func([]byte) []byte) {
	c.ctx.Response.ResetBody()
	c.ctx.SetStatusCode(status)
	c.ctx.SetContentType(contentType)
	c.ctx.Response.SetBodyRaw(element([]byte(declared)))
}

// done answers a change that leaves nothing to say.
func (c *call) done() error {
	c.ctx.SetStatusCode(fasthttp.StatusOK)
	c.ctx.SetContentType(contentType)
	return nil
}

// body returns the body of a call that has one.
func (c *call) body() ([]byte, error) {
	if header := string(c.ctx.Request.Header.ContentType()); header != "" && !xmlType(header) {
		return nil, refuse(415, codeMediaType, "the body must be application/xml in UTF-8; Content-Type says "+strconv.Quote(short(header)))
	}
	fence.Hurry(c.ctx)
	raw, err := fence.ReadBody(c.ctx, MaxBody)
	switch {
	case errors.Is(err, fence.ErrTooLarge):
		return nil, refuse(413, codeTooLarge, "the body is larger than "+strconv.Itoa(MaxBody)+" bytes")
	case err != nil:
		return nil, bad("%v", err)
	}
	return raw, nil
}

// xmlType reports whether a Content-Type is XML in UTF-8.
func xmlType(header string) bool {
	t, params, err := mime.ParseMediaType(header)
	if charset := params["charset"]; err != nil || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return t == "application/xml" || t == "text/xml" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+xml")
}

// parameter returns a query parameter. Names are compared without regard to case, as
// the servers of .NET do; parameters that a call does not know mean nothing to it.
func (c *call) parameter(name string) (value string, given bool, err error) {
	for k, v := range c.ctx.QueryArgs().All() {
		if !strings.EqualFold(string(k), name) {
			continue
		}
		if given {
			return "", true, bad("query parameter %s is given twice", name)
		}
		value, given = string(v), true
	}
	return value, given, nil
}

func badParameter(name, value, want string) error {
	return bad("query parameter %s %q: want %s", name, short(value), want)
}

// tenantID reads the id in the path. What is no id is that of no tenant.
func (c *call) tenantID() (store.TenantID, error) {
	id, err := store.ParseTenantID(c.params[0])
	if err != nil {
		return id, noTenant(c.params[0])
	}
	return id, nil
}

func noTenant(id string) error {
	return refuse(404, codeTenantNotFound, "there is no tenant "+short(id))
}
