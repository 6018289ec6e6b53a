package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// ears note what they hear.
type ears struct {
	mu    sync.Mutex
	heard []telling
}

func (e *ears) hear(gateway string, epoch uint64, list []discovery.Sighting) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heard = append(e.heard, telling{gateway: gateway, epoch: epoch, list: slices.Clone(list)})
}

// of returns all SVMs that a gateway told of, the latest word on each.
func (e *ears) of(gateway string) map[store.SVMID]discovery.Sighting {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[store.SVMID]discovery.Sighting{}
	for _, t := range e.heard {
		for _, s := range t.list {
			if t.gateway == gateway {
				all[s.SVM] = s
			}
		}
	}
	return all
}

func listener(t *testing.T, name string) (*sightings, *ears) {
	e, s := new(ears), new(sightings)
	s.init(newTable(t, store.Config{Node: name}), &Config{Name: name, Hear: e.hear})
	return s, e
}

func manySightings(n int) (list []discovery.Sighting) {
	for i := range n {
		s := discovery.Sighting{Picks: int32(i * 1_000_003), Suspect: i%3 == 0, Silent: i%5 == 0}
		binary.BigEndian.PutUint64(s.SVM[:], uint64(i+1))
		list = append(list, s)
	}
	return append(list, discovery.Sighting{SVM: store.SVMID{9}, Picks: math.MinInt32}, discovery.Sighting{SVM: store.SVMID{8}, Picks: math.MaxInt32})
}

func TestSightingsArriveAsTold(t *testing.T) {
	s, heard := listener(t, "b")
	list := manySightings(1000)
	packed := (&telling{"a", 7, 1, list}).records()
	for _, r := range packed {
		if len(r.Value) > sightingRoom || r.Version != (cluster.Version{}) {
			t.Fatalf("a record of %d bytes and version %v", len(r.Value), r.Version)
		}
	}
	check(t, s.Merge("a", packed))
	var got []discovery.Sighting
	for _, h := range heard.heard {
		if h.gateway != "a" || h.epoch != 7 {
			t.Fatalf("heard of %q, epoch %d", h.gateway, h.epoch)
		}
		got = append(got, h.list...)
	}
	if !reflect.DeepEqual(got, list) || s.heard.Load() != uint64(len(list)) {
		t.Errorf("heard %d of %d, %d counted", len(got), len(list), s.heard.Load())
	}
	if len(packed) > 1000*(16+5+1)/(sightingRoom-100)+1 {
		t.Errorf("%d records", len(packed))
	}
}

// What comes twice, or late, or from this gateway itself, is not heard.
func TestOldSightingsAreNotHeard(t *testing.T) {
	s, heard := listener(t, "b")
	tell := func(gateway string, epoch, number uint64, part int, want bool) {
		t.Helper()
		before := len(heard.heard)
		r := (&telling{gateway, epoch, number, manySightings(1)}).records()[0]
		r.Key = sightingKey(gateway, part)
		check(t, s.Merge("c", []cluster.Record{r}))
		if got := len(heard.heard) > before; got != want {
			t.Errorf("%s, epoch %d, telling %d, part %d: heard %v, want %v", gateway, epoch, number, part, got, want)
		}
	}
	tell("a", 1, 5, 0, true)
	tell("a", 1, 5, 0, false)
	tell("a", 1, 5, maxSaid-1, true)
	tell("a", 1, 5, maxSaid, false)
	tell("a", 1, 4, 1, false)
	tell("a", 1, 6, 0, true)
	tell("a", 1, 5, 2, false)
	tell("a", 2, 1, 0, true)
	tell("b", 1, 9, 0, false)
	for i := range 3 * maxGateways {
		tell(fmt.Sprint("gateway-", i), 1, 1, 0, true)
	}
	if len(s.last) > maxGateways {
		t.Errorf("%d gateways are remembered, want at most %d", len(s.last), maxGateways)
	}
}

// The table gets what is its own, and nothing of the rest.
func TestSightingsAreKeptByNoTable(t *testing.T) {
	s, heard := listener(t, "b")
	a := newTable(t, store.Config{Node: "a"})
	createTenant(t, a, 1, "acme")
	said := (&telling{"a", 1, 1, manySightings(100)}).records()
	versioned := said[1]
	versioned.Version = cluster.Version{Clock: 1 << 20, Node: 1}
	check(t, s.Merge("a", slices.Concat(said[:1], everything(a), []cluster.Record{versioned})))
	if digest(s) != digest(a) || len(heard.of("a")) == 0 {
		t.Errorf("%d records, want %d; heard of %d SVMs", len(everything(s)), len(everything(a)), len(heard.of("a")))
	}
	check(t, s.table.Merge("a", []cluster.Record{versioned})) // however it may come there
	if digest(s) != digest(a) {
		t.Error("a table keeps sightings")
	}
}

// A release that does not know of sightings takes them for records of another kind that
// it does not know. It would keep those, but for want of a version.
func TestOlderReleasesLeaveSightingsOut(t *testing.T) {
	const unknown = 200
	older := newTable(t, store.Config{Node: "b", Journal: broken{}}) // which fails if anything is written
	older.Subscribe(func(n *store.News) { t.Errorf("passed on: %v", n.Records) })
	said := (&telling{"a", 1, 1, manySightings(100)}).records()
	for i := range said {
		said[i].Key.Kind = unknown
	}
	before := digest(older)
	check(t, older.Merge("a", said))
	if digest(older) != before || older.Stats().Unreadable != uint64(len(said)) {
		t.Errorf("%d records kept, %d left out; want 0 and %d", len(everything(older)), older.Stats().Unreadable, len(said))
	}
}

func TestDamagedSightings(t *testing.T) {
	good, _ := appendTelling(nil, &telling{"a", 1, 1, manySightings(1)}, 0)
	for name, value := range map[string][]byte{
		"nothing":           {},
		"another release's": append([]byte{sightingFormat + 1}, good[1:]...),
		"without a name":    append([]byte{sightingFormat, 0}, good[3:]...),
		"not UTF-8":         append([]byte{sightingFormat, 1, 0xff}, good[3:]...),
		"cut":               good[:len(good)-1],
		"too long":          append(bytes.Clone(good), make([]byte, 60*18)...), // SVMs, all of them
		"too many picks":    append(append(bytes.Clone(good[:len(good)-1-5]), binary.AppendVarint(nil, math.MaxInt32+1)...), 0),
	} {
		s, heard := listener(t, "b")
		check(t, s.Merge("a", []cluster.Record{{Key: sightingKey("a", 0), Value: value}}))
		if len(heard.heard) > 0 || s.unreadable.Load() != 1 {
			t.Errorf("%s: heard %v, %d unreadable", name, heard.heard, s.unreadable.Load())
		}
	}
}

func FuzzSightings(f *testing.F) {
	for _, n := range []int{0, 1, 40} {
		value, _ := appendTelling(nil, &telling{"gw-1", 1 << 60, 3, manySightings(n)}, 0)
		f.Add(value)
	}
	f.Add([]byte{sightingFormat, 200})
	f.Add(slices.Repeat([]byte{sightingFormat}, 64))
	f.Fuzz(func(t *testing.T, value []byte) {
		said, err := readTelling(value)
		if err != nil {
			if !reflect.DeepEqual(said.list, []discovery.Sighting(nil)) {
				t.Errorf("%v, and yet %d SVMs", err, len(said.list))
			}
			return
		}
		if len(said.list) > len(value)/18 {
			t.Fatalf("%d SVMs of %d bytes", len(said.list), len(value))
		}
		again, next := appendTelling(nil, &said, 0)
		said.list = said.list[:next] // a value may be filled further than we do
		if got, err := readTelling(again); err != nil || !reflect.DeepEqual(got, said) {
			t.Errorf("%+v is written and read as %+v, %v", said, got, err)
		}
	})
}

// startReal starts a gateway on a real network, which is stopped when the test ends.
func startReal(t testing.TB, cfg Config) *Replica {
	t.Helper()
	cfg.Clock = cluster.NewClock(time.Now)
	cfg.Table = newTable(t, store.Config{Node: cfg.Name, Clock: cfg.Clock.Now}).Table
	cfg.Log, cfg.Addr, cfg.Bootstrap = slog.New(slog.DiscardHandler), "127.0.0.1:0", true
	r, err := Start(cfg)
	check(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = r.Stop(ctx)
	})
	return r
}

// Two gateways on a real network hear each other, and know that they are two.
func TestSightingsBetweenGateways(t *testing.T) {
	start := func(name string, seeds ...string) (*Replica, *ears) {
		t.Helper()
		heard := new(ears)
		return startReal(t, Config{Name: name, Seeds: seeds, Hear: heard.hear}), heard
	}
	a, heardByA := start("a")
	if a.Gateways() != 1 {
		t.Errorf("%d gateways, want this one alone", a.Gateways())
	}
	b, heardByB := start("b", a.Addr())
	list := manySightings(200)
	want := map[store.SVMID]discovery.Sighting{}
	for _, s := range list {
		want[s.SVM] = s
	}
	deadline := time.Now().Add(20 * time.Second)
	for a.Gateways() != 2 || b.Gateways() != 2 || !reflect.DeepEqual(heardByA.of("b"), want) || !reflect.DeepEqual(heardByB.of("a"), want) {
		if time.Now().After(deadline) {
			t.Fatalf("%d and %d gateways; heard of %d and %d SVMs, want %d", a.Gateways(), b.Gateways(), len(heardByA.of("b")), len(heardByB.of("a")), len(want))
		}
		a.Tell(1, list)
		b.Tell(2, list)
		time.Sleep(20 * time.Millisecond)
	}
	if s := a.Sightings(); s.Told == 0 || s.Heard < uint64(len(want)) || s.Unreadable != 0 {
		t.Errorf("counted %+v", s)
	}
	if names := strings.Join(b.Live(), " "); names != "a b" {
		t.Errorf("there are %q", names)
	}
}
