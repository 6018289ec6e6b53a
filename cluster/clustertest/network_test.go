package clustertest_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/svmgate/svmgate/cluster/clustertest"
	"golang.org/x/net/nettest"
)

func dial(t testing.TB, n *clustertest.Network, from *clustertest.Transport, to string) net.Conn {
	t.Helper()
	conn, err := from.DialTimeout(n.Addr(to), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// TestStreamsAreConns runs the tests of the Go project for connections.
func TestStreamsAreConns(t *testing.T) {
	nettest.TestConn(t, func() (a, b net.Conn, stop func(), err error) {
		n := clustertest.NewNetwork(1, clustertest.Faults{})
		from, to := n.Transport("from"), n.Transport("to")
		a, err = from.DialTimeout(n.Addr("to"), time.Second)
		if err != nil {
			return nil, nil, nil, err
		}
		b = <-to.StreamCh()
		return a, b, func() { a.Close(); b.Close() }, nil
	})
}

func TestPacketsMeetTheirFate(t *testing.T) {
	fates := func(seed uint64, faults clustertest.Faults) (got []byte, counts clustertest.Counts) {
		synctest.Test(t, func(*testing.T) {
			n := clustertest.NewNetwork(seed, faults)
			from, to := n.Transport("from"), n.Transport("to")
			for i := range 200 {
				from.WriteTo([]byte{byte(i)}, n.Addr("to"))
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
			for len(to.PacketCh()) > 0 {
				p := <-to.PacketCh()
				got = append(got, p.Buf...)
			}
			counts = n.Counts()
		})
		return got, counts
	}
	all, _ := fates(1, clustertest.Faults{Delay: time.Millisecond})
	if len(all) != 200 || !slices.IsSorted(all) {
		t.Errorf("without faults %d packets arrived, in order: %t", len(all), slices.IsSorted(all))
	}
	faults := clustertest.Faults{Loss: 0.2, Duplicate: 0.2, Jitter: 10 * time.Millisecond}
	a, counts := fates(1, faults)
	if counts.Lost < 20 || counts.Duplicated < 20 || slices.IsSorted(a) || uint64(len(a)) != 200-counts.Lost+counts.Duplicated {
		t.Errorf("%d packets arrived, in order: %t; %+v", len(a), slices.IsSorted(a), counts)
	}
	if again, _ := fates(1, faults); !bytes.Equal(a, again) {
		t.Error("the same seed gave packets another fate")
	}
	if other, _ := fates(2, faults); bytes.Equal(a, other) {
		t.Error("another seed gave packets the same fate")
	}
}

func TestCutsBreakStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1, clustertest.Faults{Delay: time.Millisecond})
		a, b := n.Transport("a"), n.Transport("b")
		conn := dial(t, n, a, "b")
		n.Cut("b", "a") // one way is enough
		if _, err := io.ReadAll(conn); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reading over a cut: %v, want a reset", err)
		}
		start := time.Now()
		if _, err := a.DialTimeout(n.Addr("b"), time.Second); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("dialing over a cut: %v after %v", err, time.Since(start))
		}
		a.WriteTo([]byte("there"), n.Addr("b"))
		b.WriteTo([]byte("back"), n.Addr("a"))
		time.Sleep(time.Second)
		if len(b.PacketCh()) != 1 || len(a.PacketCh()) != 0 {
			t.Errorf("%d packets there and %d back, want 1 and 0", len(b.PacketCh()), len(a.PacketCh()))
		}
		n.Heal()
		dial(t, n, a, "b").Close()

		n.Partition([]string{"a"}, []string{"b"})
		if _, err := a.DialTimeout(n.Addr("b"), time.Second); err == nil {
			t.Error("a partition let a stream through")
		}
		n.Heal()
		n.Crash("b")
		if _, err := a.DialTimeout(n.Addr("b"), time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dialing who is gone: %v, want a refusal", err)
		}
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1, clustertest.Faults{})
		a, b := n.Transport("a"), n.Transport("b")
		conn := dial(t, n, a, "b")
		n.Pause("b")
		a.WriteTo([]byte("packet"), n.Addr("b"))
		fmt.Fprint(conn, "stream")
		read := make(chan time.Time)
		go func() {
			io.ReadFull(<-b.StreamCh(), make([]byte, 6))
			read <- time.Now()
		}()
		go func() {
			b.WriteTo([]byte("answer"), n.Addr("a"))
		}()
		time.Sleep(20 * time.Second)
		if len(a.PacketCh())+len(b.PacketCh())+len(read) != 0 {
			t.Error("a paused host did something")
		}
		end := time.Now()
		n.Resume("b")
		if at := <-read; !at.Equal(end) {
			t.Errorf("the stream was read %v after the pause", at.Sub(end))
		}
		time.Sleep(time.Millisecond)
		if len(a.PacketCh()) != 1 || len(b.PacketCh()) != 1 {
			t.Error("what waited for the end of a pause was lost")
		}
	})
}

// TestMemberlist says that membership works as it does over sockets: who is cut
// off is dead, and never called again.
func TestMemberlist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := clustertest.NewNetwork(1, clustertest.Faults{Loss: 0.05, Duplicate: 0.05, Delay: time.Millisecond, Jitter: 20 * time.Millisecond})
		var all []*memberlist.Memberlist
		for i := range 5 {
			cfg := memberlist.DefaultLANConfig()
			cfg.Name = fmt.Sprint("n", i)
			cfg.Transport = n.Transport(cfg.Name)
			cfg.LogOutput = io.Discard
			list, err := memberlist.Create(cfg)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, list)
			if _, err := list.Join([]string{n.Addr("n0")}); err != nil {
				t.Fatal(err)
			}
		}
		expect := func(when string, want int) {
			t.Helper()
			for _, list := range all {
				if got := list.NumMembers(); got != want {
					t.Errorf("%s, %s sees %d, want %d", when, list.LocalNode().Name, got, want)
				}
			}
		}
		time.Sleep(5 * time.Second)
		expect("after the start", 5)
		n.Partition([]string{"n0"}, []string{"n1"}, []string{"n2"}, []string{"n3"})
		time.Sleep(2 * time.Minute)
		expect("cut off for two minutes", 1)
		n.Heal()
		time.Sleep(2 * time.Minute)
		expect("healed for two minutes, without a rejoin", 1)
		for _, list := range all {
			list.Join([]string{n.Addr("n0")})
		}
		time.Sleep(10 * time.Second)
		expect("after a rejoin", 5)
		for _, list := range all {
			list.Shutdown()
		}
		time.Sleep(time.Minute) // what probes and dials sees that all is over
	})
}
