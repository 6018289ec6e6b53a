package daemon

import (
	"testing"

	"github.com/valyala/fasthttp"
)

// Before the table is loaded an agent is told to come again, not that its VM is
// unknown.
func TestStarting(t *testing.T) {
	var ctx fasthttp.RequestCtx
	starting(&ctx)
	if ctx.Response.StatusCode() != 503 || string(ctx.Response.Header.Peek("Retry-After")) == "" {
		t.Errorf("answer:\n%s", &ctx.Response)
	}
}
