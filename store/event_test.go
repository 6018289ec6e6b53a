package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func (x tester) events(after Version) (list []Event) {
	x.Events(after, func(e *Event) bool {
		list = append(list, *e)
		return true
	})
	return list
}

func (x tester) emit(t testing.TB, list ...Event) {
	t.Helper()
	for _, e := range list {
		x.must(t, func(tx *Tx) error { _, err := tx.Emit(e); return err })
	}
}

func happened(n int) Event {
	return Event{ID: OccasionID("svm.down", SVMID{7}, uint64(n)), Type: "svm.down", SVM: SVMID{7}, Message: fmt.Sprint("event ", n)}
}

func messages(list []Event) (out []string) {
	for i := range list {
		out = append(out, list[i].Message)
	}
	return out
}

// An event is written once, and comes back as it was written, with the moment and the
// gateway of its version.
func TestEventIsWrittenOnce(t *testing.T) {
	clock := newStopped()
	x := open(t, Config{Clock: clock.time, Node: "a"})
	e := Event{
		ID: NewEventID(), Type: "admin.tenant_update", Tenant: TenantID{1}, VM: BIOSID{2}, Message: "tenant acme was changed",
		Actor: "admin", From: "10.0.0.1", Before: json.RawMessage(`{"name":"a"}`), After: json.RawMessage(`{"name":"b"}`),
	}
	var told []Event
	x.Subscribe(func(n *News) {
		for i := range n.Records {
			if e, ok := EventOf(&n.Records[i]); ok && x.Wrote(e.Version) {
				told = append(told, e)
			}
		}
	})
	x.emit(t, e)
	clock.advance(time.Hour)
	again := e
	again.Message = "something else"
	x.emit(t, again)
	got, ok := x.Event(e.ID)
	e.Version, e.Time = got.Version, Time{clock.time().Add(-time.Hour).UTC()}
	if diff := cmp.Diff(e, got); diff != "" || !ok || !x.Wrote(got.Version) {
		t.Errorf("Event (-want +got):\n%s", diff)
	}
	for _, list := range [][]Event{x.events(Version{}), told} {
		if diff := cmp.Diff([]Event{e}, list); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if got := x.events(e.Version); len(got) != 0 || x.NumEvents() != 1 || x.Stats().Events != 1 {
		t.Errorf("after the last event come %v; there are %d", got, x.NumEvents())
	}
	if x.Wrote(Version{Clock: 1, Node: nodeHash("b")}) {
		t.Error("what another gateway wrote counts as ours")
	}
}

func TestEventsThatAreNone(t *testing.T) {
	x := open(t, Config{})
	good := happened(1)
	for field, harm := range map[string]func(*Event){
		"id":      func(e *Event) { e.ID = EventID{} },
		"type":    func(e *Event) { e.Type = "SVM down" },
		"message": func(e *Event) { e.Message = strings.Repeat("a", MaxMessage+1) },
		"actor":   func(e *Event) { e.Actor = "a\nb" },
		"before":  func(e *Event) { e.Before = []byte("{") },
		"after":   func(e *Event) { e.After = []byte(`"` + strings.Repeat("a", MaxEvidence) + `"`) },
	} {
		e := good
		harm(&e)
		err := x.Update(func(tx *Tx) error { _, err := tx.Emit(e); return err })
		if wrong := (*FieldError)(nil); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if x.NumEvents() != 0 {
		t.Error("they are in the table")
	}
}

// Whoever reads from a cursor gets what came after it, oldest first, across pages, spans
// and clocks that two gateways have used.
func TestEventsAreReadInTheOrderOfTheirVersions(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	var records []Record
	for i := range 3000 {
		e := happened(i)
		clock := worldEpoch + uint64(r.IntN(1000))<<(spanBits-6)
		records = append(records, Record{Key: Key{KindEvent, e.ID}, Version: Version{Clock: clock, Node: uint64(i)}, Value: e.encode()})
	}
	x := open(t, Config{})
	for i, rec := range records {
		x.apply(t, rec)
		if i%500 == 0 { // what is read is put in order
			x.events(Version{})
		}
	}
	got := x.events(Version{})
	if len(got) != len(records) {
		t.Fatalf("%d events, want %d", len(got), len(records))
	}
	for i := 1; i < len(got); i++ {
		if got[i-1].Version.Compare(got[i].Version) >= 0 {
			t.Fatalf("event %d comes after %d", i-1, i)
		}
	}
	for _, i := range []int{0, 1, 127, 128, 129, 1500, 2998, 2999} {
		if diff := cmp.Diff(messages(got[i+1:]), messages(x.events(got[i].Version))); diff != "" {
			t.Errorf("after event %d (-want +got):\n%s", i, diff)
		}
	}
	n := 0
	x.Events(Version{}, func(*Event) bool { n++; return n < 5 })
	if n != 5 {
		t.Errorf("%d were read, want 5", n)
	}
}

// Of two events of one id the earlier holds, and is read once, in its place.
func TestEarlierEventHolds(t *testing.T) {
	clock := newStopped()
	a, b := open(t, Config{Node: "a", Clock: clock.time}), open(t, Config{Node: "b", Clock: clock.time})
	a.emit(t, happened(1), happened(2))
	clock.advance(time.Second)
	b.emit(t, happened(2), happened(1), happened(3))
	first := a.events(Version{})
	a.hear(t, b)
	b.hear(t, a)
	a.mustEqual(t, b)
	if diff := cmp.Diff(first, a.events(Version{})[:2]); diff != "" || a.NumEvents() != 3 {
		t.Errorf("%d events (-want +got):\n%s", a.NumEvents(), diff)
	}
}

// Retention drops what is old, and what is too many, on every gateway: also what comes
// later, from one that was cut off.
func TestOldEventsAreForgotten(t *testing.T) {
	dir := t.TempDir()
	clock := newStopped()
	x := open(t, Config{Journal: openDir(t, dir), Clock: clock.time})
	cutOff := open(t, Config{Clock: clock.time, Node: "cut off"})
	start := clock.time()
	for i := range 10 {
		x.emit(t, happened(i))
		cutOff.emit(t, happened(100+i))
		clock.advance(time.Hour)
	}
	forget := func(x tester, before time.Duration, most, want int) {
		t.Helper()
		if n, err := x.ForgetEvents(Time{start.Add(before)}, most); n != want || err != nil {
			t.Errorf("ForgetEvents = %d, %v, want %d", n, err, want)
		}
	}
	var told int
	x.Subscribe(func(n *News) { told += len(n.Records) })
	forget(x, 0, 10, 0)
	if told != 0 {
		t.Error("nothing to forget is written down")
	}
	forget(x, 3*time.Hour, 100, 3)
	forget(x, 2*time.Hour, 100, 0)
	forget(x, 0, 5, 2)
	forget(x, -time.Hour, 5, 0)
	want := messages(x.events(Version{}))
	if len(want) != 5 || want[0] != "event 5" || x.NumEvents() != 5 {
		t.Errorf("there are %q", want)
	}
	if _, ok := x.Event(happened(4).ID); ok {
		t.Error("an event is there that was forgotten")
	}
	peer := open(t, Config{Clock: clock.time})
	peer.hear(t, cutOff)
	peer.hear(t, x)
	x.hear(t, cutOff)
	x.mustEqual(t, peer)
	if n := x.NumEvents(); n != 10 { // those of the other that are as new, which come after
		t.Errorf("%d events: %q", n, messages(x.events(Version{})))
	}
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	forget(x, 365*24*time.Hour, 100, 10) // now, at most
	x.emit(t, happened(200))
	x.hear(t, cutOff)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, Config{Journal: openDir(t, dir), Clock: clock.time})
	x.hear(t, cutOff)
	if got := messages(x.events(Version{})); len(got) != 1 || got[0] != "event 200" {
		t.Errorf("after a restart there are %q", got)
	}
	forget(x, 0, 0, 1)
}

// Of two floors the greater holds, whichever was written later.
func TestGreaterFloorHolds(t *testing.T) {
	for _, kind := range []Kind{KindEvent, KindProtection} {
		low := Record{Key: Key{Kind: kind}, Version: Version{Clock: worldEpoch + 9, Node: 1}, Value: encodeFloor(7)}
		high := Record{Key: Key{Kind: kind}, Version: Version{Clock: worldEpoch, Node: 1}, Value: encodeFloor(8)}
		for _, order := range [][]Record{{low, high}, {high, low}} {
			x := open(t, Config{})
			x.apply(t, order[0])
			x.apply(t, order[1])
			if got := x.record(low.Key); got.Version != high.Version || !x.Holds(low) {
				t.Errorf("%v: it is %v, want %v", kind, got, high)
			}
		}
	}
}

// A journal may tell of a floor long before it tells of what is below.
func TestFloorHoldsAtTheStart(t *testing.T) {
	j := &memoryJournal{}
	event := func(i int, clock uint64) {
		e := happened(i)
		j.records = append(j.records, Record{Key: Key{KindEvent, e.ID}, Version: Version{Clock: clock, Node: 1}, Value: e.encode()})
	}
	j.records = append(j.records, Record{Key: Key{Kind: KindEvent}, Version: Version{Clock: worldEpoch + 9, Node: 1}, Value: encodeFloor(worldEpoch + 5)})
	for i := range 1 << 15 {
		event(i, worldEpoch+5+uint64(i))
	}
	event(1<<15, worldEpoch+4)
	x := open(t, Config{Journal: j})
	if n := x.NumEvents(); n != 1<<15 {
		t.Errorf("%d events, want %d", n, 1<<15)
	}
}

// A floor between two events of one id is the case in which the order matters: tables are
// the same when they have been compared.
func TestFloorBetweenRivalsHeals(t *testing.T) {
	e := happened(1)
	early := Record{Key: Key{KindEvent, e.ID}, Version: Version{Clock: worldEpoch + 1, Node: 1}, Value: e.encode()}
	late, floor := early, Record{Key: Key{Kind: KindEvent}, Version: Version{Clock: worldEpoch + 9, Node: 1}, Value: encodeFloor(worldEpoch + 2)}
	late.Version.Clock = worldEpoch + 3
	a, b := open(t, Config{}), open(t, Config{})
	a.apply(t, early)
	a.apply(t, late)
	a.apply(t, floor)
	b.apply(t, floor)
	b.apply(t, early)
	b.apply(t, late)
	if a.NumEvents() != 0 || b.NumEvents() != 1 {
		t.Errorf("%d and %d events", a.NumEvents(), b.NumEvents())
	}
	a.hear(t, b)
	b.hear(t, a)
	a.mustEqual(t, b)
}

// What is below a floor goes in pieces; nobody is told of it meanwhile, and it is gone in
// the end whoever goes on: writers, time, or the next start.
func TestManyEventsAreForgottenInPieces(t *testing.T) {
	const n = 3*sinkRecords + 7
	x := open(t, Config{})
	records := make([]Record, n)
	for i := range records {
		e := happened(i)
		records[i] = Record{Key: Key{KindEvent, e.ID}, Version: Version{Clock: worldEpoch + uint64(i), Node: 1}, Value: e.encode()}
	}
	x.apply(t, records...)
	x.apply(t, Record{Key: Key{Kind: KindEvent}, Version: Version{Clock: worldEpoch + 2*n, Node: 1}, Value: encodeFloor(worldEpoch + n - 1)})
	if got := x.NumEvents(); got != n-sinkRecords {
		t.Errorf("%d are left of %d, want all but a piece", got, n)
	}
	if got := x.events(Version{}); len(got) != 1 || got[0].Version.Clock != worldEpoch+n-1 {
		t.Errorf("%d are read", len(got))
	}
	if _, ok := x.Event(happened(n - 2).ID); ok {
		t.Error("one that is below the floor is there")
	}
	x.Sweep(time.Now())
	x.emit(t, happened(n))
	if got := x.NumEvents(); got != n+1-3*sinkRecords {
		t.Errorf("%d are left", got)
	}
	x.Sweep(time.Now())
	x.Sweep(time.Now())
	if got := x.NumEvents(); got != 2 || x.floors.sinking.Load() {
		t.Errorf("%d are left, want 2", got)
	}
	x.mustCount(t, "in the end")
}

// What was forgotten may happen again, at once, and is still there after a restart.
func TestAForgottenEventHappensAgain(t *testing.T) {
	dir := t.TempDir()
	clock := newStopped()
	x := open(t, Config{Clock: clock.time, Journal: openDir(t, dir)})
	for i := range 2 * sinkRecords {
		x.emit(t, happened(i))
	}
	last := happened(2*sinkRecords - 1)
	clock.advance(time.Hour)
	if raised, err := x.raiseEvents(clockAt(clock.time()), 0); !raised || err != nil {
		t.Fatal(raised, err)
	}
	last.Message = "again"
	x.emit(t, last)
	x.sinkAll()
	for _, when := range []string{"at once", "after a restart"} {
		if got := messages(x.events(Version{})); !slices.Equal(got, []string{"again"}) || x.NumEvents() != 1 {
			t.Errorf("%s: %d events: %q", when, x.NumEvents(), got)
		}
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = open(t, Config{Clock: clock.time, Journal: openDir(t, dir)})
	}
}

// TestFloorsOfOneGroup: of floors that are written together the greatest stands.
func TestFloorsOfOneGroup(t *testing.T) {
	x := open(t, Config{})
	for range 3 {
		x.must(t, func(tx *Tx) error { _, err := tx.Emit(Event{ID: NewEventID(), Type: "a"}); return err })
	}
	high := worldEpoch + uint64(1)
	x.must(t, func(tx *Tx) error {
		tx.write(Key{Kind: KindEvent}, encodeFloor(high))
		if got := tx.floor(KindEvent); got != high {
			t.Errorf("the floor is %d, want %d as another change has just written it", got, high)
		}
		return nil
	})
}
