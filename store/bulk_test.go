package store

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/cespare/xxhash/v2"
	"pgregory.net/rapid"
)

// A bulk has what a map would have, whatever is put and dropped, and little besides.
func TestBulkIsAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bulk
		model := map[Key]Record{}
		kinds := []Kind{KindObservation, KindEvent, KindProtection}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := Key{rapid.SampledFrom(kinds).Draw(t, "kind"), [16]byte{1: byte(rapid.IntRange(1, 30).Draw(t, "id"))}}
			hash := xxhash.Sum64(key.ID[:])
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				b.drop(hash, &key)
				delete(model, key)
				if anyBool.Draw(t, "tidy") {
					b.tidy()
				}
			default:
				r := Record{Key: key, Version: anyVersion.Draw(t, "version"), Value: make([]byte, rapid.IntRange(0, 300).Draw(t, "size"))}
				for i := range r.Value {
					r.Value[i] = byte(i + len(model))
				}
				b.set(&r)
				model[key] = r
			}
			b.mustBe(t, model)
		}
		for key := range model {
			hash := xxhash.Sum64(key.ID[:])
			b.drop(hash, &key)
			if anyBool.Draw(t, "tidy") {
				b.tidy()
			}
		}
		b.tidy()
		if len(b.data)+len(b.index) != 0 {
			t.Fatalf("an empty bulk has %d bytes, an index of %d", len(b.data), len(b.index))
		}
	})
}

func (b *bulk) set(r *Record) {
	hash := xxhash.Sum64(r.Key.ID[:])
	slot, ok := b.find(hash, &r.Key)
	b.put(hash, r, slot, ok)
}

func (b *bulk) mustBe(t failer, model map[Key]Record) {
	t.Helper()
	live := 0
	b.each(func(r Record) bool {
		want, ok := model[r.Key]
		if !ok || want.Version != r.Version || !bytes.Equal(want.Value, r.Value) {
			t.Fatalf("there is %v, want %v", r, want)
		}
		live += bulkHead + len(r.Value)
		return true
	})
	keys := b.appendKeys(nil)
	if len(keys) != len(model) || b.live != len(model) || len(b.data)-b.dead != live {
		t.Fatalf("%d keys, %d live, %d bytes; want %d, %d bytes", len(keys), b.live, len(b.data)-b.dead, len(model), live)
	}
	for key, want := range model {
		hash := xxhash.Sum64(key.ID[:])
		r, ok := b.get(hash, &key)
		if !ok || want.Version != r.Version || !bytes.Equal(want.Value, r.Value) {
			t.Fatalf("get(%v) = %v, %v", key, r, ok)
		}
		if key.Kind == KindEvent {
			if r, ok := b.event(hash, want.Version.Clock); !ok || r.Key != key {
				t.Fatalf("event = %v, %v", r, ok)
			}
		}
	}
	if _, ok := b.get(7, &Key{KindEvent, [16]byte{99}}); ok {
		t.Fatal("there is what never was")
	}
}

// What was read stays as it was read when it is replaced in its place.
func TestWhatWasReadOfABulkStays(t *testing.T) {
	x := open(t, Config{})
	put := func(state uint8) {
		x.must(t, func(tx *Tx) error {
			_, err := tx.PutObservation(Observation{ID: [16]byte{1}, State: state})
			return err
		})
	}
	put(1)
	key := Key{KindObservation, [16]byte{1}}
	read := append(x.recordsOf(map[Key]struct{}{key: {}}), x.all()...)
	x.ScanBucket(bucketOf(xxhash.Sum64(key.ID[:])), func(r Record) bool {
		put(2)
		read = append(read, r)
		return true
	})
	if len(read) != 3 {
		t.Fatalf("read %v", read)
	}
	for i := range read {
		if o, err := decodeObservation(key.ID, read[i].Value); o.State != 1 || err != nil {
			t.Errorf("reader %d has state %d by now, %v", i, o.State, err)
		}
	}
	if o, _ := x.Observation(key.ID); o.State != 2 {
		t.Errorf("it is %+v", o)
	}
}

// What replaces and drops for long takes no more memory for it.
func TestBulkDoesNotGrowByChanges(t *testing.T) {
	var b bulk
	for i := range 20_000 {
		key := Key{KindObservation, [16]byte{byte(i % 100), 1}}
		b.set(&Record{Key: key, Version: Version{Clock: 1}, Value: make([]byte, 10+i%7)})
	}
	if n := cap(b.data); n > 100*(bulkHead+16)*3/2 {
		t.Errorf("100 records take %d bytes", n)
	}
}

// A bound is an error that says which; what replaces, and is no longer, is let in.
func TestBoundsOfBulkKinds(t *testing.T) {
	clock := newStopped()
	for what, fill := range map[string]func(*bulkStats){
		"events":       func(s *bulkStats) { s.events = MaxEvents },
		"observations": func(s *bulkStats) { s.observations = MaxHistory },
		"protections":  func(s *bulkStats) { s.protections = MaxHistory },
		"bytes":        func(s *bulkStats) { s.bytes = maxBulk },
	} {
		x := open(t, Config{Clock: clock.time})
		x.vm(t, BIOSID{1}, x.tenant(t, "acme"), "vm")
		put := func(id byte, state uint8) error {
			return x.Update(func(tx *Tx) error {
				_, err := tx.PutObservation(Observation{ID: [16]byte{id}, State: state})
				return err
			})
		}
		if err := put(1, 0); err != nil {
			t.Fatal(err)
		}
		fill(&x.bulkStats)
		event := x.Update(func(tx *Tx) error { _, err := tx.Emit(happened(1)); return err })
		today := DayOf(clock.time())
		days := x.Update(func(tx *Tx) error { _, err := tx.Protect(BIOSID{1}, today, today); return err })
		full := []bool{errors.Is(event, ErrFull), errors.Is(put(2, 0), ErrFull), errors.Is(days, ErrFull), errors.Is(put(1, 1), ErrFull)}
		want := map[string][]bool{"events": {true, false, false, false}, "bytes": {true, true, true, false}}[what]
		if want == nil {
			want = []bool{false, true, true, false}
		}
		if !slices.Equal(full, want) {
			t.Errorf("%s: an event, an observation, days and a replacement are refused: %v, want %v", what, full, want)
		}
	}
}
