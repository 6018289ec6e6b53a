package fence

import (
	"net"
	"net/netip"
	"testing"

	"github.com/valyala/fasthttp"
)

func TestForwarded(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	tests := []struct {
		name, peer string
		headers    []string
		want       string
	}{
		{"no proxy", "192.0.2.1", nil, "192.0.2.1"},
		{"a stranger's header", "192.0.2.1", []string{"198.51.100.7"}, "192.0.2.1"},
		{"trusted", "10.1.1.1", []string{"198.51.100.7"}, "198.51.100.7"},
		{"trusted, IPv6", "::1", []string{"2001:db8::5"}, "2001:db8::5"},
		{"trusted, no header", "10.1.1.1", nil, "10.1.1.1"},
		{"two proxies", "10.1.1.1", []string{"198.51.100.7, 10.2.2.2"}, "198.51.100.7"},
		{"the client wrote the first one", "10.1.1.1", []string{"127.0.0.1, 198.51.100.7, 10.2.2.2"}, "198.51.100.7"},
		{"two headers", "10.1.1.1", []string{"127.0.0.1", "198.51.100.7"}, "198.51.100.7"},
		{"all trusted", "10.1.1.1", []string{"10.3.3.3,10.2.2.2"}, "10.3.3.3"},
		{"not an address", "10.1.1.1", []string{"unknown"}, "10.1.1.1"},
		{"not an address before a trusted one", "10.1.1.1", []string{"x, 10.2.2.2"}, "10.2.2.2"},
		{"empty", "10.1.1.1", []string{""}, "10.1.1.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			h := Forwarded(func(ctx *fasthttp.RequestCtx) { got = ctx.RemoteIP().String() }, trusted)
			var ctx fasthttp.RequestCtx
			ctx.Init2(peerConn{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(tt.peer), 9))}, nil, false)
			for _, v := range tt.headers {
				ctx.Request.Header.Add("X-Forwarded-For", v)
			}
			// What an earlier request of the connection said is forgotten.
			ctx.SetRemoteAddr(&net.TCPAddr{IP: net.IPv4(203, 0, 113, 1)})
			if h(&ctx); got != tt.want {
				t.Errorf("remote address = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestHost(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	tests := []struct {
		name, peer string
		headers    []string
		want       string
	}{
		{"no proxy", "192.0.2.1", nil, "gw-1:7271"},
		{"a stranger's header", "192.0.2.1", []string{"evil.example"}, "gw-1:7271"},
		{"trusted", "10.1.1.1", []string{"is.example:443"}, "is.example:443"},
		{"trusted, no header", "10.1.1.1", nil, "gw-1:7271"},
		{"trusted, empty", "10.1.1.1", []string{" "}, "gw-1:7271"},
		{"the client wrote the first one", "10.1.1.1", []string{"evil.example, is.example"}, "is.example"},
		{"two headers", "10.1.1.1", []string{"evil.example", "is.example"}, "is.example"},
		{"a stranger after a proxy", "192.0.2.1", []string{"evil.example"}, "gw-1:7271"},
	}
	var got string
	h := Forwarded(func(ctx *fasthttp.RequestCtx) { got = Host(ctx) }, trusted)
	var ctx fasthttp.RequestCtx // one for all: what a request said is forgotten at the next
	for _, tt := range tests {
		ctx.Init2(peerConn{addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(tt.peer), 9))}, nil, false)
		ctx.Request.Reset()
		ctx.Request.SetRequestURI("/")
		ctx.Request.Header.SetHost("gw-1:7271")
		for _, v := range tt.headers {
			ctx.Request.Header.Add("X-Forwarded-Host", v)
		}
		if h(&ctx); got != tt.want {
			t.Errorf("%s: host = %s, want %s", tt.name, got, tt.want)
		}
	}
}

type peerConn struct {
	net.Conn
	addr net.Addr
}

func (c peerConn) RemoteAddr() net.Addr { return c.addr }
