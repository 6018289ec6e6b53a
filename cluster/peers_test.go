package cluster

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// TestLateGoodbye: a goodbye from before a peer was restarted arrives after that.
func TestLateGoodbye(t *testing.T) {
	n := &Node{cfg: Config{Name: "a"}}
	n.lines = limit(nil)
	n.log, n.life = slog.New(n.lines), t.Context()
	n.peers.init("a", nil)
	n.spread.init(n)
	n.peers.met(&memberlist.Node{Name: "b", Addr: net.IPv4(10, 0, 0, 2)}, time.Now())
	n.heardBeacon("b", Record{beaconKey("b"), Version{Clock: 1}, append([]byte{goodbyeRecord}, "b"...)})
	n.heardBeacon("b", Record{beaconKey("b"), Version{Clock: 2}, append([]byte{beaconRecord}, "b"...)})
	if n.peers.lost("b", time.Now()) {
		t.Error("a peer that went on after a goodbye is forgotten when it dies")
	}
}
