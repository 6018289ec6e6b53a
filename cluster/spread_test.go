package cluster

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"pgregory.net/rapid"
)

// TestLane compares a lane with a list that is too simple to be wrong.
func TestLane(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lane
		l.init(newsMessage, 0)
		var want []entry
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				e := entry{Record{
					Key:     Key{Kind: 1, ID: [16]byte{rapid.Byte().Draw(t, "key") % 8}},
					Version: Version{Clock: rapid.Uint64().Draw(t, "version")},
					Value:   make([]byte, rapid.IntRange(0, 300).Draw(t, "bytes")),
				}, rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "from")}
				l.put(e.from, []Record{e.Record}, nil)
				if i := slices.IndexFunc(want, func(w entry) bool { return w.Key == e.Key }); i < 0 {
					want = append(want, e)
				} else {
					if want[i].from != e.from {
						e.from = ""
					}
					want[i] = e
				}
			},
			"take": func(t *rapid.T) {
				bytes := rapid.IntRange(0, 1000).Draw(t, "bytes")
				for _, e := range l.take(nil, bytes) {
					if !sameEntry(e, want[0]) {
						t.Fatalf("took %v, want %v", e, want[0])
					}
					want = want[1:]
					bytes -= recordSize(&e.Record)
				}
				if bytes > 0 && len(want) > 0 {
					t.Fatalf("%d bytes were asked for, and left there", bytes)
				}
			},
			"": func(t *rapid.T) {
				size := 0
				for i := range want {
					size += recordSize(&want[i].Record)
				}
				if records, bytes := l.len(); records != len(want) || bytes != size || len(l.index) != len(want) {
					t.Fatalf("%d records and %d bytes wait, %d in the index; want %d and %d", records, bytes, len(l.index), len(want), size)
				}
			},
		})
	})
}

func sameEntry(a, b entry) bool {
	return a.Key == b.Key && a.Version == b.Version && bytes.Equal(a.Value, b.Value) && a.from == b.from
}

func TestLaneIsBounded(t *testing.T) {
	for _, size := range []int{10, 1000} {
		var l lane
		l.init(newsMessage, 0)
		dropped := 0
		for i := range 10_000 {
			r := Record{Key: Key{Kind: 1, ID: [16]byte{byte(i), byte(i >> 8)}}, Value: make([]byte, size)}
			dropped += l.put("", []Record{r}, nil)
			if records, bytes := l.len(); records > maxWaiting || bytes > maxWaitingBytes {
				t.Fatalf("%d records and %d bytes wait", records, bytes)
			}
		}
		if records, _ := l.len(); dropped == 0 || dropped+records != 10_000 {
			t.Errorf("with values of %d bytes, %d were dropped and %d wait, of 10000", size, dropped, records)
		}
	}
}

func TestSome(t *testing.T) {
	var nodes []*memberlist.Node
	for i := range 10 {
		nodes = append(nodes, &memberlist.Node{Name: fmt.Sprint(i)})
	}
	for _, without := range []string{"", "3"} {
		for k := range 12 {
			want := min(k, 10)
			if without != "" {
				want = min(k, 9)
			}
			chosen := make(map[string]int)
			for range 1000 {
				some := some(nodes, k, without)
				names := make(map[string]bool)
				for _, node := range some {
					names[node.Name] = true
					chosen[node.Name]++
				}
				if len(some) != want || len(names) != want || names[without] {
					t.Fatalf("%d without %q are %v, want %d", k, without, slices.Collect(maps.Keys(names)), want)
				}
			}
			for name, times := range chosen {
				if even := 1000 * want / 10; times < even/2 || times > even*2 {
					t.Errorf("%d without %q: %s was chosen %d times, want about %d", k, without, name, times, even)
				}
			}
		}
	}
}

// TestOversizeIsNotRepeated: a broadcast that fits into no packet would stay in
// memberlist's queue for ever.
func TestOversizeIsNotRepeated(t *testing.T) {
	n := &Node{cfg: Config{Name: "n", Label: "label"}}
	n.peers.init("n", nil)
	n.spread.init(n)
	size := 0
	for ; ; size++ {
		before := n.spread.tail.NumQueued()
		n.repeat(&Record{Key: Key{Kind: 1, ID: [16]byte{byte(size), byte(size >> 8)}}, Value: make([]byte, size)})
		if size > maxTail && n.spread.tail.NumQueued() > maxTail {
			t.Fatalf("%d records are repeated", n.spread.tail.NumQueued())
		}
		if n.spread.tail.NumQueued() == before && before < maxTail {
			break
		}
		n.spread.tail.Reset()
	}
	if size < 1000 || size > packetSize {
		t.Fatalf("values of %d bytes and more are not repeated", size)
	}
	// The largest that is queued leaves again, in a packet with the label and a key.
	n.repeat(&Record{Key: Key{Kind: 1}, Value: make([]byte, size-1)})
	if n.spread.tail.NumQueued() != 1 {
		t.Fatal("nothing waits")
	}
	for range 10 {
		n.spread.tail.GetBroadcasts(2+1, packetSize-2-(2+len("label"))-29)
	}
	if left := n.spread.tail.NumQueued(); left != 0 {
		t.Errorf("%d broadcasts do not fit, and stay", left)
	}
	for i := range 2 * maxTail {
		n.repeat(&Record{Key: Key{Kind: 1, ID: [16]byte{byte(i), byte(i >> 8)}}})
	}
	if left := n.spread.tail.NumQueued(); left != maxTail {
		t.Errorf("%d records are repeated, want at most %d", left, maxTail)
	}
}

// TestForget: who has been dead for long is forgotten, but not while this node is
// alone: then it has nobody else to go back to.
func TestForget(t *testing.T) {
	now := time.UnixMilli(1_000_000_000_000)
	var p peers
	p.init("me", []Peer{
		{Name: "long", Addr: "10.0.0.1:1", Seen: now.Add(-forgetAfter - time.Second)},
		{Name: "lately", Addr: "10.0.0.2:1", Seen: now.Add(-forgetAfter + time.Second)},
		{Name: "me", Addr: "10.0.0.3:1", Seen: now},
	})
	p.forget(now)
	if known, alive := p.count(); known != 3 || alive != 1 {
		t.Errorf("alone: %d known and %d alive, want 3 and 1", known, alive)
	}
	p.met(&memberlist.Node{Name: "other"}, now.Add(-2*forgetAfter))
	p.forget(now)
	if known, alive := p.count(); known != 3 || alive != 2 || p.known["long"] != nil {
		t.Errorf("in company: %d known and %d alive, want 3 and 2", known, alive)
	}
}
