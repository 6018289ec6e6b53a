package cluster

import (
	"io"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// What a node sends is counted once, on the side that sends it, whoever opened the
// stream.
func TestMeter(t *testing.T) {
	var network memberlist.MockNetwork
	var ofA, ofB sent
	nobody := func(host string) { t.Errorf("a stream of %s was refused", host) }
	a := newGuard(network.NewTransport("a"), &ofA, nobody)
	b := newGuard(network.NewTransport("b"), &ofB, nobody)
	defer a.Shutdown()
	defer b.Shutdown()
	_, port, err := b.FinalAdvertiseAddr("", 0)
	if err != nil || port == 0 {
		t.Fatal(port, err)
	}
	for _, size := range []int{100, 23} {
		done := make(chan error, 1)
		go func() {
			_, err := a.WriteToAddress(make([]byte, size), memberlist.Address{Name: "b"})
			done <- err
		}()
		<-b.PacketCh() // the network of this test has no buffer
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.WriteToAddress([]byte("lost"), memberlist.Address{Name: "nobody"}); err == nil {
		t.Error("a packet went to nobody")
	}
	out, err := a.DialAddressTimeout(memberlist.Address{Name: "b"}, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	in := <-b.StreamCh()
	exchange(t, out, in, 50)
	exchange(t, in, out, 70)
	out.Close()
	in.Close()
	for _, tt := range []struct {
		name                   string
		of                     *sent
		packets, bytes, stream uint64
	}{{"a", &ofA, 2, 123, 50}, {"b", &ofB, 0, 0, 70}} {
		packets, bytes, stream := tt.of.packets.Load(), tt.of.packetBytes.Load(), tt.of.streamBytes.Load()
		if packets != tt.packets || bytes != tt.bytes || stream != tt.stream {
			t.Errorf("%s sent %d packets of %d bytes, and %d in streams; want %d, %d, %d", tt.name, packets, bytes, stream, tt.packets, tt.bytes, tt.stream)
		}
	}
}

// exchange sends so many bytes from one end of a stream to the other.
func exchange(t *testing.T, from io.Writer, to io.Reader, size int) {
	t.Helper()
	done := make(chan error, 1)
	go func() { _, err := from.Write(make([]byte, size)); done <- err }()
	if _, err := io.ReadFull(to, make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
