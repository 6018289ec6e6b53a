package viis

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/svmgate/svmgate/store"
)

func TestWrittenForm(t *testing.T) {
	at := store.Time{Time: time.Date(2026, 11, 22, 10, 30, 5, 999, time.FixedZone("", 3600))}
	tenant := store.Tenant{
		ID: store.TenantID{15: 1}, Name: `a "b" & <c>`, Description: "one\ntwo", UserData: "<x>1 & 2</x>", Status: store.Active, Created: at, Updated: at,
		Administration: store.Administration{Server: "vs-1", User: "boss"},
	}
	recorded := store.Tenant{ID: store.TenantID{15: 2}}
	vm := store.VM{ID: store.VMID{15: 3}, BIOS: store.BIOSID{15: 4}, Name: "web", UserData: "a]]>b\rc", Created: at}
	running := store.Task{ID: store.TaskID{15: 5}, Type: "CreateTenant", State: store.TaskRunning, Stage: "making the folder", Done: 40, Created: at, StateChanged: at, Changed: at, Error: "not yet"}
	stopping, failed, canceled := running, running, running
	stopping.Canceled = true
	failed.State, failed.Error = store.TaskFailed, "KSC_Error: it said <no>"
	canceled.State = store.TaskCanceled
	const dates, id = `created="2026-11-22T09:30:05" stateChanged="2026-11-22T09:30:05" changed="2026-11-22T09:30:05"`, `00000000-0000-0000-0000-00000000000`
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"complete tenant", appendTenant(nil, &tenant), `<tenant id="` + id + `1" created="2026-11-22T09:30:05" updated="2026-11-22T09:30:05">` +
			"<name>a &#34;b&#34; &amp; &lt;c&gt;</name><description>one\ntwo</description><userData><![CDATA[<x>1 & 2</x>]]></userData>" +
			`<vKsc id="vs-1"><user><name>boss</name></user></vKsc><status>Active</status><type>Complete</type></tenant>`},
		{"a server that is recorded only", appendTenant(nil, &recorded), `<tenant id="` + id + `2" created="" updated=""><name></name><description></description><userData><![CDATA[]]></userData>` +
			`<vKsc id="` + id + `0"><user><name></name></user></vKsc><status>Inactive</status><type>Complete</type></tenant>`},
		{"simple tenant", appendTenant(nil, &store.Tenant{Type: store.Simple, Administration: tenant.Administration}), `<tenant id="` + id + `0" created="" updated=""><name></name><description></description>` +
			`<userData><![CDATA[]]></userData><status>Inactive</status><type>Simple</type></tenant>`},
		{"VM", appendVM(nil, &vm), `<vm id="` + id + `3" biosId="` + id + `4" created="2026-11-22T09:30:05" updated=""><name>web</name>` +
			`<userData><![CDATA[a]]]]><![CDATA[>b]]>&#xD;<![CDATA[c]]></userData></vm>`},
		{"task that runs", appendTask(nil, &running), `<task id="` + id + `5" ` + dates + `><state>Running</state><type>CreateTenant</type><stage>making the folder</stage><progress>40</progress></task>`},
		{"task that somebody wants to end", appendTask(nil, &stopping), `<task id="` + id + `5" ` + dates + `><state>Stopping</state><type>CreateTenant</type><stage>making the folder</stage><progress>40</progress></task>`},
		{"task that failed", appendTask(nil, &failed), `<task id="` + id + `5" ` + dates + `><state>Failed</state><type>CreateTenant</type><stage>making the folder</stage><progress>40</progress><error>KSC_Error: it said &lt;no&gt;</error></task>`},
		{"task that was canceled", appendTask(nil, &canceled), `<task id="` + id + `5" ` + dates + `><state>Canceled</state><type>CreateTenant</type><stage>making the folder</stage><progress>40</progress><error>not yet</error></task>`},
		{"error", appendError(nil, "VIRMT_BadRequest", "<b> & \x00"), "<error><code>VIRMT_BadRequest</code><message>&lt;b&gt; &amp; \uFFFD</message></error>"},
	}
	for _, tt := range tests {
		if got := string(tt.got); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// asXML is what a reader of XML can get of a text.
func asXML(s string) string {
	return strings.Map(func(c rune) rune { // which gets U+FFFD for each byte that is not UTF-8
		if !isXML(c) {
			return '\uFFFD'
		}
		return c
	}, s)
}

// texts draws texts with all that is special to XML, and bytes that are nothing to it.
func texts() *rapid.Generator[string] {
	piece := rapid.SampledFrom([]string{
		"]]>", "]]", ">", "]", "<![CDATA[", "&", "&amp;", "&#13;", "<", "</name>", "<!--", "\"", "'", "\r", "\n", "\r\n", "\t", " ", "é", "漢", "😀", "\uFFFD", "\uFFFE",
		"\x00", "\x0b", "\x7f", "\u0085", "\xff", "\xed\xa0\x80", "x",
	})
	return rapid.Map(rapid.SliceOfN(rapid.OneOf(piece, rapid.StringN(0, 8, -1)), 0, 12), func(list []string) string { return strings.Join(list, "") })
}

// TestWhatIsWrittenIsRead: whatever a tenant's texts are, what is written is XML, and
// says the same to any reader of XML.
func TestWhatIsWrittenIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tenant := store.Tenant{
			Name: texts().Draw(t, "name"), Description: texts().Draw(t, "description"), UserData: texts().Draw(t, "userData"),
			Administration: store.Administration{Server: texts().Draw(t, "server"), User: texts().Draw(t, "user")},
		}
		document := appendTenant([]byte(declared), &tenant)
		var read struct {
			Name        string `xml:"name"`
			Description string `xml:"description"`
			UserData    string `xml:"userData"`
			KSC         struct {
				ID   string `xml:"id,attr"`
				User string `xml:"user>name"`
			} `xml:"vKsc"`
		}
		if err := xml.Unmarshal(document, &read); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		for _, f := range []struct{ name, got, wrote string }{
			{"name", read.Name, tenant.Name}, {"description", read.Description, tenant.Description}, {"userData", read.UserData, tenant.UserData},
			{"vKsc/user/name", read.KSC.User, tenant.Administration.User},
		} {
			if f.got != asXML(f.wrote) {
				t.Errorf("%s was written as %q and read as %q\n%s", f.name, f.wrote, f.got, document)
			}
		}
		if server := tenant.Administration.Server; server != "" && read.KSC.ID != asXML(server) {
			t.Errorf("vKsc id was written as %q and read as %q", server, read.KSC.ID)
		}
	})
}

// TestReaderReadsTheWriter: our reader, too, has every text as it was written.
func TestReaderReadsTheWriter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name, data := texts().Draw(t, "name"), texts().Draw(t, "userData")
		document := appendAttr([]byte(declared+"<vm"), "biosId", aBIOS)
		document = appendElement(append(document, '>'), "name", name)
		document = append(appendUserData(document, data), "</vm>"...)
		if len(asXML(name)) > maxName {
			t.Skip("too long a name")
		}
		vm, err := readVM(document)
		if err != nil || vm.Name != asXML(name) || vm.UserData != asXML(data) {
			t.Errorf("wrote %q and %q, read %q and %q: %v\n%s", name, data, vm.Name, vm.UserData, err, document)
		}
	})
}

func TestDates(t *testing.T) {
	want := time.Date(2026, 11, 22, 9, 30, 5, 0, time.UTC)
	for _, s := range []string{"2026-11-22T09:30:05", "2026-11-22T09:30:05Z", "2026-11-22T11:30:05+02:00"} {
		if got, err := parseDate(s); err != nil || !got.Equal(want) {
			t.Errorf("parseDate(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "2026-11-22", "2026-11-22 09:30:05", "2026-13-22T09:30:05", "now"} {
		if got, err := parseDate(s); err == nil {
			t.Errorf("parseDate(%q) = %v", s, got)
		}
	}
}
