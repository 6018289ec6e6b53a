package cluster

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var someRecords = []Record{
	{Key: Key{Kind: 3, ID: [16]byte{1, 15: 2}}, Version: Version{Clock: 7 << 16, Node: 9}, Value: []byte("value")},
	{Key: Key{Kind: 255}, Version: Version{Clock: 1<<64 - 1, Node: 1}},
	{Key: Key{Kind: 4}, Version: Version{Clock: 5}, Value: bytes.Repeat([]byte{0xff}, 300)},
}

// messages has one of each type, and what it reads as.
func messages() map[string]message {
	return map[string]message{
		"news":                   {kind: newsMessage, sender: "gw-1", records: someRecords},
		"fleeting":               {kind: fleetingMessage, sender: "gw-1", records: someRecords[:1]},
		"no news":                {kind: newsMessage, sender: "gw-1"},
		"beacon ack":             {kind: beaconAckMessage, sender: "gw-2", version: Version{Clock: 3, Node: 4}},
		"hint":                   {kind: hintMessage, sender: "шлюз", root: 1<<63 + 5},
		"ask":                    {kind: askMessage, id: 77, sender: "gw-3", question: askPull, body: []byte("cursor")},
		"ask of another release": {kind: askMessage, id: 78, sender: "gw-3", question: 200},
		"answer":                 {kind: answerMessage, id: 77, body: []byte("records")},
		"error":                  {kind: answerMessage, id: 77, failure: "busy"},
	}
}

func encode(m message) []byte {
	switch m.kind {
	case newsMessage, fleetingMessage:
		return appendNews(nil, m.kind, m.sender, m.records...)
	case beaconAckMessage:
		return appendBeaconAck(nil, m.sender, m.version)
	case hintMessage:
		return appendHint(nil, m.sender, m.root)
	case askMessage:
		return appendAsk(nil, m.id, m.sender, m.question, m.body)
	default:
		return appendAnswer(nil, m.id, m.failure, m.body)
	}
}

func TestMessagesAreReadAsTheyWereWritten(t *testing.T) {
	for name, m := range messages() {
		got, err := decode(encode(m))
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s is read as\n     %+v (%v)\nwant %+v", name, got, err, m)
		}
	}
}

func TestRandomNewsIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sender := rapid.StringN(1, -1, maxName).Draw(t, "sender")
		records := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Record {
			r := Record{Key: Key{Kind: rapid.Uint8().Draw(t, "kind")}}
			copy(r.Key.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
			r.Version = Version{Clock: rapid.Uint64().Draw(t, "clock"), Node: rapid.Uint64().Draw(t, "node")}
			if n := rapid.IntRange(0, 200).Draw(t, "length"); n > 0 {
				r.Value = bytes.Repeat([]byte{byte(n)}, n)
			}
			return r
		})).Draw(t, "records")
		buf := appendNews(nil, newsMessage, sender)
		for i := range records {
			before := len(buf)
			if buf = appendRecords(buf, records[i]); len(buf)-before != recordSize(&records[i]) {
				t.Fatalf("recordSize of %v = %d, want %d", records[i], recordSize(&records[i]), len(buf)-before)
			}
		}
		m, err := decode(buf)
		if err != nil || m.sender != sender || len(m.records) != len(records) ||
			len(records) > 0 && !reflect.DeepEqual(m.records, records) {
			t.Fatalf("%d records of %q are read as %+v (%v)", len(records), sender, m, err)
		}
	})
}

func TestMessagesThatAreNotRead(t *testing.T) {
	ask := appendAsk(nil, 1, "gw", askRoot, nil)
	news := appendNews(nil, newsMessage, "gw", someRecords...)
	tests := []struct {
		name string
		buf  []byte
		want error
	}{
		{"nothing", nil, errMalformed},
		{"a format alone", []byte{newestFormat}, errMalformed},
		{"an older format", append([]byte{oldestFormat - 1}, ask[1:]...), errUnknown},
		{"a newer format", append([]byte{newestFormat + 1}, ask[1:]...), errUnknown},
		{"type 0", []byte{newestFormat, 0}, errUnknown},
		{"a newer type", []byte{newestFormat, byte(answerMessage) + 1, 1, 2, 3}, errUnknown},
		{"no sender", appendHint(nil, "", 1), errMalformed},
		{"a long sender", appendHint(nil, strings.Repeat("x", maxName+1), 1), errMalformed},
		{"a sender that is not text", appendHint(nil, "\xff", 1), errMalformed},
		{"something behind a hint", append(appendHint(nil, "gw", 1), 0), errMalformed},
		{"a length in more bytes than it needs", append([]byte{newestFormat, byte(hintMessage), 0x81, 0, 'x'}, make([]byte, 8)...), errMalformed},
		{"a length of 2^64 - 1", append([]byte{newestFormat, byte(newsMessage)}, bytes.Repeat([]byte{0xff}, 9)...), errMalformed},
		{"half a record", news[:len(news)-1], errMalformed},
		{"a value that is too long", appendNews(nil, newsMessage, "gw", Record{Value: make([]byte, maxValue+1)}), errMalformed},
		{"a body that is too long", appendAsk(nil, 1, "gw", askRoot, make([]byte, maxBody+1)), errMalformed},
		{"a message that is too long", make([]byte, maxMessage+1), errMalformed},
	}
	for _, tt := range tests {
		if m, err := decode(tt.buf); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %+v (%v), want %v", tt.name, m, err, tt.want)
		}
	}
	if _, err := decode(appendAsk(nil, 1, strings.Repeat("x", maxName), askRoot, make([]byte, maxBody))); err != nil {
		t.Errorf("the longest question: %v", err)
	}
}

func TestALongErrorIsCut(t *testing.T) {
	m, err := decode(appendAnswer(nil, 1, strings.Repeat("no ", maxError), []byte("body")))
	if err != nil || len(m.failure) != maxError || string(m.body) != "body" {
		t.Errorf("got %d bytes of error and the body %q (%v), want %d and all of the body", len(m.failure), m.body, err, maxError)
	}
}

func TestReadingMakesNoRoomForWhatDoesNotCome(t *testing.T) {
	// Each claims much and brings little.
	for _, buf := range [][]byte{
		append(appendNews(nil, newsMessage, "gw"), append(make([]byte, recordHead), 0xff, 0xff, 0x1f)...),
		append(appendNews(nil, newsMessage, "gw"), bytes.Repeat(make([]byte, recordHead+1), 10_000)[1:]...),
	} {
		if allocs := testing.AllocsPerRun(100, func() { _, _ = decode(buf) }); allocs > 1 { // the name
			t.Errorf("a message of %d bytes that can not be read costs %v allocations, want 1", len(buf), allocs)
		}
	}
	buf := appendNews(nil, newsMessage, "gw", someRecords...)
	if allocs := testing.AllocsPerRun(100, func() { _, _ = decode(buf) }); allocs > 2 { // and the records
		t.Errorf("news of %d records costs %v allocations, want 2", len(someRecords), allocs)
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range messages() {
		f.Add(encode(m))
	}
	f.Fuzz(func(t *testing.T, buf []byte) {
		m, err := decode(buf)
		if err != nil {
			if !reflect.DeepEqual(m, message{}) {
				t.Fatalf("%v, and yet %+v", err, m)
			}
			return
		}
		// There is one way to write each message.
		if again := encode(m); !bytes.Equal(again, buf) {
			t.Fatalf("%x\nis read as %+v\nand written as %x", buf, m, again)
		}
		for i := range m.records {
			if r := &m.records[i]; len(r.Value) > maxValue || cap(r.Value) > len(r.Value) {
				t.Fatalf("record %d has %d bytes, and room for %d", i, len(r.Value), cap(r.Value))
			}
		}
	})
}

func BenchmarkDecodeNews(b *testing.B) {
	var buf []byte
	for buf = appendNews(nil, newsMessage, "gw-1"); len(buf) < 1200; {
		buf = appendRecords(buf, someRecords[0])
	}
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(buf); err != nil {
			b.Fatal(err)
		}
	}
}
