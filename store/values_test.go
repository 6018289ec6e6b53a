package store

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestVersionsCompareByTheirFirstTwoNumbers(t *testing.T) {
	tests := []struct {
		text string
		want ProductVersion
		ok   bool
	}{
		{"12.0", ProductVersion{12, 0}, true},
		{"12.0.0.455", ProductVersion{12, 0}, true},
		{"6.4.1", ProductVersion{6, 4}, true},
		{"0.1", ProductVersion{0, 1}, true},
		{"012.001", ProductVersion{12, 1}, true},
		{"65535.65535", ProductVersion{65535, 65535}, true},
		{"12.0.anything", ProductVersion{12, 0}, true},
		{"", ProductVersion{}, false},
		{"12", ProductVersion{}, false},
		{"12.", ProductVersion{}, false},
		{".1", ProductVersion{}, false},
		{"12.x", ProductVersion{}, false},
		{"12.0-beta", ProductVersion{}, false},
		{"v12.0", ProductVersion{}, false},
		{" 12.0", ProductVersion{}, false},
		{"-1.0", ProductVersion{}, false},
		{"65536.0", ProductVersion{}, false},
		{"1.65536", ProductVersion{}, false},
		{"4294967308.0", ProductVersion{}, false}, // 12 in 32 bits
		{"0.0", ProductVersion{}, false},
	}
	for _, tt := range tests {
		if got, ok := ParseProductVersion(tt.text); got != tt.want || ok != tt.ok {
			t.Errorf("ParseProductVersion(%q) = %v, %v; want %v, %v", tt.text, got, ok, tt.want, tt.ok)
		}
		if got, ok := ParseProductVersion([]byte(tt.text)); got != tt.want || ok != tt.ok {
			t.Errorf("ParseProductVersion of the bytes %q = %v, %v; want %v, %v", tt.text, got, ok, tt.want, tt.ok)
		}
		if back, ok := ParseProductVersion(tt.want.String()); back != tt.want || ok != tt.ok {
			t.Errorf("%v reads back as %v, %v", tt.want, back, ok)
		}
	}
}

func TestVersionsAllocateNothing(t *testing.T) {
	text := []byte("12.0.0.455")
	if n := testing.AllocsPerRun(1000, func() { ParseProductVersion(text) }); n != 0 {
		t.Errorf("ParseProductVersion allocates %v times, want 0", n)
	}
}

// words is an enumeration: the words it has, in the order of its values.
type words struct {
	value interface {
		encoding.TextUnmarshaler
		fmt.Stringer
	}
	want string
}

func enumerations() []words {
	return []words{
		{new(TenantType), "complete simple"},
		{new(TenantStatus), "inactive active"},
		{new(Algorithm), "standard extended"},
		{new(PathLevel), "host cluster zone ignore"},
		{new(Load), "balanced fewest"},
		{new(Platform), "hypervisor openstack"},
		{new(LicenseState), "none valid expired denied"},
		{new(KeyType), "core server desktop"},
		{new(LicenseEdition), "standard enterprise"},
		{new(SVMState), "ready draining down suspect"},
		{new(GuestOS), " server desktop"},
		{new(AgentKind), " linux windows"},
		{new(TaskState), "created queued starting running stopping completed failed canceled"},
		{new(Role), "viewer svm multitenancy admin"},
	}
}

func TestEnumerationsWriteTheWordsTheyRead(t *testing.T) {
	for _, e := range enumerations() {
		value := reflect.ValueOf(e.value).Elem()
		for i, word := range strings.Split(e.want, " ") {
			if err := e.value.UnmarshalText([]byte(word)); err != nil || value.Uint() != uint64(i) {
				t.Errorf("%v: %q reads as %d, %v; want %d", value.Type(), word, value.Uint(), err, i)
			}
			text, err := value.Interface().(encoding.TextMarshaler).MarshalText()
			if string(text) != word || e.value.String() != word || err != nil {
				t.Errorf("%v: %d writes as %q and %q, %v; want %q", value.Type(), i, text, e.value, err, word)
			}
		}
	}
}

func TestEnumerationsNameWhatIsAllowed(t *testing.T) {
	for _, e := range enumerations() {
		value := reflect.ValueOf(e.value).Elem()
		value.SetUint(1)
		for _, word := range []string{"Active", "unknown", "1", "complete ", strings.ToUpper(e.want)} {
			err := e.value.UnmarshalText([]byte(word))
			if err == nil {
				t.Errorf("%v takes %q", value.Type(), word)
				continue
			}
			for _, part := range append(strings.Split(e.want, " "), word) {
				if !strings.Contains(err.Error(), fmt.Sprintf("%q", part)) {
					t.Errorf("%v: error %q does not name %q", value.Type(), err, part)
				}
			}
		}
		if value.Uint() != 1 {
			t.Errorf("%v: an error changed the value to %d", value.Type(), value.Uint())
		}
		value.SetUint(200)
		if got := e.value.String(); got != "invalid(200)" {
			t.Errorf("%v(200) is %q", value.Type(), got)
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	if got := KindToken.String() + " " + Kind(99).String() + " " + Kind(0).String(); got != "token kind-99 kind-0" {
		t.Errorf("kinds are called %s", got)
	}
}

func TestTimeIsRFC3339InUTC(t *testing.T) {
	tests := []struct{ in, want string }{
		{`""`, `""`},
		{`"2026-01-31T12:00:00Z"`, `"2026-01-31T12:00:00Z"`},
		{`"2026-01-31T12:00:00+03:00"`, `"2026-01-31T09:00:00Z"`},
		{`"2026-01-31T12:00:00.25Z"`, `"2026-01-31T12:00:00.25Z"`},
	}
	for _, tt := range tests {
		var got Time
		if err := json.Unmarshal([]byte(tt.in), &got); err != nil {
			t.Errorf("reading %s: %v", tt.in, err)
		}
		if text, err := json.Marshal(got); string(text) != tt.want || err != nil {
			t.Errorf("%s is written as %s, %v; want %s", tt.in, text, err, tt.want)
		}
	}
	var zero struct{ At Time }
	if text, err := json.Marshal(zero); string(text) != `{"At":""}` || err != nil {
		t.Errorf("the zero time is written as %s, %v", text, err)
	}
	moscow := Time{time.Date(2026, 1, 31, 12, 0, 0, 0, time.FixedZone("", 3*3600))}
	if text, err := json.Marshal(moscow); string(text) != `"2026-01-31T09:00:00Z"` || err != nil {
		t.Errorf("a time elsewhere is written as %s, %v", text, err)
	}
}

func TestTimeRefusesOtherForms(t *testing.T) {
	for _, text := range []string{`"yesterday"`, `"2026-01-31"`, `"2026-01-31 12:00:00"`, `1767225600`, `{}`, `"`} {
		var got Time
		if err := got.UnmarshalJSON([]byte(text)); err == nil || !strings.Contains(err.Error(), "RFC 3339") {
			t.Errorf("reading %s: %v; want an error that names RFC 3339", text, err)
		}
	}
}
