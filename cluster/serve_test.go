package cluster

import (
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// A donor rests as long as it works, also after the bucket at which it breaks off.
func TestDonorRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const work = time.Millisecond
		donor := repair{table: crowd{scans: work}, serving: make(chan struct{}, 1), life: t.Context()}
		body := appendPosition(nil, position{bucket: 0})
		for b := range 12 {
			body = appendWanted(body, b, new(prints))
		}
		began := time.Now()
		answer, err := donor.servePull("x", body)
		took := time.Since(began)
		d, _ := readDelivery(answer)
		if err != nil || !d.more {
			t.Fatalf("%v, %d records", err, len(d.records))
		}
		worked := time.Duration(d.next.bucket+1) * work
		if took != 2*worked {
			t.Errorf("%v of work took %v, want twice that", worked, took)
		}
	})
}

// A slow table takes its time with each record: work says how it passes.
type slow struct {
	crowd
	work   func(time.Duration)
	done   time.Time     // with the last record
	worked time.Duration // since whoever scans rested
	most   time.Duration
	all    time.Duration
}

const slowRecord = 10 * time.Microsecond

func (s *slow) Scan(bucket int, fn func(Record) bool) {
	s.crowd.Scan(bucket, func(r Record) bool {
		if time.Since(s.done) >= restAfter {
			s.worked = 0
		}
		s.work(slowRecord)
		s.done = time.Now()
		s.worked += slowRecord
		s.all += slowRecord
		s.most = max(s.most, s.worked)
		return fn(r)
	})
}

func askFor(buckets int) []byte {
	body := appendPosition(nil, position{bucket: 0})
	for b := range buckets {
		body = appendWanted(body, b, new(prints))
	}
	return body
}

// It rests in the middle of a bucket, too: it never works for long at a time.
func TestDonorWorksInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := &slow{work: time.Sleep}
		donor := repair{table: table, serving: make(chan struct{}, 1), life: t.Context()}
		began := time.Now()
		if _, err := donor.servePull("x", askFor(2)); err != nil {
			t.Fatal(err)
		}
		if most := restAfter + turnEvery*slowRecord; table.most > most || table.all < 4*most {
			t.Errorf("it worked for %v at a time, want %v at most", table.most, most)
		}
		if took := time.Since(began); took < 2*table.all-restAfter {
			t.Errorf("%v of work took %v, want twice that", table.all, took)
		}
	})
}

// While it works it lets others have a turn, several times between two rests.
func TestDonorGivesTurns(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	// Outside the bubble, in which no time passes while somebody reads a pipe.
	turns, n := &turnstile{in: in, out: out, passed: make(chan struct{})}, 0
	turns.work.Go(func() {
		var b [1]byte
		for {
			if _, err := out.Read(b[:]); err != nil {
				return
			}
			n++
			turns.passed <- struct{}{}
		}
	})
	table := &slow{work: time.Sleep}
	synctest.Test(t, func(t *testing.T) {
		donor := repair{table: table, serving: make(chan struct{}, 1), life: t.Context(), turns: turns}
		if _, err := donor.servePull("x", askFor(2)); err != nil {
			t.Error(err)
		}
	})
	turns.close()
	// At every sixteenth record more than turnAfter has passed; at every seventh of
	// these it is time for a rest instead.
	const between = turnEvery * slowRecord
	if looks := int(table.all / between); n < looks*5/7 || looks < 20 {
		t.Errorf("others had %d turns in %v of work, want one for each %v", n, table.all, between)
	}
}

// It answers with what it has when others have had long turns: whoever asked would
// give up, and ask for all of it again.
func TestDonorAnswersInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const empty = 1 // buckets, or there would soon be enough to send
		donor := repair{table: crowd{without: empty, scans: time.Second}, serving: make(chan struct{}, 1), life: t.Context()}
		began := time.Now()
		answer, err := donor.servePull("x", askFor(12))
		took := time.Since(began)
		d, _ := readDelivery(answer)
		if err != nil || !d.more || d.next.bucket == 0 {
			t.Errorf("%v, more %t, from bucket %d on; want that there is more, and from where on", err, d.more, d.next.bucket)
		}
		if took > pullTimeout/2 {
			t.Errorf("it took %v", took)
		}
	})
}

// A still table has the same records in each bucket, and makes none.
type still struct {
	Table
	records []Record
}

func (s *still) Scan(_ int, fn func(Record) bool) {
	for _, r := range s.records {
		if !fn(r) {
			return
		}
	}
}

// A donor leaves next to nothing behind to be collected: what is collected keeps others
// waiting, on its only processor.
func TestDonorLeavesNoGarbage(t *testing.T) {
	skipIfRace(t)
	table := &still{}
	for id := range 200 {
		table.records = append(table.records, Record{Key: mapKey(id), Value: make([]byte, 65)})
	}
	donor := repair{table: table, serving: make(chan struct{}, 1), life: t.Context()}
	sent := 0
	var a asks
	a.init("donor", func(_ string, msg []byte) error { sent += len(msg); return nil })
	a.answers[askPull] = donor.servePull
	question := waiting{message: message{kind: askMessage, sender: "x", question: askPull, body: askFor(20)}}
	a.serve(question)
	if sent < maxChunk/2 {
		t.Fatalf("%d bytes are sent", sent)
	}
	var before, after runtime.MemStats
	sent = 0
	runtime.ReadMemStats(&before)
	for range 50 {
		a.serve(question)
	}
	runtime.ReadMemStats(&after)
	if left := int(after.TotalAlloc - before.TotalAlloc); left > sent/4 {
		t.Errorf("to send %d bytes took %d bytes of memory", sent, left)
	} else {
		t.Logf("to send %d bytes took %d bytes of memory", sent, left)
	}
}
