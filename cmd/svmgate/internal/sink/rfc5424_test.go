package sink

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/svmgate/svmgate/store"
)

// A syslogMessage is what a server reads.
type syslogMessage struct {
	priority            int
	at                  time.Time
	host, app, pid, mid string
	structure           string
	fields              map[string]string
	text                string
}

// header is the grammar of section 6 up to the structured data.
var header = regexp.MustCompile(`^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,6}(?:Z|[+-]\d\d:\d\d)) ` +
	`([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) \[([!-<>-\\^-~]{1,32})`)

// parseSyslog reads a message by the grammar of RFC 5424, section 6, and nothing else.
func parseSyslog(text string) (m syslogMessage, err error) {
	h := header.FindStringSubmatch(text)
	if h == nil {
		return m, fmt.Errorf("no header in %q", text)
	}
	m.priority, _ = strconv.Atoi(h[1])
	m.host, m.app, m.pid, m.mid, m.structure = h[3], h[4], h[5], h[6], h[7]
	if m.at, err = time.Parse(time.RFC3339Nano, h[2]); err != nil {
		return m, err
	}
	m.fields = map[string]string{}
	rest := text[len(h[0]):]
	for strings.HasPrefix(rest, " ") {
		name, after, ok := strings.Cut(rest[1:], `="`)
		if !ok || name == "" || len(name) > 32 || strings.ContainsAny(name, `= ]"`) {
			return m, fmt.Errorf("no parameter in %q", rest)
		}
		var value []byte
		for i := 0; ; i++ {
			if i >= len(after) || after[i] == ']' {
				return m, fmt.Errorf("no end of %s in %q", name, text)
			}
			if after[i] == '\\' && i+1 < len(after) && strings.IndexByte(`"\]`, after[i+1]) >= 0 {
				i++
			} else if after[i] == '"' {
				rest = after[i+1:]
				break
			}
			value = append(value, after[i])
		}
		m.fields[name] = string(value)
	}
	rest, ok := strings.CutPrefix(rest, "]")
	if !ok {
		return m, fmt.Errorf("no end of the structured data in %q", text)
	}
	if rest == "" {
		return m, nil
	}
	m.text, ok = strings.CutPrefix(rest, " \uFEFF")
	if !ok || !utf8.ValidString(text) {
		return m, fmt.Errorf("no text in UTF-8 in %q", rest)
	}
	return m, nil
}

func TestSyslogMessage(t *testing.T) {
	e := store.Event{
		ID: store.EventID{15: 1}, Time: store.Time{Time: time.Date(2026, 11, 22, 13, 58, 31, 123e6, time.UTC)},
		Type: "admin.tenant_deactivate", Tenant: store.TenantID{15: 4}, Message: `deactivated tenant "ac]me\"`,
		Actor: `CORP\ann "a]"`, From: "10.0.0.1", Before: []byte(`{"status":"active"}`),
	}
	want := `<109>1 2026-11-22T13:58:31.123Z gw-1 svmgate 77 admin.tenant_deactivate [event@32473 ` +
		`id="00000000-0000-0000-0000-000000000001" type="admin.tenant_deactivate" tenant="00000000-0000-0000-0000-000000000004" ` +
		`actor="CORP\\ann \"a\]\"" from="10.0.0.1"] ` + "\uFEFF" + `deactivated tenant "ac]me\"`
	if got := string(appendSyslog(nil, &e, "gw-1", "77")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e = store.Event{ID: store.EventID{15: 1}, Type: "svm.down", Time: e.Time}
	want = `<28>1 2026-11-22T13:58:31.123Z - svmgate 77 svm.down [event@32473 id="00000000-0000-0000-0000-000000000001" type="svm.down"]`
	if got := string(appendSyslog(nil, &e, "", "77")); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if e.Type = "svm.up"; !strings.HasPrefix(string(appendSyslog(nil, &e, "gw", "1")), "<30>") {
		t.Error("svm.up is not daemon.info")
	}
}

// FuzzSyslog: whatever an event has, a message is one line that the grammar knows, and
// says what the event says.
func FuzzSyslog(f *testing.F) {
	f.Add("svm.down", "gw-1", "message", `a"]\`, "10.0.0.1")
	f.Add("x", "", "", "", "")
	f.Add(strings.Repeat("t", 70), strings.Repeat("h ", 200), "\xEF\xBB\xBF\x00\n<13>1 ", "\\", "\n")
	f.Add("ü", "höst", "\xff\u0085\u2028", "]\x80", `"`)
	f.Fuzz(func(t *testing.T, eventType, host, message, actor, from string) {
		e := store.Event{ID: store.EventID{1}, Type: eventType, Message: message, Actor: actor, From: from, Time: store.Time{Time: time.Unix(1, 0)}}
		text := string(appendSyslog(nil, &e, host, "1"))
		m, err := parseSyslog(text)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(text, "\x00\n\r") {
			t.Errorf("more than a line: %q", text)
		}
		for name, value := range map[string]string{"actor": actor, "from": from, "type": eventType} {
			if m.fields[name] != oneLine(value) {
				t.Errorf("%s is %q, want %q", name, m.fields[name], oneLine(value))
			}
		}
		if m.text != oneLine(message) || m.structure != structureID || m.fields["id"] != e.ID.String() {
			t.Errorf("got %+v", m)
		}
	})
}
