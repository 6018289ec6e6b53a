package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func TestEveryRowReadsBackAsWritten(t *testing.T) {
	t.Run("tenant", rowLaws(anyTenantRow, (*tenantRow).encode, decodeTenant))
	t.Run("activation", rowLaws(anyActivationRow, func(r *activationRow) []byte { return r.encode() }, decodeActivation))
	t.Run("svm config", rowLaws(anySVMConfigRow, (*svmConfigRow).encode, decodeSVMConfig))
	t.Run("svm facts", rowLaws(anyFacts, encodeFacts, decodeFacts))
	t.Run("svm load", rowLaws(anyLoadRow, func(r *loadRow) []byte { return r.encode() }, decodeLoad))
	t.Run("vm", rowLaws(anyVMRow, (*vmRow).encode, decodeVM))
	t.Run("placement", rowLaws(anyPlacementRow, (*placementRow).encode, decodePlacement))
	t.Run("account", rowLaws(anyAccount, encodeAccount, decodeAccount))
	t.Run("task", rowLaws(anyTask, (*Task).encode, func(b []byte) (Task, error) { return decodeTask([16]byte{}, b) }))
	t.Run("task cancel", rowLaws(anyTaskCancel, (*taskCancelRow).encode, decodeTaskCancel))
	t.Run("event", rowLaws(anyEvent, (*Event).encode, func(b []byte) (Event, error) {
		e, err := decodeEvent(&Record{Value: b})
		e.Time = Time{}
		return e, err
	}))
	t.Run("observation", rowLaws(anyObservation, (*Observation).encode, func(b []byte) (Observation, error) { return decodeObservation([16]byte{}, b) }))
	t.Run("protection", rowLaws(anyProtection, (*Protection).encode, decodeProtection))
	t.Run("token", rowLaws(anyToken, encodeToken, func(b []byte) (Token, error) { return decodeToken([16]byte{}, b) }))
}

// rowLaws checks that a row reads back, that fields of a newer release are
// ignored, and that fields which an older release did not write read as zero:
// cut anywhere, a value is damaged, or a row that is written as what was left
// and zeros.
func rowLaws[R any](rows *rapid.Generator[R], encode func(*R) []byte, decode func([]byte) (R, error)) func(*testing.T) {
	return rapid.MakeCheck(func(t *rapid.T) {
		row := rows.Draw(t, "row")
		value := encode(&row)
		newer := append(bytes.Clone(value), rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "newer")...)
		for _, v := range [][]byte{value, newer} {
			got, err := decode(v)
			if diff := cmp.Diff(row, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
				t.Fatalf("reading %x: %v (-wrote +read)\n%s", v, err, diff)
			}
		}
		whole := 0
		for n := range value {
			got, err := decode(value[:n])
			if err != nil {
				continue
			}
			whole++
			if !bytes.HasPrefix(encode(&got), value[:n]) {
				t.Fatalf("the first %d bytes of %x read as %+v, which they do not say", n, value, got)
			}
		}
		if zero, err := decode(value[:1]); err != nil || !bytes.Equal(encode(&zero), encode(new(R))) {
			t.Fatalf("a value of no fields reads as %+v, %v; want zeros", zero, err)
		}
		if _, err := decode(nil); err == nil || whole < 2 {
			t.Fatalf("no value: %v, whole prefixes: %d; want an error and several", err, whole)
		}
	})
}

// A record may come from a newer release or a broken peer: numbers out of bounds
// are brought within them.
func TestNumbersFromElsewhereAreWithinBounds(t *testing.T) {
	for _, n := range []int64{math.MinInt64, -1, 0, 5, maxCapacity + 1, 1 << 32, math.MaxInt64} {
		e := newEncoder()
		e.int(n)
		e.int(n)
		row, err := decodeLoad(e)
		if err != nil {
			t.Fatal(err)
		}
		if row.Connected < 0 || row.Connected > maxCapacity {
			t.Errorf("%d agents read as %d", n, row.Connected)
		}
		if text, err := row.Reported.MarshalJSON(); err != nil {
			t.Errorf("a time of %d ms can not be written: %s, %v", n, text, err)
		}
	}
}

func TestWordsOfANewerReleaseReadAsTheZeroValue(t *testing.T) {
	row := placementRow{OS: 77, Kind: AgentWindows}
	got, err := decodePlacement(row.encode())
	if got.OS != OSUnknown || got.Kind != AgentWindows || err != nil {
		t.Errorf("an unknown guest class reads as %v, %v", got, err)
	}
}

func TestRecordsReadBackFromTheirBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, next := worldRecord.Draw(t, "record"), worldRecord.Draw(t, "next")
		b := appendRecord(appendRecord(nil, &r), &next)
		var got []Record
		err := readRecords(b, func(r Record) error { got = append(got, r); return nil })
		if diff := cmp.Diff([]Record{r, next}, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Fatalf("%v (-wrote +read)\n%s", err, diff)
		}
		one := appendRecord(nil, &r)
		for n := range one[1:] {
			if err := readRecords(one[:n+1], func(Record) error { return nil }); err == nil {
				t.Fatalf("the first %d of %d bytes pass for the record %+v", n+1, len(one), r)
			}
		}
	})
}

// A record that says what its key denies is refused, not believed.
func TestRecordsThatContradictTheirKeysAreRefused(t *testing.T) {
	at := Version{Clock: worldEpoch, Node: 1}
	tenant, placement := tenantRow{Name: "acme"}, placementRow{Version: "12.0"}
	account := Account{Name: "admin", Role: RoleAdmin, Hash: "h"}
	event, spoilt := Event{Type: "svm.up"}, Event{Type: "svm.up", After: []byte("{")}
	p := Protection{Tenant: TenantID{1}, VM: BIOSID{2}}
	otherDays := func(first int64, bits ...byte) []byte {
		other := p
		e := encoder(other.encode())
		e = e[:len(e)-2] // none: first, and how many bytes
		e.int(first)
		e.str(string(bits))
		return e
	}
	p.Days.Add(at.day()-2, at.day())
	days := Record{protectionKey(p.Tenant, p.VM), at, p.encode()}
	p.Days = Days{}
	if err := days.check(); err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]Record{
		"tenant of no id":         {Key{KindTenant, [16]byte{}}, at, tenant.encode()},
		"deletion of no tenant":   {Key{KindTenant, [16]byte{}}, at, nil},
		"placement of no VM":      {Key{KindPlacement, [16]byte{}}, at, placement.encode()},
		"account under another":   {accountKey("viewer"), at, encodeAccount(&account)},
		"deletion of activation":  {Key{KindActivation, [16]byte{1}}, at, nil},
		"list cut short":          {Key{KindSVMConfig, [16]byte{1}}, at, []byte{1, 0, 0, 2, 1, 'a'}},
		"damaged tenant":          {Key{KindTenant, [16]byte{1}}, at, []byte{1, 200}},
		"value of no format":      {Key{KindTenant, [16]byte{1}}, at, []byte{0}},
		"task of no id":           {Key{KindTask, [16]byte{}}, at, []byte{1, 0}},
		"wish of no task":         {Key{KindTaskCancel, [16]byte{}}, at, []byte{1, 0}},
		"deletion of no wish":     {Key{KindTaskCancel, [16]byte{}}, at, nil},
		"damaged task":            {Key{KindTask, [16]byte{1}}, at, []byte{1, 200}},
		"task of no format":       {Key{KindTask, [16]byte{1}}, at, []byte{0}},
		"damaged wish":            {Key{KindTaskCancel, [16]byte{1}}, at, []byte{1, 3, 'a'}},
		"deletion of an event":    {Key{KindEvent, [16]byte{1}}, at, nil},
		"deletion of days":        {days.Key, at, nil},
		"deletion of a floor":     {Key{Kind: KindEvent}, at, nil},
		"observation of nothing":  {Key{Kind: KindObservation}, at, []byte{1, 1}},
		"damaged event":           {Key{KindEvent, [16]byte{1}}, at, []byte{1, 200}},
		"event without JSON":      {Key{KindEvent, [16]byte{1}}, at, spoilt.encode()},
		"event without end":       {Key{KindEvent, [16]byte{1}}, at, append(event.encode(), make([]byte, maxBulkValue)...)},
		"days under another key":  {Key{KindProtection, [16]byte{1}}, at, days.Value},
		"days after the version":  {days.Key, Version{Clock: at.Clock - 86_400_000<<counterBits}, days.Value},
		"days not of a byte":      {days.Key, at, otherDays(3, 1)},
		"days of long ago":        {days.Key, at, otherDays(-8, 1)},
		"days that begin with 0":  {days.Key, at, otherDays(8, 0, 1)},
		"days that end with 0":    {days.Key, at, otherDays(8, 1, 0)},
		"no days, from some on":   {days.Key, at, otherDays(8)},
		"too many days":           {days.Key, at, otherDays(8, append(append([]byte{1}, make([]byte, MaxDays/8-1)...), 1)...)},
		"days of the far future":  {days.Key, at, otherDays(math.MaxInt64-7, 1)},
		"floor of the future":     {Key{Kind: KindEvent}, at, encodeFloor(at.Clock + 1)},
		"days' floor, likewise":   {Key{Kind: KindProtection}, at, encodeFloor(uint64(at.day()) + 1)},
		"list longer than itself": {Key{KindSVMFacts, [16]byte{1}}, at, []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1}},
	} {
		table := open(t, Config{})
		if _, err := table.Apply(Batch{Records: []Record{r}}); err == nil {
			t.Errorf("%s: taken", name)
		}
		if got := table.all(); len(got) != 0 {
			t.Errorf("%s: left %v", name, got)
		}
	}
}

// appendRecord1 writes a record as release 1 did.
func appendRecord1(dst []byte, r *Record) []byte {
	dst = append(append(dst, byte(r.Key.Kind)), r.Key.ID[:]...)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, r.Version.Clock), r.Version.Node)
	return append(binary.AppendUvarint(dst, uint64(len(r.Value))), r.Value...)
}

// readHistory reads what was written of the past, and writes it for others.
func (x tester) readHistory(t failer) {
	for _, e := range x.events(Version{}) {
		if _, err := json.Marshal(e); err != nil {
			t.Fatalf("event %v can not be written: %v", e, err)
		}
	}
	x.Protections(func(p *Protection) bool {
		if n := p.Days.Len(); n == 0 || n > MaxDays || len(p.Days.list()) != n || !p.Days.canonical() {
			t.Fatalf("%d days: %v", n, p.Days)
		}
		return true
	})
}

// Whatever bytes are taken for days are days as they would be written; and joined with
// others they are so, too.
func FuzzDecodeProtection(f *testing.F) {
	for i := range 16 {
		p := Protection{Tenant: TenantID{1}, VM: BIOSID{2}, ID: VMID{3}, TenantName: "acme", Name: "vm"}
		p.Days.Add(Day(20_000-i*i), 20_000)
		f.Add(p.encode(), p.encode())
	}
	f.Add([]byte{1}, []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		p, err := decodeProtection(a)
		if err != nil {
			return
		}
		again, err := decodeProtection(p.encode())
		if diff := cmp.Diff(p, again, cmpopts.EquateEmpty()); diff != "" || err != nil {
			t.Fatalf("read, written and read: %v\n%s", err, diff)
		}
		q, err := decodeProtection(b)
		if err != nil {
			return
		}
		both := p.Days.Union(q.Days)
		if !both.canonical() || !both.Equal(q.Days.Union(p.Days)) || both.Len() > p.Days.Len()+q.Days.Len() || both.Len() < max(p.Days.Len(), q.Days.Len())-MaxDays {
			t.Errorf("%v and %v are %v", p.Days.list(), q.Days.list(), both.list())
		}
	})
}

// FuzzDecodeRecord feeds a table what a broken disk or peer might: whatever it
// takes, all of it can be read, written and merged again.
func FuzzDecodeRecord(f *testing.F) {
	for i := range 64 {
		r := worldRecord.Example(i)
		f.Add(appendRecord1(nil, &r))
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		var records []Record
		_ = readRecords1(b[:min(len(b), 1<<12)], func(r Record) error { // which has no checksum in the way
			if r.check() == nil {
				records = append(records, r)
			}
			return nil
		})
		if len(records) == 0 {
			return
		}
		table := open(t, Config{})
		if _, err := table.Apply(Batch{Records: records}); err != nil {
			t.Fatalf("records that pass their check are refused: %v", err)
		}
		table.Sweep(time.Now().Add(time.Hour))
		other := open(t, Config{Node: "other"})
		other.hear(t, table)
		for _, s := range table.SVMs() {
			if s.Capacity < 0 || s.HardCap < 0 || s.ConnectedAgents < 0 {
				t.Errorf("%+v has less than none", s)
			}
		}
		table.readHistory(t)
		if slices.ContainsFunc(records, func(r Record) bool { return r.Key.isFloor() }) {
			other.apply(t, records...) // of two events of one id one may be below: see floors
		}
		if news, err := other.Apply(Batch{Records: records}); err != nil || len(news.Records) != 0 {
			t.Errorf("the same records are news again: %v, %v", news, err)
		}
	})
}
