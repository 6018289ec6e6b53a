package store

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/uuid"
)

func TestParseIDAcceptsEveryForm(t *testing.T) {
	want := BIOSID{0x56, 0x4d, 0x0a, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x34}
	for _, text := range []string{
		"564d0abc-def0-1234-5678-9abcdef01234",
		"564D0ABC-DEF0-1234-5678-9ABCDEF01234",
		"564d0aBC-Def0-1234-5678-9abcDEF01234",
		"564d0abcdef0123456789abcdef01234",
		"564D0ABCDEF0123456789ABCDEF01234",
		"{564d0abc-def0-1234-5678-9abcdef01234}",
		"{564D0ABCDEF0123456789ABCDEF01234}",
	} {
		if got, err := ParseBIOSID(text); got != want || err != nil {
			t.Errorf("ParseBIOSID(%q) = %v, %v; want %v", text, got, err, want)
		}
		if got, err := ParseTenantID([]byte(text)); got != TenantID(want) || err != nil {
			t.Errorf("ParseTenantID(%q) = %v, %v; want %v", text, got, err, want)
		}
		if got, err := ParseSVMID(text); got != SVMID(want) || err != nil {
			t.Errorf("ParseSVMID(%q) = %v, %v; want %v", text, got, err, want)
		}
		if got, err := ParseVMID(text); got != VMID(want) || err != nil {
			t.Errorf("ParseVMID(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseIDRefusesWhatIsNoUUID(t *testing.T) {
	for _, text := range []string{
		"", "{", "{}", "}{", "acme",
		"564d0abc-def0-1234-5678-9abcdef0123",    // one digit short
		"564d0abc-def0-1234-5678-9abcdef012345",  // one too many
		"564d0abcdef0123456789abcdef0123g",       // not a digit
		"564d0abcdef0123456789abcdef0123\x00",    // nor is this
		"564d0abc-def01-234-5678-9abcdef01234",   // a hyphen in the wrong place
		"564d0abc-def0-1234-5678-9abcdef0-234",   // one too many
		"564d0abcd-ef0-1234-5678-9abcdef01234",   // in the wrong place
		"{564d0abc-def0-1234-5678-9abcdef01234",  // braces that do not close
		"564d0abc-def0-1234-5678-9abcdef01234}",  // or open
		"(564d0abc-def0-1234-5678-9abcdef01234)", // or are no braces
		"{{564d0abcdef0123456789abcdef01234}}",   // or too many
		"urn:uuid:564d0abc-def0-1234-5678-9abcdef01234",
		" 564d0abc-def0-1234-5678-9abcdef01234",
		"５64d0abcdef0123456789abcdef01234",
	} {
		if id, err := ParseBIOSID(text); !errors.Is(err, ErrMalformedID) || !id.IsZero() {
			t.Errorf("ParseBIOSID(%q) = %v, %v; want the zero id and ErrMalformedID", text, id, err)
		}
	}
}

func TestSwappedTwiceIsTheSameID(t *testing.T) {
	id, err := ParseBIOSID("00112233-4455-6677-8899-aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := id.Swapped().String(), "33221100-5544-7766-8899-aabbccddeeff"; got != want {
		t.Errorf("%v.Swapped() = %s, want %s", id, got, want)
	}
	for range 1000 {
		id := randomID[BIOSID]()
		if got := id.Swapped().Swapped(); got != id {
			t.Errorf("%v swapped twice is %v", id, got)
		}
	}
}

func TestEveryWayToWriteAnIDAgrees(t *testing.T) {
	for range 1000 {
		id := randomID[TenantID]()
		text := string(AppendID([]byte("id="), id))
		if want := "id=" + id.String(); text != want || want != "id="+uuid.UUID(id).String() {
			t.Fatalf("AppendID = %q, String = %q", text, want)
		}
		marshalled, err := id.MarshalText()
		if string(marshalled) != id.String() || err != nil {
			t.Fatalf("MarshalText = %q, %v; want %q", marshalled, err, id)
		}
		var back TenantID
		if err := back.UnmarshalText(marshalled); back != id || err != nil {
			t.Fatalf("UnmarshalText(%q) = %v, %v", marshalled, back, err)
		}
	}
}

func TestZeroIDIsEmptyText(t *testing.T) {
	text, err := TenantID{}.MarshalText()
	if len(text) != 0 || text == nil || err != nil {
		t.Errorf("MarshalText of the zero id = %q, %v; want empty text", text, err)
	}
	id := VMID{1}
	if err := id.UnmarshalText(nil); !id.IsZero() || err != nil {
		t.Errorf("UnmarshalText of empty text = %v, %v; want the zero id", id, err)
	}
	if err := id.UnmarshalText([]byte("acme")); !errors.Is(err, ErrMalformedID) {
		t.Errorf("UnmarshalText(acme) = %v, want ErrMalformedID", err)
	}
}

func TestNewIDsDiffer(t *testing.T) {
	seen := map[[16]byte]bool{}
	for range 1000 {
		seen[NewTenantID()], seen[NewSVMID()], seen[NewVMID()] = true, true, true
	}
	if len(seen) != 3000 {
		t.Errorf("3000 new ids are %d different ones", len(seen))
	}
}

func TestIDsAllocateNothing(t *testing.T) {
	text := []byte("{564D0ABC-DEF0-1234-5678-9ABCDEF01234}")
	buf := make([]byte, 0, 64)
	allocs := testing.AllocsPerRun(1000, func() {
		id, err := ParseBIOSID(text)
		if err != nil {
			t.Fatal(err)
		}
		buf = AppendID(buf[:0], id.Swapped())
		if _, err := ParseBIOSID(text[1:]); err == nil {
			t.Fatal("a malformed id was read")
		}
	})
	if allocs != 0 {
		t.Errorf("reading and writing an id allocates %v times, want 0", allocs)
	}
}

// FuzzParseID holds parseID against google/uuid. They differ on purpose: ours
// takes braces around either form but no URN, and does not take braces on trust.
func FuzzParseID(f *testing.F) {
	for _, text := range []string{
		"564d0abc-def0-1234-5678-9abcdef01234", "{564d0abcdef0123456789abcdef01234}", "",
		"564d0abc-def0-1234-5678-9abcdef0-234", "x564d0abc-def0-1234-5678-9abcdef01234x",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseID(text)
		fromBytes, bytesErr := parseID([]byte(text))
		if got != fromBytes || (err == nil) != (bytesErr == nil) {
			t.Fatalf("%q is %v, %v as a string and %v, %v as bytes", text, got, err, fromBytes, bytesErr)
		}
		bare := text
		if strings.HasPrefix(bare, "{") && strings.HasSuffix(bare, "}") && len(bare) > 1 {
			bare = bare[1 : len(bare)-1]
		}
		want, wantErr := uuid.Parse(bare)
		if len(bare) != 32 && len(bare) != 36 {
			wantErr = ErrMalformedID
		}
		if (err == nil) != (wantErr == nil) || err == nil && got != want {
			t.Fatalf("parseID(%q) = %x, %v; uuid.Parse(%q) = %x, %v", text, got, err, bare, want, wantErr)
		}
	})
}

// randomID returns an id that is not zero.
func randomID[T ~[16]byte]() (id T) {
	for i := range id {
		id[i] = byte(1 + rand.IntN(255))
	}
	return id
}
