package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// An Event is something that happened and that somebody may want to prove later. It is
// written once and never changes. Which gateway wrote it, and when, is its Version;
// events are in the order of their versions.
//
// An event that two gateways wrote without knowing of each other has one id
// ([OccasionID]), and of the two the earlier holds, everywhere.
type Event struct {
	ID   EventID `json:"id"`
	Time Time    `json:"time"` // of Version; writers do not set it
	Type string  `json:"type"` // words with a point between them, such as "svm.down"

	// What it is about; zero where that is nothing of the kind.
	Tenant TenantID `json:"tenant"`
	VM     BIOSID   `json:"vm"`
	SVM    SVMID    `json:"svm"`

	Message string `json:"message"`

	// Who did it, if somebody did: an account, and the address it came from. Before and
	// After are JSON of what was changed, without secrets.
	Actor  string          `json:"actor,omitzero"`
	From   string          `json:"from,omitzero"`
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`

	Version Version `json:"-"` // writers do not set it
}

// EventID identifies an event.
type EventID [16]byte

// NewEventID returns a fresh id, for what happens once; see [NewTenantID].
func NewEventID() EventID { return EventID(uuid.Must(uuid.NewV7())) }

// OccasionID is the id of an event of a type about something (a tenant, a VM, an SVM)
// on an occasion, which some numbers identify: whoever finds out, it is the same id.
func OccasionID(eventType string, about [16]byte, occasion ...uint64) EventID {
	b := append([]byte(eventType), 0)
	b = append(b, about[:]...)
	for _, n := range occasion {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	sum := sha256.Sum256(b)
	return EventID(sum[:16])
}

// ParseEventID reads a UUID; see [ParseTenantID].
func ParseEventID[T string | []byte](s T) (EventID, error) { id, err := parseID(s); return id, err }

// IsZero reports whether id is the zero value, which identifies nothing.
func (id EventID) IsZero() bool { return id == EventID{} }

func (id EventID) String() string { return uuid.UUID(id).String() }

// MarshalText writes the canonical form; see [TenantID.MarshalText].
func (id EventID) MarshalText() ([]byte, error) { return marshalID(id) }

// UnmarshalText reads what [ParseEventID] reads; empty text is the zero id.
func (id *EventID) UnmarshalText(b []byte) (err error) { *id, err = unmarshalID(b); return err }

// Bounds of an event, in bytes.
const (
	maxEventType = 64
	MaxMessage   = 1 << 10  // of Message
	MaxEvidence  = 32 << 10 // of Before and of After
)

func (e *Event) encode() []byte {
	out := newEncoder()
	out.str(e.Type)
	out.str(e.Message)
	ids := [...][16]byte{e.Tenant, e.VM, e.SVM}
	var have uint64
	for i, id := range ids {
		if id != ([16]byte{}) {
			have |= 1 << i
		}
	}
	out.uint(have)
	for i, id := range ids {
		if have&(1<<i) != 0 {
			out.id(id)
		}
	}
	out.str(e.Actor)
	out.str(e.From)
	out.str(string(e.Before))
	out.str(string(e.After))
	return out
}

func decodeEvent(r *Record) (Event, error) {
	d := newDecoder(r.Value)
	e := Event{ID: r.Key.ID, Version: r.Version, Time: milliTime(r.Version.Millis()), Type: d.str(), Message: d.str()}
	have := d.uint()
	for i, id := range []*[16]byte{(*[16]byte)(&e.Tenant), (*[16]byte)(&e.VM), (*[16]byte)(&e.SVM)} {
		if have&(1<<i) == 0 {
			continue
		}
		if *id = d.id(); *id == ([16]byte{}) { // it was cut
			d.fail()
		}
	}
	e.Actor, e.From, e.Before, e.After = d.str(), d.str(), d.bytes(), d.bytes()
	return e, d.err
}

func (e *Event) validate() error {
	word := func(r rune) bool { return r != '.' && r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	switch {
	case e.ID.IsZero():
		return fieldError("id", "", "must identify the event")
	case e.Type == "" || len(e.Type) > maxEventType || strings.ContainsFunc(e.Type, word):
		return fieldError("type", e.Type, "must be up to %d bytes of small letters, digits, points and underlines", maxEventType)
	}
	for _, f := range []struct {
		name, value string
		most        int
	}{{"message", e.Message, MaxMessage}, {"actor", e.Actor, maxName}, {"from", e.From, maxName}} {
		if err := checkText(f.name, f.value, f.most); err != nil {
			return err
		}
	}
	for name, v := range map[string]json.RawMessage{"before": e.Before, "after": e.After} {
		if len(v) > MaxEvidence || len(v) > 0 && !json.Valid(v) {
			return fieldError(name, string(v), "must be JSON of up to %d bytes", MaxEvidence)
		}
	}
	return nil
}

// checkEvent fails if an event can not be read, or would spoil a list of events.
func (r *Record) checkEvent() error {
	e, err := decodeEvent(r)
	if err == nil && (len(e.Before) > 0 && !json.Valid(e.Before) || len(e.After) > 0 && !json.Valid(e.After)) {
		err = errCorrupt
	}
	return err
}

// Emit writes an event, unless there is one with its id.
func (tx *Tx) Emit(e Event) (bool, error) {
	if err := e.validate(); err != nil {
		return false, err
	}
	if !tx.current(KindEvent, e.ID).Version.IsZero() {
		return false, nil
	}
	return tx.put(KindEvent, e.ID, e.encode()), nil
}

// EventOf reads the event in a record of [News]; false if it is none.
func EventOf(r *Record) (Event, bool) {
	if r.Key.Kind != KindEvent || r.Key.isFloor() || r.Deleted() {
		return Event{}, false
	}
	e, err := decodeEvent(r)
	return e, err == nil
}

// Wrote reports whether this gateway wrote what has a version.
func (t *Table) Wrote(v Version) bool { return v.Node == t.clock.node }

// Event returns the event with the given id.
func (t *Table) Event(id EventID) (Event, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	r, _ := t.rowCopy(Key{KindEvent, id})
	e, ok := EventOf(&r)
	return e, ok && t.floors.lift(&r)
}

// Events calls fn with the events whose version is after a given one, the oldest first,
// until it returns false. It takes no lock while fn runs, and memory for some of the
// events at a time; of those that come meanwhile some may be left out.
func (t *Table) Events(after Version, fn func(*Event) bool) {
	for next := after.Clock; ; {
		var page []Record
		page, next = t.eventPage(next)
		for i := range page {
			e, ok := EventOf(&page[i])
			if ok && e.Version.Compare(after) > 0 && !fn(&e) {
				return
			}
		}
		if next == 0 {
			return
		}
	}
}

// Bounds of what is read of events at a time.
const (
	eventPage      = 128
	eventPageBytes = 1 << 20
)

// eventPage returns some events from a clock on, the oldest first, and from where to go
// on; 0 at the end. All of one clock are on one page.
func (t *Table) eventPage(from uint64) (page []Record, next uint64) {
	var room []byte
	var last ref
	t.mu.RLock()
	t.timeline.from(max(from, t.floors.clock), func(at ref) bool {
		if at.clock > last.clock && (len(page) >= eventPage || len(room) >= eventPageBytes) {
			next = at.clock
			return false
		}
		if at == last { // was replaced by another of the same clock
			return true
		}
		last = at
		if r, ok := t.buckets[bucketOf(at.hash)].bulk.event(at.hash, at.clock); ok {
			begin := len(room)
			room = append(room, r.Value...)
			r.Value = room[begin:len(room):len(room)]
			page = append(page, r)
		}
		return true
	})
	t.mu.RUnlock()
	slices.SortFunc(page, func(a, b Record) int { return a.Version.Compare(b.Version) })
	return page, next
}

// NumEvents returns how many events there are.
func (t *Table) NumEvents() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.bulkStats.events
}

// ForgetEvents drops, on every gateway, the events before a moment, which is at most
// now, and of the others the oldest if there are more than most. It returns how many this
// gateway dropped. Events from before that moment that come later, from a gateway that was
// cut off, are not taken. It is a write like others, though of one small record: if the
// disk takes none, it fails. Without anything to drop it writes nothing. Writers wait for
// a piece of it at a time.
func (t *Table) ForgetEvents(before Time, most int) (n int, err error) {
	was, _ := t.dropped()
	for raised := true; raised && err == nil; {
		t.sinkAll()
		raised, err = t.raiseEvents(clockAt(before.Time), max(most, 0))
	}
	is, _ := t.dropped()
	return is - was, err
}

// raiseEvents raises the floor, and reports whether it did.
func (t *Table) raiseEvents(floor uint64, most int) (raised bool, err error) {
	floor, ok := t.eventFloor(floor, most)
	if !ok {
		return false, nil
	}
	err = t.Update(func(tx *Tx) error {
		version := t.clock.next() // none is newer
		floor = min(floor, version.Clock)
		if raised = floor > max(t.floors.clock, tx.floor(KindEvent)); raised {
			tx.group.put(Record{Key: Key{Kind: KindEvent}, Version: version, Value: encodeFloor(floor)})
		}
		return nil
	})
	return raised, err
}

// eventFloor returns the clock before which events are to be dropped; false if none is.
func (t *Table) eventFloor(floor uint64, most int) (uint64, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if more := t.bulkStats.events - most; more > 0 {
		last, _ := t.timeline.nth(more - 1)
		floor = max(floor, last+1)
	}
	oldest, ok := t.timeline.nth(0)
	return floor, ok && oldest < floor
}
