package cluster

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
)

// A meter counts what a transport sends: payload, as it is encrypted, without the
// headers of UDP, TCP and IP. What is received, others have sent.
type meter struct {
	memberlist.NodeAwareTransport
	sent *sent
}

// sent is part of [Stats].
type sent struct{ packets, packetBytes, streamBytes atomic.Uint64 }

// WriteTo implements [memberlist.Transport].
func (m meter) WriteTo(b []byte, addr string) (time.Time, error) {
	return m.WriteToAddress(b, memberlist.Address{Addr: addr})
}

// WriteToAddress implements [memberlist.NodeAwareTransport].
func (m meter) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	at, err := m.NodeAwareTransport.WriteToAddress(b, to)
	if err == nil {
		m.sent.packets.Add(1)
		m.sent.packetBytes.Add(uint64(len(b)))
	}
	return at, err
}

// stream counts what is written to a stream, whoever opened it.
func (m meter) stream(c net.Conn) net.Conn { return metered{c, m.sent} }

type metered struct {
	net.Conn
	sent *sent
}

func (c metered) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.sent.streamBytes.Add(uint64(n))
	return n, err
}
