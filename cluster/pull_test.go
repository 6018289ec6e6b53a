package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestPeerThatGoesAwayDuringAPull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a", Seeds: []string{"b"}}, nil)
		w.add(Config{Name: "b"}, fill(0, 50_000))
		for w.count(askPull) < 20 {
			time.Sleep(time.Millisecond)
		}
		w.remove("b")
		time.Sleep(time.Minute)
		if ready, why := a.isReady(); ready || a.Len() == 0 || a.Len() == 50_000 {
			t.Errorf("with %d of 50000 records: ready %t (%s), want some and not ready", a.Len(), ready, why)
		}
		c := w.add(Config{Name: "c"}, fill(0, 50_000))
		settle(t, 10*time.Second, a, c)
		if a.counts.pulledRecords.Load() > 55_000 {
			t.Errorf("%d records were pulled, though a part was there already", a.counts.pulledRecords.Load())
		}
		time.Sleep(time.Second)
		if ready, why := a.isReady(); !ready {
			t.Errorf("equal, and not ready: %s", why)
		}
	})
}

// TestImportElsewhere writes faster than news spreads, for a while.
func TestImportElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		nodes := []*dweller{w.add(Config{Name: "a"}, nil), w.add(Config{Name: "b"}, nil), w.add(Config{Name: "c"}, nil)}
		time.Sleep(10 * time.Second)
		const records, each = 100_000, 1000
		for id := 0; id < records; id += each {
			write(id, id+each)(nodes[0].Map)
			time.Sleep(110 * time.Millisecond)
		}
		took := settle(t, 20*time.Second, nodes...)
		for _, n := range nodes[1:] {
			pulled := n.counts.pulledRecords.Load()
			t.Logf("equal %v after the end; %s pulled %.1f times as many records as there are", took, n.self, float64(pulled)/records)
			if pulled > 5*records {
				t.Errorf("%s pulled %d records to get %d", n.self, pulled, records)
			}
		}
	})
}

// A picky table refuses some records.
type picky struct {
	*Map
	refuses atomic.Bool
	which   Key
}

func (p *picky) Merge(peer string, records []Record) error {
	var taken []Record
	for _, r := range records {
		if !p.refuses.Load() || r.Key != p.which {
			taken = append(taken, r)
		}
	}
	return p.Map.Merge(peer, taken)
}

func TestRefusedRecordIsNotPulledForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		table := &picky{Map: NewMap("a", NewClock(time.Now)), which: mapKey(7)}
		table.refuses.Store(true)
		a := w.add(Config{Name: "a", Table: table}, nil)
		a.Map = table.Map
		b := w.add(Config{Name: "b"}, fill(0, 1000))
		time.Sleep(10 * time.Second)
		if a.Len() != 999 {
			t.Fatalf("%d records, want all but one of 1000", a.Len())
		}
		time.Sleep(2 * time.Minute)
		pulls := w.count(askPull)
		time.Sleep(time.Hour)
		if n := w.count(askPull) - pulls; n < 50 || n > 65 {
			t.Errorf("a bucket that stays different was pulled %d times in an hour, want about once a minute", n)
		}
		if n := strings.Count(w.log.String(), "stay different"); n != 1 || a.counts.vain.Load() != 1 {
			t.Errorf("%d log lines, %d counted, want one of each:\n%s", n, a.counts.vain.Load(), w.log.String())
		}

		// Others of that bucket do not wait that long.
		for id := range 1_000_000 {
			if bucketOf(mapKey(1000+id)) == bucketOf(table.which) {
				fill(1000+id, 1001+id)(b.Map)
				break
			}
		}
		for began := time.Now(); a.Len() != 1000; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("another record of that bucket waits, too")
			}
		}
		time.Sleep(10 * time.Minute)
		table.refuses.Store(false)
		settle(t, 80*time.Second, a, b)
	})
}

func TestTableThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		table := &full{Map: NewMap("a", NewClock(time.Now))}
		table.fails.Store(true)
		a := w.add(Config{Name: "a", Table: table, Seeds: []string{"b"}}, nil)
		a.Map = table.Map
		b := w.add(Config{Name: "b"}, fill(0, 1000))
		time.Sleep(10 * time.Second)
		pulls := w.count(askPull)
		time.Sleep(time.Minute)
		if n := w.count(askPull) - pulls; n > 10 {
			t.Errorf("%d pulls in a minute, though the table takes nothing", n)
		}
		if ready, _ := a.isReady(); ready {
			t.Error("ready without anything")
		}
		table.fails.Store(false)
		settle(t, 15*time.Second, a, b)
	})
}

type full struct {
	*Map
	fails atomic.Bool
}

func (f *full) Merge(peer string, records []Record) error {
	if f.fails.Load() {
		return errors.New("no space left on device")
	}
	return f.Map.Merge(peer, records)
}

func TestLargeRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.add(Config{Name: "a"}, nil)
		b := w.add(Config{Name: "b"}, func(m *Map) {
			for i, size := range []int{maxChunk - 100, maxChunk, 3 * maxChunk, maxValue, maxValue + 1, 10} {
				m.Set(mapKey(i), bytes.Repeat([]byte{byte(i)}, size))
			}
		})
		time.Sleep(10 * time.Second)
		for i := range 6 {
			want, _ := b.Get(mapKey(i))
			if got, _ := a.Get(mapKey(i)); !bytes.Equal(got, want) && i != 4 {
				t.Errorf("record %d of %d bytes did not arrive: got %d", i, len(want), len(got))
			}
		}
		if a.Len() != 5 || b.counts.tooLarge.Load() == 0 || strings.Count(w.log.String(), "too large") != 1 {
			t.Errorf("%d records arrived, %d counted as too large; want 5 of 6, and one log line:\n%s",
				a.Len(), b.counts.tooLarge.Load(), w.log.String())
		}
	})
}

// TestDonorHasBounds asks for more than a donor gives at once.
func TestDonorHasBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		n := w.add(Config{Name: "donor"}, fill(0, 120_000))
		question := func(from, to int, own Table) []byte {
			body := appendPosition(nil, position{bucket: from})
			for b := from; b < to; b++ {
				body = appendWanted(body, b, printsOf(own, b))
			}
			return body
		}
		none := NewMap("", n.repair.clock)

		answer, err := n.servePull("x", question(0, maxGroup, none))
		if err != nil || len(answer) > maxChunk+deliveryHead || len(answer) < maxChunk/2 {
			t.Errorf("an answer of %d bytes (%v), want a full chunk", len(answer), err)
		}
		d, err := readDelivery(answer)
		if err != nil || !d.more {
			t.Errorf("there is no more (%v)", err)
		}
		if _, err := n.servePull("x", question(0, maxGroup+1, none)); err == nil {
			t.Error("a group that is too large was served")
		}

		// Nothing differs: what is read is bounded, not what is sent.
		big := repair{table: wide{}, serving: make(chan struct{}, 1), life: t.Context()}
		answer, err = big.servePull("x", question(0, 4, wide{}))
		if d, _ := readDelivery(answer); err != nil || !d.more || len(d.records) != 0 || d.next != (position{bucket: 2}) {
			t.Errorf("got %+v, %v, want it to break off between buckets", d.next, err)
		}

		// Two at a time.
		n.serving <- struct{}{}
		n.serving <- struct{}{}
		if _, err := n.servePull("x", question(0, 1, none)); !errors.Is(err, ErrBusy) {
			t.Errorf("a third pull: %v, want busy", err)
		}
		<-n.serving
		<-n.serving
	})
}

// A wide table has many records in each bucket.
type wide struct{ Table }

func (wide) Scan(bucket int, fn func(Record) bool) {
	for id := range maxRead/2 + 1 {
		if !fn(Record{Key: mapKey(id), Value: []byte{byte(bucket)}}) {
			return
		}
	}
}

// TestPullThatDoesNotGoOn answers pulls so that they would never end.
func TestPullThatDoesNotGoOn(t *testing.T) {
	for _, next := range []position{{bucket: 3}, {bucket: 2}, {bucket: 4}, {bucket: 9}} {
		t.Run(fmt.Sprint(next.bucket), func(t *testing.T) {
			asked := 0
			r := repair{table: NewMap("a", NewClock(time.Now))}
			r.ask = func(context.Context, string, question, []byte) ([]byte, error) {
				asked++
				answer := make([]byte, deliveryHead)
				putDeliveryHead(answer, true, next)
				return answer, nil
			}
			if err := r.pull(t.Context(), "b", []int{3, 5, 8}); !errors.Is(err, errMalformed) || asked != 1 {
				t.Errorf("got %v after %d questions, want it to be found out after one", err, asked)
			}
		})
	}
}

// A crowd is a table with many records in each bucket, but for those of which the
// numbers can be divided. It takes its time.
type crowd struct {
	Table
	without int // every so manieth
	scans   time.Duration
	merge   func([]Record)
}

const crowdSize = 500

func (c crowd) Scan(bucket int, fn func(Record) bool) {
	time.Sleep(c.scans)
	for id := range crowdSize {
		if c.without > 0 && id%c.without == 0 {
			continue
		}
		if !fn(Record{Key: mapKey(bucket*crowdSize + id), Value: make([]byte, 50)}) {
			return
		}
	}
}

func (c crowd) Merge(_ string, records []Record) error {
	c.merge(records)
	return nil
}

// What differs comes, and little of what is there already.
func TestLittleComesAlong(t *testing.T) {
	const lacks = crowdSize / 10
	donor := repair{table: crowd{}, serving: make(chan struct{}, 1), life: t.Context()}
	body := appendPosition(nil, position{bucket: 1})
	for b := 1; b <= 4; b++ {
		body = appendWanted(body, b, printsOf(crowd{without: 10}, b))
	}
	answer, err := donor.servePull("x", body)
	if err != nil {
		t.Fatal(err)
	}
	d, err := readDelivery(answer)
	if n := len(d.records); err != nil || d.more || n < 4*lacks || n > 4*lacks*2 {
		t.Errorf("%d records (%v) for the %d that are missing", n, err, 4*lacks)
	}
}

// While a chunk is applied the next is on its way, and no more than that.
func TestPullAsksAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		merged, records := 0, 0
		donor := repair{table: crowd{}, serving: make(chan struct{}, 1), life: t.Context()}
		r := repair{table: crowd{without: 2, merge: func(list []Record) {
			if n := int(asked.Load()); n > merged+2 {
				t.Errorf("%d questions, and %d answers are applied", n, merged)
			}
			time.Sleep(time.Second)
			merged++
			records += len(list)
		}}}
		r.ask = func(_ context.Context, _ string, _ question, body []byte) ([]byte, error) {
			if asked.Add(1); len(body) > maxAsked+9*subs {
				t.Errorf("a question of %d bytes", len(body))
			}
			time.Sleep(time.Second / 10)
			return donor.servePull("x", body)
		}
		group := make([]int, maxGroup)
		for i := range group {
			group[i] = 2 * i
		}
		began := time.Now()
		if err := r.pull(t.Context(), "b", group); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Duration(merged)*time.Second+time.Second/10 || merged < 10 {
			t.Errorf("%d answers took %v", merged, took)
		}
		if records < maxGroup*crowdSize/2 {
			t.Errorf("%d records came, and %d were missing", records, maxGroup*crowdSize/2)
		}
	})
}
