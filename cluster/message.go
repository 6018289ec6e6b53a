package cluster

import (
	"encoding/binary"
	"errors"
	"math"
	"unicode/utf8"
)

// What peers tell each other, byte by byte. A message is one byte of format, one of
// type, and what the type says; numbers are big-endian, lengths are varints, and
// whatever comes last reaches to the end:
//
//	news, fleeting   sender, records
//	beaconAck        sender, version of the beacon
//	hint             sender, root of its digest
//	ask              id, sender, question, body
//	answer           id, error (empty: none), body
//
// A record is its kind, its identifier, its version, and a value with its length in
// front. A change that older releases would misread needs another format; a new type
// does not, because types that a node does not know are skipped.
const (
	oldestFormat = 1
	newestFormat = 1
)

type messageType uint8

const (
	newsMessage messageType = 1 + iota
	fleetingMessage
	beaconAckMessage
	hintMessage
	askMessage
	answerMessage
)

// Bounds of what is sent, and believed when it comes. A chunk is encrypted and sent at
// once, which keeps a processor from others: with four times as much, questions to a gateway
// that is joined wait twice as long, and joining takes two thirds of the time.
const (
	maxName    = 128      // bytes of a node's name
	maxPacket  = 1300     // bytes of news in a packet: with memberlist's own, within an Ethernet frame
	maxChunk   = 32 << 10 // bytes of records in a question or an answer, unless it is a single one
	maxValue   = 16 << 20 // bytes of a record's value; memberlist reads messages of 20 MiB
	maxBody    = maxValue + maxChunk
	maxError   = 1 << 10 // bytes of an error in an answer
	maxMessage = maxBody + maxError + maxName + 64

	recordHead = 1 + 16 + 8 + 8 // bytes of a record before its value
)

var (
	errMalformed = errors.New("cluster: malformed message")
	errUnknown   = errors.New("cluster: message of another release")
)

// A message is what came from a peer. Values and body point into what it was read
// from.
type message struct {
	kind     messageType
	sender   string   // of all but answers
	records  []Record // of news and fleeting ones
	version  Version  // of a beaconAck
	root     uint64   // of a hint
	id       uint64   // of an ask or an answer
	question question // of an ask
	failure  string   // of an answer
	body     []byte   // of an ask or an answer
}

// appendNews appends a message of records; more can be added by appendRecords.
func appendNews(buf []byte, kind messageType, sender string, records ...Record) []byte {
	return appendRecords(appendName(appendHead(buf, kind), sender), records...)
}

func appendBeaconAck(buf []byte, sender string, v Version) []byte {
	buf = appendName(appendHead(buf, beaconAckMessage), sender)
	return appendVersion(buf, v)
}

func appendHint(buf []byte, sender string, root uint64) []byte {
	buf = appendName(appendHead(buf, hintMessage), sender)
	return binary.BigEndian.AppendUint64(buf, root)
}

func appendAsk(buf []byte, id uint64, sender string, what question, body []byte) []byte {
	buf = binary.BigEndian.AppendUint64(appendHead(buf, askMessage), id)
	buf = append(appendName(buf, sender), byte(what))
	return append(buf, body...)
}

func appendAnswer(buf []byte, id uint64, failure string, body []byte) []byte {
	buf = binary.BigEndian.AppendUint64(appendHead(buf, answerMessage), id)
	buf = appendBytes(buf, failure[:min(len(failure), maxError)])
	return append(buf, body...)
}

func appendHead(buf []byte, kind messageType) []byte {
	return append(buf, newestFormat, byte(kind))
}

func appendName(buf []byte, name string) []byte { return appendBytes(buf, name) }

func appendBytes[B ~[]byte | ~string](buf []byte, b B) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(b))), b...)
}

func appendVersion(buf []byte, v Version) []byte {
	buf = binary.BigEndian.AppendUint64(buf, v.Clock)
	return binary.BigEndian.AppendUint64(buf, v.Node)
}

// appendRecords appends records to a list of them, which has no head and ends with
// whatever it is in.
func appendRecords(buf []byte, records ...Record) []byte {
	for i := range records {
		r := &records[i]
		buf = append(append(buf, r.Key.Kind), r.Key.ID[:]...)
		buf = appendBytes(appendVersion(buf, r.Version), r.Value)
	}
	return buf
}

// recordSize is how many bytes appendRecords appends for r.
func recordSize(r *Record) int {
	n := recordHead + 1 + len(r.Value)
	for l := len(r.Value) >> 7; l > 0; l >>= 7 {
		n++
	}
	return n
}

// decode reads a message. The result shares buf, which must be the caller's own and
// stay as it is. The error is errUnknown or errMalformed.
func decode(buf []byte) (message, error) {
	if len(buf) < 2 || len(buf) > maxMessage {
		return message{}, errMalformed
	}
	m := message{kind: messageType(buf[1])}
	if buf[0] < oldestFormat || buf[0] > newestFormat || m.kind == 0 || m.kind > answerMessage {
		return message{}, errUnknown
	}
	r := reader{rest: buf[2:]}
	switch m.kind {
	case newsMessage, fleetingMessage:
		m.sender = r.name()
		m.records = r.records()
	case beaconAckMessage:
		m.sender, m.version = r.name(), r.version()
	case hintMessage:
		m.sender, m.root = r.name(), r.uint64()
	case askMessage:
		m.id, m.sender, m.question = r.uint64(), r.name(), question(r.byte())
		m.body = r.all(maxBody)
	case answerMessage:
		m.id, m.failure = r.uint64(), string(r.bytes(maxError))
		m.body = r.all(maxBody)
	}
	if err := r.end(); err != nil {
		return message{}, err
	}
	return m, nil
}

// A reader takes what a peer sent apart. After the first thing that is not as it
// should be, everything is zero, and end tells.
type reader struct {
	rest []byte
	bad  bool
}

// fail is also for what could be read, and makes no sense.
func (r *reader) fail() { r.rest, r.bad = nil, true }

// end returns an error unless everything was as it should be, and nothing is left.
func (r *reader) end() error {
	if r.bad || len(r.rest) > 0 {
		return errMalformed
	}
	return nil
}

// take returns the next n bytes, or nil if n is 0 or there are fewer.
func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.fail()
	}
	if n == 0 || r.bad {
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// all returns what is left, if that is not more than limit.
func (r *reader) all(limit int) []byte {
	if len(r.rest) > limit {
		r.fail()
	}
	return r.take(len(r.rest))
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// number reads a varint, which must be the shortest one and at most limit.
func (r *reader) number(limit int) int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > uint64(min(limit, math.MaxInt32)) || n > 1 && r.rest[n-1] == 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

// bytes reads a length and that many bytes.
func (r *reader) bytes(limit int) []byte { return r.take(r.number(limit)) }

// name reads the name of a node.
func (r *reader) name() string {
	b := r.bytes(maxName)
	if len(b) == 0 || !utf8.Valid(b) {
		r.fail()
		return ""
	}
	return string(b)
}

func (r *reader) version() Version { return Version{Clock: r.uint64(), Node: r.uint64()} }

// records reads records up to the end: all, or none. It counts them before it makes
// room, so that no peer can make us take more memory than a small multiple of what
// it sent.
func (r *reader) records() []Record {
	count, start := 0, r.rest
	for ; len(r.rest) > 0; count++ {
		r.take(recordHead)
		r.bytes(maxValue)
	}
	if r.bad || count == 0 {
		return nil
	}
	r.rest = start
	records := make([]Record, count)
	for i := range records {
		rec := &records[i]
		rec.Key.Kind = r.byte()
		copy(rec.Key.ID[:], r.take(16))
		rec.Version = r.version()
		rec.Value = r.bytes(maxValue)
	}
	return records
}
