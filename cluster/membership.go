package cluster

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

const (
	packetSize    = 1400             // bytes of a datagram, whatever is in it
	lookupTimeout = 5 * time.Second  // of a name
	streamTimeout = 5 * time.Second  // to dial, and to read or write
	nameFreeAfter = 3 * time.Second  // a dead node's, for a node with another address
	pushPullEvery = 15 * time.Second // less often in large clusters
	gossipEvery   = 50 * time.Millisecond
)

// membership returns the configuration of memberlist.
func (n *Node) membership() (*memberlist.Config, error) {
	conf := memberlist.DefaultLANConfig()
	conf.Name, conf.Label = n.cfg.Name, n.cfg.Label
	conf.Logger = log.New(lineWriter{n.log}, "", 0)
	transport := n.cfg.Transport
	if transport == nil {
		var err error
		if transport, err = n.listen(); err != nil {
			return nil, err
		}
	}
	conf.Transport = newGuard(transport, &n.counts.sent, func(host string) {
		n.counts.droppedStreams.Add(1)
		n.log.Warn("too many streams: one was closed", "host", host)
	})
	conf.Keyring = n.keys.ring
	conf.GossipInterval = gossipEvery
	conf.PushPullInterval = pushPullEvery
	conf.TCPTimeout = streamTimeout
	conf.UDPBufferSize = packetSize
	conf.HandoffQueueDepth = 4096 // in front of NotifyMsg, which is quick
	conf.DeadNodeReclaimTime = nameFreeAfter
	conf.EnableCompression = false // it costs a gigabyte for ten megabytes, and there is little to gain
	conf.Delegate, conf.Events = delegate{n}, events{n}
	conf.Alive, conf.Conflict = events{n}, events{n}
	return conf, nil
}

// listen makes the transport of Addr and Advertise.
func (n *Node) listen() (*sockets, error) {
	addr := n.cfg.Addr
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	on, err := resolve(n.life, "Addr", addr)
	if err != nil {
		return nil, err
	}
	var tell netip.AddrPort
	if n.cfg.Advertise != "" {
		if tell, err = resolve(n.life, "Advertise", n.cfg.Advertise); err != nil {
			return nil, err
		}
	}
	s, err := openSockets(on, tell, n.log)
	if err != nil {
		return nil, fmt.Errorf("cluster: listen on Addr: %w", err)
	}
	n.repair.turns = s.turns
	return s, nil
}

// resolve returns the first address of host:port; without a host, all of this
// machine's.
func resolve(ctx context.Context, field, hostport string) (netip.AddrPort, error) {
	all, err := lookup(ctx, hostport)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("cluster: %s: %w", field, err)
	}
	return all[0], nil
}

// lookup returns the addresses that host:port stands for, at least one.
func lookup(ctx context.Context, hostport string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s: the port must be a number up to 65535", hostport)
	}
	if host == "" {
		return []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port))}, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(ip.Unmap(), uint16(port))}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	all := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		all[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return all, nil
}

// A delegate is what memberlist asks of us, and gives us.
type delegate struct{ *Node }

func (n delegate) NodeMeta(int) []byte { return []byte{oldestFormat, newestFormat} }

func (n delegate) NotifyMsg(buf []byte) { n.hear(buf) }

func (n delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return n.spread.tail.GetBroadcasts(overhead, limit)
}

func (n delegate) LocalState(join bool) []byte { return n.localState(join) }

func (n delegate) MergeRemoteState(buf []byte, join bool) { n.mergeRemoteState(buf, join) }
