package cluster

import (
	"bytes"
	"cmp"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func moment(t *rapid.T, name string) time.Time {
	if ms := rapid.Int64Range(0, maxMillis).Draw(t, name); ms > 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

func TestSummaryIsReadAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := summary{
			name: rapid.StringMatching(`[a-z]{1,128}`).Draw(t, "name"), ready: rapid.Bool().Draw(t, "ready"),
			refusal: rapid.Bool().Draw(t, "refusal"), partial: rapid.Bool().Draw(t, "partial"), started: moment(t, "started"), wall: moment(t, "wall"),
			keep:  time.Duration(rapid.Int64Range(1, 1e9).Draw(t, "keep")) * time.Millisecond,
			floor: moment(t, "floor"), exchanged: moment(t, "exchanged"),
		}
		if !s.refusal {
			s.full = rapid.Uint64().Draw(t, "full")
			for g := range eachBit(s.full) {
				s.digest[g*64+rapid.IntRange(0, 63).Draw(t, "bucket")] = rapid.Uint64().Draw(t, "fingerprint")
			}
			s.sums = s.digest.sums()
		}
		got, err := readSummary(s.append(nil))
		if err != nil || *got != s {
			t.Fatalf("got %+v, %v; want %+v", got, err, s)
		}
	})
}

// TestSummaryFits pins what a push/pull carries, and what two equal tables exchange.
func TestSummaryFits(t *testing.T) {
	s := summary{name: string(bytes.Repeat([]byte{'x'}, maxName)), keep: time.Hour}
	if n := len(s.append(nil)); n > 720 {
		t.Errorf("a summary without buckets has %d bytes", n)
	}
	s.full = 1<<groups - 1
	if n := len(s.append(nil)); n > 64<<10 {
		t.Errorf("a whole summary has %d bytes, want 64 KiB at most", n)
	}
}

func TestDifferingBuckets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ours Digest
		theirs, want := summary{}, set{}
		all := true
		theirs.full = rapid.Uint64().Draw(t, "full")
		for _, b := range rapid.SliceOfN(rapid.IntRange(0, Buckets-1), 0, 20).Draw(t, "differing") {
			ours[b]++
			if theirs.full>>(b/64)&1 != 0 {
				want.add(b)
			} else {
				all = false
			}
		}
		theirs.sums = theirs.digest.sums()
		got, known := theirs.differing(&ours)
		if got != want || known != all {
			t.Fatalf("got %d buckets, all known: %t; want %d, %t", got.len(), known, want.len(), all)
		}
		n := 0
		for b := range got.each() {
			if n++; !want.has(b) {
				t.Fatalf("%d does not differ", b)
			}
		}
		if n != want.len() {
			t.Fatalf("%d of %d buckets", n, want.len())
		}
	})
}

func FuzzSummary(f *testing.F) {
	s := summary{name: "gw", keep: time.Hour, wall: time.UnixMilli(9e11), full: 5}
	f.Add(s.append(nil))
	s.refusal = true
	f.Add(s.append(nil))
	f.Fuzz(func(t *testing.T, buf []byte) {
		s, err := readSummary(buf)
		if err != nil {
			return
		}
		if buf[1]&^(readyFlag|refusalFlag|partialFlag) == 0 && buf[0] == newestFormat && !bytes.Equal(s.append(nil), buf) {
			t.Errorf("%x is read as %+v, which is written differently", buf, s)
		}
	})
}

func FuzzPull(f *testing.F) {
	m := NewMap("", NewClock(time.Now))
	m.Set(mapKey(1), []byte("one"))
	body := appendPosition(nil, position{bucket: 3, sub: 5, key: mapKey(2)})
	for b := 3; b < 6; b++ {
		body = appendWanted(body, b, printsOf(m, b))
	}
	f.Add(body)
	r := repair{table: m, serving: make(chan struct{}, 1), life: f.Context()}
	f.Fuzz(func(t *testing.T, body []byte) {
		from, all, err := readPull(body)
		if err != nil {
			return
		}
		again := appendPosition(nil, from)
		for i := range all {
			again = appendWanted(again, all[i].bucket, cmp.Or(all[i].prints, new(prints)))
		}
		if back, wants, err := readPull(again); err != nil || back != from || len(wants) != len(all) {
			t.Errorf("%x is read as %v, %d buckets; written and read again as %v, %d, %v", body, from, len(all), back, len(wants), err)
		}
		answer, err := r.servePull("x", body)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readDelivery(answer); err != nil {
			t.Errorf("the answer %x is %v", answer, err)
		}
	})
}

func FuzzDelivery(f *testing.F) {
	buf := make([]byte, deliveryHead)
	putDeliveryHead(buf, true, position{bucket: 7, sub: 9, key: mapKey(3)})
	f.Add(appendRecords(buf, recordsOf(0, 3)...))
	f.Fuzz(func(t *testing.T, buf []byte) {
		d, err := readDelivery(buf)
		if err != nil {
			return
		}
		again := make([]byte, deliveryHead)
		putDeliveryHead(again, d.more, d.next)
		if again = appendRecords(again, d.records...); !bytes.Equal(again, buf) {
			t.Errorf("%x is written again as %x", buf, again)
		}
	})
}

func BenchmarkSummary(b *testing.B) {
	m := NewMap("", NewClock(time.Now))
	fill(0, 100_000)(m)
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			s := summary{name: "gw", keep: time.Hour, full: 1<<groups - 1}
			m.Digest(&s.digest)
			s.sums = s.digest.sums()
			s.append(nil)
		}
	})
	b.Run("root", func(b *testing.B) {
		for b.Loop() {
			rootOf(m)
		}
	})
}
