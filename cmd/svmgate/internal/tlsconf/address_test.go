package tlsconf

import (
	"net"
	"net/netip"
	"testing"
)

// from makes a connection of an address.
func (l *Listener) from(addr string) (*fakeConn, net.Conn) {
	c := &fakeConn{from: addr}
	return c, l.admit(c)
}

func TestAddressesAreBounded(t *testing.T) {
	s := newSite(t)
	for _, l := range []*Listener{{}, {TLS: s.open().Config("agent", NoClientCert)}} {
		l.PerAddress, l.Log = 2, quiet
		l.Plain = []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
		l.Unbounded = []netip.Prefix{netip.MustParsePrefix("192.0.2.2/32")}
		var first net.Conn
		for i, step := range []struct {
			from string
			want bool
		}{
			{"198.51.100.1:1", true}, {"198.51.100.1:2", true}, {"198.51.100.1:3", false}, {"[::ffff:198.51.100.1]:4", false},
			{"198.51.100.2:1", true},
			{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::3]:1", false}, {"[2001:db8:0:1::1]:1", true},
			{"192.0.2.1:1", true}, {"192.0.2.1:2", true}, {"192.0.2.1:3", true},
			{"192.0.2.2:1", true}, {"192.0.2.2:2", true}, {"192.0.2.2:3", true},
		} {
			raw, c := l.from(step.from)
			if got := c != nil; got != step.want || raw.closed == step.want {
				t.Errorf("step %d, from %s: admitted %v, closed %v; want admitted %v", i, step.from, got, raw.closed, step.want)
			}
			if i == 0 {
				first = c
			}
		}
		if got := l.Stats().Crowded; got != 3 {
			t.Errorf("%d are counted, want 3", got)
		}
		first.Close()
		first.Close() // which makes no further room
		if _, c := l.from("198.51.100.1:5"); c == nil {
			t.Error("one is closed, and there is no room for another")
		}
		if _, c := l.from("198.51.100.1:6"); c != nil {
			t.Error("there is room for too many")
		}
	}
}

// Addresses that have gone are forgotten.
func TestAddressesAreForgotten(t *testing.T) {
	l := &Listener{PerAddress: 1, Log: quiet}
	for i := range 1000 {
		_, c := l.from(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i >> 8), byte(i)}), 1).String())
		c.Close()
	}
	if n := len(l.addresses.count); n != 0 {
		t.Errorf("%d addresses are remembered", n)
	}
}
