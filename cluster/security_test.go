package cluster_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
)

// lines counts what is logged.
type lines struct{ count atomic.Int64 }

func (l *lines) Write(p []byte) (int, error) {
	l.count.Add(1)
	return len(p), nil
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// check fails the test if more than ten lines a second were logged, on average.
func (l *lines) check(t *testing.T, d time.Duration) {
	t.Helper()
	most := 10 * int64(d/time.Second+2) // the first second and the last may have begun
	if n := l.count.Load(); n > most {
		t.Errorf("%d lines were logged in %v, want at most %d", n, d, most)
	}
}

// TestStrangers lets nodes of other clusters and of none call on a cluster, and be
// called by it.
func TestStrangers(t *testing.T) {
	key1, key2 := slices.Repeat([]byte{1}, 32), slices.Repeat([]byte{2}, 32)
	var logged lines
	began := time.Now()
	a := start(t, cluster.Config{Name: "a", Label: "prod", Keys: [][]byte{key1}, Logger: logged.logger()})
	strangers := []cluster.Config{
		{Name: "another key", Label: "prod", Keys: [][]byte{key2}},
		{Name: "another label", Label: "test", Keys: [][]byte{key1}},
		{Name: "no label", Keys: [][]byte{key1}},
		{Name: "no key", Label: "prod"},
		{Name: "neither"},
	}
	seeds := []string{a.Addr()}
	var outside []member
	for _, cfg := range strangers {
		cfg.Seeds = []string{a.Addr()}
		m := start(t, cfg)
		if err := m.table.Set(key(lasting, 1), []byte("of a stranger")); err != nil {
			t.Fatal(err)
		}
		outside, seeds = append(outside, m), append(seeds, m.Addr())
	}
	b := start(t, cluster.Config{Name: "b", Label: "prod", Keys: [][]byte{key1}, Seeds: seeds, Logger: logged.logger()})
	inside := []member{a, b}
	await(t, "the members see each other", 10*time.Second, met(inside))
	time.Sleep(3 * time.Second)
	for i, m := range inside {
		if err := m.table.Set(key(lasting, 2+i), []byte("of a member")); err != nil {
			t.Fatal(err)
		}
		await(t, "a record at all members", 5*time.Second, everybody(inside, key(lasting, 2+i), "of a member"))
	}
	for _, m := range inside {
		if all := m.Members(); len(all) != len(inside) || m.table.Len() != len(inside) {
			t.Errorf("%s knows the members %+v and has %d records, want %d and %d", m.Name(), all, m.table.Len(), len(inside), len(inside))
		}
	}
	for _, m := range outside {
		if all := m.Members(); len(all) != 1 || m.table.Len() != 1 {
			t.Errorf("the stranger with %s knows the members %+v and has %d records, want itself and 1", m.Name(), all, m.table.Len())
		}
	}
	logged.check(t, 2*time.Since(began)) // of two nodes
}

const (
	floodFor     = 3 * time.Second
	floodPackets = 10_000 // a second
	floodStreams = 4      // at a time, most of which last for a second
)

// TestGarbage floods two nodes, from another address, with what no node would send.
func TestGarbage(t *testing.T) {
	for name, keys := range map[string][][]byte{"encrypted": {make([]byte, 32)}, "in the clear": nil} {
		t.Run(name, func(t *testing.T) {
			var logged lines
			began := time.Now()
			cfg := cluster.Config{Name: "a", Label: "prod", Keys: keys, Logger: logged.logger()}
			a := start(t, cfg)
			cfg.Name, cfg.Seeds = "b", []string{a.Addr()}
			b := start(t, cfg)
			inside := []member{a, b}
			await(t, "the members see each other", 10*time.Second, met(inside))

			ctx, cancel := context.WithTimeout(t.Context(), floodFor)
			defer cancel()
			var flooding sync.WaitGroup
			var packets, streams atomic.Int64
			for i, m := range inside {
				flooding.Go(func() { floodWithPackets(ctx, t, m.Addr(), uint64(i), floodPackets/len(inside), &packets) })
			}
			for i := range floodStreams {
				flooding.Go(func() { floodWithStreams(ctx, inside[i%2].Addr(), uint64(i), &streams) })
			}
			slowest, wrote := time.Duration(0), 0
			for ; ctx.Err() == nil; wrote++ {
				k := key(lasting, wrote)
				if err := inside[wrote%2].table.Set(k, []byte("written")); err != nil {
					t.Fatal(err)
				}
				set := time.Now()
				for !everybody(inside, k, "written")() && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				slowest = max(slowest, time.Since(set))
				for _, m := range inside {
					if s := m.Stats(); s.Alive != 2 || s.Members != 2 {
						t.Fatalf("%s knows %d members, %d alive, want 2 and 2", m.Name(), s.Members, s.Alive)
					}
				}
			}
			flooding.Wait()
			t.Logf("%d packets/s, %d streams; %d records written, the slowest took %v; %d lines logged",
				packets.Load()/int64(floodFor/time.Second), streams.Load(), wrote, slowest, logged.count.Load())
			await(t, "all that was written at both members", 15*time.Second, func() bool {
				return a.table.Len() == wrote && b.table.Len() == wrote
			})
			logged.check(t, 2*time.Since(began)) // of two nodes
		})
	}
}

// TestHugeStreams sends more than memory should take on many streams at a time. None
// of them has the key, but memberlist would read them all to find out.
func TestHugeStreams(t *testing.T) {
	const (
		streams = 100
		most    = 384 << 20 // bytes of heap; 2,000 MiB are sent
	)
	a := start(t, cluster.Config{Name: "a", Keys: [][]byte{make([]byte, 32)}})
	before := heap()
	var sending sync.WaitGroup
	var sent atomic.Int64
	for range streams {
		sending.Go(func() {
			conn, err := net.Dial("tcp", a.Addr())
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			n, _ := io.Copy(conn, io.MultiReader(bytes.NewReader(hugeStream), io.LimitReader(zeros{}, 20<<20)))
			sent.Add(n)
		})
	}
	over := make(chan struct{})
	go func() {
		sending.Wait()
		close(over)
	}()
	peak := before
	for waiting := true; waiting; peak = max(peak, heap()) {
		select {
		case <-over:
			waiting = false
		case <-time.After(5 * time.Millisecond):
		}
	}
	t.Logf("%d MiB sent, %d MiB of memory more", sent.Load()>>20, (peak-before)>>20)
	if peak > before+most {
		t.Errorf("the heap grew by %d MiB, want at most %d", (peak-before)>>20, most>>20)
	}
}

// TestClaims begins streams that say much is to come. Where there is a key, nothing is
// made ready for that.
func TestClaims(t *testing.T) {
	a := start(t, cluster.Config{Name: "a", Keys: [][]byte{make([]byte, 32)}})
	for what, begin := range map[string]string{
		"the state of a million nodes": "\x06\x83\xa5Nodes\xce\x00\x10\x00\x00\xacUserStateLen\x00\xa4Join\xc2",
		"a message of 20 MiB":          "\x08\x81\xaaUserMsgLen\xce\x01\x40\x00\x00",
		"20 MiB that are encrypted":    string(hugeStream),
	} {
		before := allocated()
		conn, err := net.Dial("tcp", a.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(begin)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if took := allocated() - before; took > 1<<20 {
			t.Errorf("%s, in %d bytes, cost %d KiB of memory", what, len(begin), took>>10)
		}
		_ = conn.Close()
	}
}

// allocated returns how many bytes were allocated so far.
func allocated() uint64 { return sample("/gc/heap/allocs:bytes") }

// heap returns how many bytes are allocated on it, and not found to be free yet.
func heap() uint64 {
	return sample("/memory/classes/heap/objects:bytes")
}

func sample(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

var elsewhere = net.IPv4(127, 0, 0, 2)

func floodWithPackets(ctx context.Context, t *testing.T, to string, seed uint64, perSecond int, count *atomic.Int64) {
	r := rand.New(rand.NewPCG(seed, 0))
	conn, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: elsewhere}}).DialContext(ctx, "udp", to)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	begins := [][]byte{nil, labelled, append(labelled[:len(labelled):len(labelled)], 1), {244, 255, 1}, {8}, {12, 0}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for range perSecond / 100 {
			if _, err := conn.Write(append(begins[r.IntN(len(begins))], noise(r, 1200)...)); err == nil {
				count.Add(1)
			}
		}
	}
}

// labelled is how all begins that has the label of the cluster.
var labelled = []byte("\xf4\x04prod")

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func noise(r *rand.Rand, size int) []byte {
	b := make([]byte, 1+r.IntN(size))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// hugeStream begins an encrypted stream of 20 MiB, the most that memberlist takes.
var hugeStream = []byte{10, 0x01, 0x40, 0, 0}

// floodWithStreams opens one stream after the other. Most claim to be long, and then
// nothing comes.
func floodWithStreams(ctx context.Context, to string, seed uint64, count *atomic.Int64) {
	r := rand.New(rand.NewPCG(seed, 1))
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: elsewhere}}
	begins := [][]byte{
		labelled, hugeStream, {10, 0xff, 0xff, 0xff, 0xff}, {10, 0, 0, 0, 0}, {244, 255, 1}, {6, 0xff}, {9, 0xff}, {8, 0xdf}, {12, 0xc0},
		append(labelled[:len(labelled):len(labelled)], hugeStream...),
	}
	for ; ctx.Err() == nil; count.Add(1) {
		conn, err := dialer.DialContext(ctx, "tcp", to)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		_ = conn.SetDeadline(time.Now().Add(time.Second))
		begin := begins[r.IntN(len(begins))]
		if r.IntN(2) == 0 {
			begin = append(begin[:len(begin):len(begin)], noise(r, 100_000)...)
		}
		_, _ = conn.Write(begin)
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
}
