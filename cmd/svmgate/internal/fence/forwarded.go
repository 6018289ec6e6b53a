package fence

import (
	"bytes"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"
)

// Forwarded returns a handler for which the remote address of a request that a
// trusted proxy passed on is the client's own, from X-Forwarded-For: the last
// address there that is not a trusted proxy's, because whatever stands before it
// the client may have written itself. Requests from elsewhere keep the address of
// their connection, whatever their headers say.
func Forwarded(next fasthttp.RequestHandler, trusted []netip.Prefix) fasthttp.RequestHandler {
	if len(trusted) == 0 {
		return next
	}
	return func(ctx *fasthttp.RequestCtx) {
		ctx.SetRemoteAddr(nil) // the connection's, not that of the request before
		if isTrusted(trusted, addrOf(ctx.RemoteAddr())) {
			ctx.SetUserValue(trustedKey{}, true)
			if client := clientOf(ctx, trusted); client.IsValid() {
				ctx.SetRemoteAddr(net.TCPAddrFromAddrPort(netip.AddrPortFrom(client, 0)))
			}
		}
		next(ctx)
	}
}

// trustedKey marks requests that a trusted proxy passed on. The mark goes with the
// request, unlike the address.
type trustedKey struct{}

// Host returns by which host the client called, with the port as it was given: what the
// Host header says, or for a request that a trusted proxy passed on ([Forwarded]) what
// that wrote into X-Forwarded-Host. If there are several the last counts, because
// whatever stands before it the client may have written itself.
func Host(ctx *fasthttp.RequestCtx) string {
	if ctx.UserValue(trustedKey{}) != nil {
		list := bytes.Join(ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedHost), []byte(","))
		if host := bytes.TrimSpace(list[bytes.LastIndexByte(list, ',')+1:]); len(host) > 0 {
			return string(host)
		}
	}
	return string(ctx.Host())
}

// clientOf reads all X-Forwarded-For headers as one list, from its end.
func clientOf(ctx *fasthttp.RequestCtx, trusted []netip.Prefix) (client netip.Addr) {
	list := bytes.Join(ctx.Request.Header.PeekAll(fasthttp.HeaderXForwardedFor), []byte(","))
	for len(list) > 0 {
		i := bytes.LastIndexByte(list, ',')
		a, err := netip.ParseAddr(string(bytes.TrimSpace(list[i+1:])))
		if err != nil {
			return client // not an address: believe nothing that stands before it
		}
		client = a.Unmap()
		if !isTrusted(trusted, client) {
			return client
		}
		list = list[:max(i, 0)]
	}
	return client
}

func isTrusted(trusted []netip.Prefix, a netip.Addr) bool {
	for _, p := range trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
