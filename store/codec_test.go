package store

import (
	"bytes"
	"encoding/binary"
	"math"
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
		if news, err := other.Apply(Batch{Records: records}); err != nil || len(news.Records) != 0 {
			t.Errorf("the same records are news again: %v, %v", news, err)
		}
	})
}
