package cluster

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"
)

// knocking is a transport that streams come to as the test likes.
type knocking struct {
	memberlist.NodeAwareTransport
	streams chan net.Conn
	dialed  net.Conn
}

func (k *knocking) StreamCh() <-chan net.Conn { return k.streams }

func (k *knocking) Shutdown() error { return nil }

func (k *knocking) DialAddressTimeout(memberlist.Address, time.Duration) (net.Conn, error) {
	return k.dialed, nil
}

// come lets a stream come from a host, and returns its other end.
func (k *knocking) come(host string) net.Conn {
	a, b := net.Pipe()
	k.streams <- from{b, host}
	return a
}

type from struct {
	net.Conn
	host string
}

func (f from) RemoteAddr() net.Addr { return addr(f.host + ":1234") }

type addr string

func (a addr) Network() string { return "tcp" }
func (a addr) String() string  { return string(a) }

// closed reports whether the other end of a stream was closed.
func closed(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

func guarding(t *testing.T, refused func(host string)) (*guard, *knocking) {
	k := &knocking{streams: make(chan net.Conn)}
	g := newGuard(k, new(sent), refused)
	t.Cleanup(func() { _ = g.Shutdown() })
	return g, k
}

// take returns the streams that may be read now.
func take(g *guard) (all []net.Conn) {
	for {
		synctest.Wait()
		select {
		case c := <-g.StreamCh():
			all = append(all, c)
		default:
			return all
		}
	}
}

func TestSoManyStreamsAreReadAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := guarding(t, func(string) { t.Error("a stream was refused") })
		come := func(count int, host string) {
			go func() {
				for range count {
					k.come(host)
				}
			}()
		}
		come(2*maxStreamsFromHost, "a")
		first := take(g)
		if len(first) != maxStreamsFromHost {
			t.Errorf("of one host %d are read, want %d", len(first), maxStreamsFromHost)
		}
		// It does not keep others out.
		come(maxStreams, "b")
		second := take(g)
		if len(second) != maxStreams-maxStreamsFromHost || hostOf(second[0].RemoteAddr()) != "b" {
			t.Errorf("then %d of another, want %d", len(second), maxStreams-maxStreamsFromHost)
		}
		// One that has been read makes room for one that waits.
		for _, c := range []net.Conn{first[0], first[0], second[0], second[1]} {
			_ = c.Close()
		}
		third := take(g)
		if len(third) != 3 || hostOf(third[0].RemoteAddr()) != "a" {
			t.Errorf("when three are over, %d more, want 3, the longest waiting first", len(third))
		}
	})
}

func TestSoManyStreamsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := make(map[string]int)
		g, k := guarding(t, func(host string) { refused[host]++ })
		var last net.Conn
		for range maxStreamsFromHost + maxUnreadFromHost + 5 {
			last = k.come("a")
			take(g)
		}
		if !closed(last) || refused["a"] != 5 {
			t.Errorf("%d streams of one host were refused, want 5, and that they are closed", refused["a"])
		}
		for range maxStreams - maxStreamsFromHost + maxUnread - maxUnreadFromHost + 5 {
			last = k.come("b")
			take(g)
		}
		if !closed(last) || refused["b"] != 5 {
			t.Errorf("%d streams of another were refused, want 5, and that they are closed", refused["b"])
		}
	})
}

func TestHostsWithoutStreamsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := guarding(t, func(string) {})
		for _, host := range []string{"a", "b"} {
			k.come(host)
		}
		for _, c := range take(g) {
			_ = c.Close()
		}
		synctest.Wait()
		if len(g.hosts) != 0 || g.reading != 0 {
			t.Errorf("when all streams are over, %d hosts are remembered, and %d streams", len(g.hosts), g.reading)
		}
	})
}

func TestStreamsAreNoLongerThanAMessage(t *testing.T) {
	g, k := guarding(t, func(string) {})
	far := k.come("a")
	go func() {
		_, _ = io.Copy(far, bytes.NewReader(make([]byte, 2*maxStream)))
		_ = far.Close()
	}()
	near := <-g.StreamCh()
	if n, err := io.Copy(io.Discard, near); n != maxStream || !errors.Is(err, errStreamTooLong) {
		t.Errorf("read %d bytes (%v), want %d", n, err, maxStream)
	}
	_ = near.Close()
}

func TestFewStreamsAreLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := guarding(t, func(string) {})
		var all []net.Conn
		read := make([]atomic.Int64, maxLong+2)
		for i := range read {
			far := k.come("a")
			all = append(all, <-g.StreamCh())
			go func() { _, _ = far.Write(make([]byte, 2*maxShort)) }()
			go func() {
				n, _ := io.ReadFull(all[i], make([]byte, 2*maxShort))
				read[i].Store(int64(n))
			}()
			synctest.Wait()
		}
		for i := range read {
			if n := read[i].Load(); i < maxLong && n != 2*maxShort || i >= maxLong && n != 0 {
				t.Errorf("of stream %d were read %d, want that there are %d long ones, and others wait", i, n, maxLong)
			}
		}
		_ = all[0].Close()
		time.Sleep(streamTimeout + time.Second) // no longer does memberlist read
		synctest.Wait()
		if a, b := read[maxLong].Load(), read[maxLong+1].Load(); a != 2*maxShort || b != maxShort {
			t.Errorf("when one is over, %d and %d bytes of the others were read, want %d and %d",
				a, b, 2*maxShort, maxShort)
		}
		for _, c := range all {
			_ = c.Close()
		}
		if len(g.long) != 0 {
			t.Errorf("when all are over, %d are long", len(g.long))
		}
	})
}

func TestStreamsThatWaitWhenItEndsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := guarding(t, func(string) {})
		far := k.come("a") // nobody takes it
		if err := g.Shutdown(); err != nil || !closed(far) {
			t.Errorf("Shutdown leaves a stream open (%v)", err)
		}
		near, _ := net.Pipe()
		c := &guarded{Conn: near, guard: g}
		_ = c.Close() // does not wait for anybody
	})
}

func TestPeersThatReadNothingHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, k := guarding(t, func(string) {})
		k.dialed, _ = net.Pipe()
		conn, err := g.DialTimeout("peer:1", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if _, err := conn.Write(make([]byte, 1)); err == nil || time.Since(start) > maxDialed {
			t.Errorf("writing took %v (%v), want an error after %v", time.Since(start), err, maxDialed)
		}
	})
}
