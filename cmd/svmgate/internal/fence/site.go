package fence

import (
	"net/url"

	"github.com/valyala/fasthttp"
)

// CrossSite reports whether a browser sent a request on behalf of another site: the
// credentials in it are not proof that somebody wanted it. Other programs send neither
// of the headers that it goes by. The rule is that of net/http's CrossOriginProtection.
func CrossSite(ctx *fasthttp.RequestCtx) bool {
	switch string(ctx.Request.Header.Peek("Sec-Fetch-Site")) {
	case "same-origin", "none":
		return false
	case "":
	default:
		return true
	}
	origin := string(ctx.Request.Header.Peek("Origin"))
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || u.Host != string(ctx.Host())
}
