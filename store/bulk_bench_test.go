package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"
)

// benchEvents is how many events there are by default at most; in -short mode there are
// a twentieth.
func benchEvents() int {
	if testing.Short() {
		return 50_000
	}
	return 1_000_000
}

// numberedEvent is an event as gateways write most: of a VM of a tenant.
func numberedEvent(n int) Event {
	vm := numberedBIOS(n)
	return Event{
		ID: OccasionID("agent.unprotected", vm, uint64(n)), Type: "agent.unprotected", Tenant: TenantID(numberedBIOS(n % benchTenants)), VM: vm,
		Message: fmt.Sprintf("the agent of web-%08d has not connected for 1h", n),
	}
}

// bulkRecords returns n records of a kind, of 30 days, in the order of their versions.
func bulkRecords(kind Kind, n int) []Record {
	list, room := make([]Record, n), []byte(nil)
	month := 30 * 24 * time.Hour.Milliseconds()
	for i := range list {
		r := Record{Version: Version{Clock: worldEpoch - uint64(month-int64(i)*month/int64(n))<<counterBits, Node: nodeHash("bench")}}
		id := numberedBIOS(i)
		switch kind {
		case KindEvent:
			e := numberedEvent(i)
			r.Key, r.Value = Key{kind, e.ID}, e.encode()
		case KindObservation:
			o := Observation{State: 1, Times: uint32(i % 300), Cause: hashBIOS(&id), Repeated: milliTime(r.Version.Millis())}
			r.Key, r.Value = Key{kind, id}, o.encode()
		case KindProtection:
			p := Protection{Tenant: TenantID(numberedBIOS(i % benchTenants)), VM: id, ID: VMID(id), TenantName: fmt.Sprintf("tenant-%04d", i%benchTenants), Name: fmt.Sprintf("web-%08d", i)}
			p.Days.Add(r.Version.day()-MaxDays, r.Version.day())
			r.Key, r.Value = protectionKey(p.Tenant, id), p.encode()
		}
		begin := len(room)
		if room = append(room, r.Value...); cap(room)-len(room) < 1<<10 {
			room, begin = append(make([]byte, 0, 1<<20), r.Value...), 0
		}
		r.Value = room[begin:len(room):len(room)]
		list[i] = r
	}
	return list
}

// merged returns a table with records, in batches of a thousand.
func merged(b *testing.B, list []Record) tester {
	b.Helper()
	x := open(b, Config{})
	for part := range slices.Chunk(list, 1000) {
		x.apply(b, part...)
	}
	return x
}

// BenchmarkBulkMemory reports what an event, an observation and days of protection (of
// 400 days, with names of 11 and 12 bytes) take, and what a cycle of the garbage collector
// costs beside them.
func BenchmarkBulkMemory(b *testing.B) {
	for _, kind := range []Kind{KindEvent, KindObservation, KindProtection} {
		b.Run(fmt.Sprintf("%v/n=%d", kind, benchEvents()), func(b *testing.B) {
			list := bulkRecords(kind, benchEvents())
			empty := heapBytes()
			x := merged(b, list)
			taken := heapBytes() - empty
			values := 0
			for i := range list {
				values += len(list[i].Value)
			}
			runtime.KeepAlive(list)
			runtime.GC()
			before := gcSeconds()
			for b.Loop() {
				runtime.GC()
			}
			b.ReportMetric((gcSeconds()-before)*1e3/float64(b.N), "gc-cpu-ms")
			b.ReportMetric(float64(taken)/float64(benchEvents()), "B/record")
			b.ReportMetric(float64(values)/float64(benchEvents()), "value-B/record")
			runtime.KeepAlive(x)
		})
	}
}

// BenchmarkMergeEvents merges all events in the order in which they come from a peer, by
// bucket, at random, or as they were written.
func BenchmarkMergeEvents(b *testing.B) {
	n := benchEvents()
	list := bulkRecords(KindEvent, n)
	for _, order := range []string{"written", "random"} {
		if order == "random" {
			rand.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		b.Run(fmt.Sprintf("order=%s/n=%d", order, n), func(b *testing.B) {
			for b.Loop() {
				x := merged(b, list)
				begin := time.Now()
				x.Events(Version{}, func(*Event) bool { return false })
				b.ReportMetric(float64(time.Since(begin).Microseconds())/1e3, "ms/first-read")
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkEmit writes events in changes of a hundred, beside all that there are.
func BenchmarkEmit(b *testing.B) {
	n := benchEvents()
	x := merged(b, bulkRecords(KindEvent, n))
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		x.must(b, func(tx *Tx) error {
			for range 100 {
				if _, err := tx.Emit(numberedEvent(n)); err != nil {
					return err
				}
				n++
			}
			return nil
		})
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*100), "us/event")
}

// BenchmarkEvents reads a hundred events from a cursor, which may be anywhere.
func BenchmarkEvents(b *testing.B) {
	list := bulkRecords(KindEvent, benchEvents())
	x := merged(b, list)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		n := 0
		x.Events(list[rand.IntN(len(list))].Version, func(*Event) bool { n++; return n < 100 })
	}
}

// BenchmarkForgetEvents drops half of all events, and reports the longest that a writer
// waits meanwhile.
func BenchmarkForgetEvents(b *testing.B) {
	list := bulkRecords(KindEvent, benchEvents())
	longest := time.Duration(0)
	dropped := 0
	for b.Loop() {
		b.StopTimer()
		x := merged(b, list)
		done := make(chan struct{})
		b.StartTimer()
		go func() {
			defer close(done)
			n, _ := x.ForgetEvents(Time{}, len(list)/2)
			dropped += n
		}()
		for waiting := true; waiting; {
			select {
			case <-done:
				waiting = false
			default:
				begin := time.Now()
				x.emit(b, Event{ID: NewEventID(), Type: "svm.up"})
				longest = max(longest, time.Since(begin))
			}
		}
	}
	b.ReportMetric(float64(longest.Microseconds())/1e3, "ms/longest-wait")
	b.ReportMetric(float64(dropped)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkForgetProtection drops a day of all protections.
func BenchmarkForgetProtection(b *testing.B) {
	list := bulkRecords(KindProtection, benchEvents())
	x := merged(b, list)
	day := list[0].Version.day() - MaxDays + 2
	longest := time.Duration(0)
	b.ResetTimer()
	for b.Loop() {
		day++
		x.must(b, func(tx *Tx) error {
			tx.write(Key{Kind: KindProtection}, encodeFloor(uint64(day)))
			return nil
		})
		for x.floors.sinking.Load() {
			begin := time.Now()
			x.sinkPiece()
			longest = max(longest, time.Since(begin))
		}
	}
	b.ReportMetric(float64(longest.Microseconds())/1e3, "ms/longest-piece")
}

// BenchmarkStartWithEvents loads a snapshot of a table with events.
func BenchmarkStartWithEvents(b *testing.B) {
	n := benchEvents()
	x := merged(b, bulkRecords(KindEvent, n))
	var snapshot bytes.Buffer
	if _, err := x.writeSnapshot(b.Context(), &snapshot); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		next := newTable(Config{})
		if err := next.loadSnapshot(bytes.NewReader(snapshot.Bytes()), int64(snapshot.Len())); err != nil {
			b.Fatal(err)
		}
		if next.NumEvents() != n {
			b.Fatal("some are missing")
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/start")
	b.ReportMetric(float64(snapshot.Len())/float64(n), "disk-B/event")
}
