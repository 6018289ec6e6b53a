package inventory

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/store"
)

const (
	bios1 = "4221a0c4-0000-4000-8000-000000000001"
	bios2 = "4221a0c4-0000-4000-8000-000000000002"
)

// readAll returns the items of text; those that could not be read as errors.
func readAll(t testing.TB, f Format, text string) (items []Item, bad []string, err error) {
	t.Helper()
	err = Read(strings.NewReader(text), f, func(item Item) error {
		if item.Err != nil {
			bad = append(bad, item.Err.Error())
		} else {
			items = append(items, item)
		}
		return nil
	})
	return items, bad, err
}

func ptr[T any](v T) *T { return &v }

// TestFormatsAgree: one inventory, four ways to write it.
func TestFormatsAgree(t *testing.T) {
	vm := &VM{
		BIOS: must(store.ParseBIOSID(bios1)), Tenant: &TenantRef{Name: "acme"}, Name: ptr("web, \"1\""),
		OS: ptr(store.OSServer), Kind: ptr(store.AgentLinux),
		Path: &Path{Host: ptr("esx1"), Cluster: ptr("c1"), Zone: ptr("dc1")},
	}
	tenant := &Tenant{Name: ptr("acme"), Type: ptr(store.Simple), Discovery: &Discovery{Locked: ptr(false), AgentVersion: ptr("12.0")}}
	svm := &SVM{
		Name: ptr("svm1"), Address: ptr("10.9.0.7"), Version: ptr("6.10"), Tags: &[]string{"gold"}, Capacity: ptr(500),
		Tenants: &[]TenantRef{{Name: "acme"}}, Kinds: &[]store.AgentKind{store.AgentWindows},
		License: &License{State: ptr(store.LicenseValid)},
	}
	tests := []struct {
		format Format
		text   string
		want   []Item
	}{
		{CSV, CSVHeader + "\n" + bios1 + `,acme,"web, ""1""",server,linux,esx1,c1,dc1`, []Item{{Line: 2, VM: vm}}},
		{NDJSON, `{"vm":{"biosId":"{` + strings.ToUpper(bios1) + `}","tenant":"acme","name":"web, \"\u0031\"","os":"server","kind":"linux","path":{"host":"esx1","cluster":"c1","zone":"dc1"}}}` + "\r\n\n" +
			`{"tenant":{"name":"acme","type":"simple","discovery":{"locked":false,"agentVersion":"12.0"},"revision":9,"created":""}}` + "\n" +
			`{"svm":{"name":"svm1","address":"10.9.0.7","version":"6.10","tags":["gold"],"capacity":500,"tenants":["acme"],"kinds":["windows"],"license":{"state":"valid"}}}`,
			[]Item{{Line: 1, VM: vm}, {Line: 3, Tenant: tenant}, {Line: 4, SVM: svm}}},
		{JSON, `{"vms":[
			{"biosId":"` + bios1 + `","tenant":"acme","name":"web, \"1\"","os":"server","kind":"linux",
			"path":{"host":"esx1","cluster":"c1","zone":"dc1"}}], "tenants" : [
			{"name":"acme","type":"simple","discovery":{"locked":false,"agentVersion":"12.0"}}], "svms":[
			{"name":"svm1","address":"10.9.0.7","version":"6.10","tags":["gold"],"capacity":500,"tenants":["acme"],"kinds":["windows"],"license":{"state":"valid"}}]}`,
			[]Item{{Line: 2, VM: vm}, {Line: 4, Tenant: tenant}, {Line: 5, SVM: svm}}},
		{YAML, "vms:\n- {biosId: " + bios1 + ", tenant: acme, name: 'web, \"1\"', os: server, kind: linux, path: {host: esx1, cluster: c1, zone: dc1}}\n" +
			"tenants:\n- name: acme\n  type: simple\n  discovery:\n    locked: false\n    agentVersion: 12.0\n" +
			"svms:\n- name: svm1\n  address: 10.9.0.7\n  version: 6.10 # not the number 6.1\n  tags: [gold]\n  capacity: 500\n  tenants: [acme]\n  kinds: [windows]\n  license: {state: valid}\n",
			[]Item{{Line: 2, VM: vm}, {Line: 4, Tenant: tenant}, {Line: 10, SVM: svm}}},
	}
	for _, tt := range tests {
		t.Run(tt.format.String(), func(t *testing.T) {
			got, bad, err := readAll(t, tt.format, tt.text)
			if err != nil || bad != nil {
				t.Fatalf("Read: %v, refused %v", err, bad)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Read (-want +got):\n%s", diff)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestBadRecords: what is wrong with one record names line and field and what is
// allowed, and the other records are read.
func TestBadRecords(t *testing.T) {
	good := `{"vm":{"biosId":"` + bios2 + `"}}`
	vm := func(fields string) string { return `{"vm":{"biosId":"` + bios1 + `",` + fields + `}}` }
	tests := []struct {
		name, line, want string
	}{
		{"unknown field", vm(`"bios":1`), `vm.bios: is not a known field; there are biosId, created`},
		{"unknown nested field", vm(`"path":{"rack":"7"}`), `vm.path.rack: is not a known field; there are cluster, host, zone`},
		{"unknown kind", `{"vms":{}}`, `vms: a record is {"tenant": {…}}, {"svm": {…}} or {"vm": {…}}`},
		{"two kinds", `{"vm":{},"svm":{}}`, `a record is {"tenant"`},
		{"wrong word", vm(`"os":"Server"`), `vm.os: "Server" is not one of "", "server", "desktop"`},
		{"doubled key", vm(`"name":"a","name":"b"`), `vm.name: stands twice`},
		{"doubled key in depth", vm(`"path":{"host":"a","host":"b"}`), `vm.path.host: stands twice`},
		{"null", vm(`"name":null`), `vm.name: is null; leave it out, or empty it with ""`},
		{"number for text", vm(`"name":7`), `vm.name: 7 stands where text in quotes must`},
		{"list for text", vm(`"name":["a"]`), `vm.name: a list stands where text in quotes must`},
		{"text for object", vm(`"path":"esx1"`), `vm.path: "esx1" stands where an object must`},
		{"malformed id", `{"vm":{"biosId":"4221"}}`, `vm.biosId: "4221" is not a UUID: 32 hexadecimal digits`},
		{"zero id", `{"vm":{"biosId":"00000000000000000000000000000000"}}`, `vm.biosId: is all zeros`},
		{"no id", `{"vm":{"name":"a"}}`, `vm.biosId: is missing`},
		{"nobody", `{"tenant":{}}`, `tenant: has neither id nor name`},
		{"negative", `{"svm":{"name":"a","capacity":-1}}`, `svm.capacity: -1 is not a whole number from 0 to 2147483647`},
		{"fraction", `{"svm":{"name":"a","hardCap":1.5}}`, `svm.hardCap: 1.5 is not a whole number`},
		{"too large", `{"svm":{"name":"a","capacity":99999999999999999999}}`, `svm.capacity: 99999999999999999999 is not a whole number`},
		{"not a truth", `{"svm":{"name":"a","pinned":"true "}}`, `svm.pinned: "true " is not true or false`},
		{"not a time", `{"svm":{"name":"a","license":{"expires":"tomorrow"}}}`, `svm.license.expires: "tomorrow" is not a time like 2026-01-31T12:00:00Z`},
		{"wrong word in a list", `{"svm":{"name":"a","kinds":["linux","mac"]}}`, `svm.kinds[1]: "mac" is not one of`},
		{"empty name", `{"tenant":{"name":""}}`, `tenant.name: is empty`},
		{"invalid UTF-8", vm("\"name\":\"a\xffb\""), `the line is not valid UTF-8 from byte 65 on`},
		{"half a surrogate", vm(`"name":"\ud800x"`), `\ud800 is half a character`},
		{"control character", vm("\"name\":\"a\tb\""), `control character '\t'; write it as \u0009`},
		{"bad escape", vm(`"name":"\x41"`), `\x is not an escape of JSON`},
		{"leading zero", `{"svm":{"name":"a","capacity":007}}`, `"007" is not a number of JSON`},
		{"no quotes", vm(`"name":web`), `"web" is not JSON; text stands in double quotes`},
		{"cut off", `{"vm":{"biosId":"`, `the JSON ends in the middle`},
		{"trailing comma", `{"vm":{"biosId":"` + bios1 + `",}}`, `'}' stands where '"' must`},
		{"two records on a line", good + good, `'{' follows the end of the JSON`},
		{"too deep", vm(`"path":` + strings.Repeat("[", 100)), `nested more than 8 deep`},
		{"too many fields", vm(manyFields(100)), `vm: has more than 64 fields`},
		{"too many elements", `{"svm":{"name":"a","tags":[""` + strings.Repeat(`,""`, 1024) + `]}}`, `svm.tags: has more than 1024 elements`},
		{"too long", vm(`"userData":"` + strings.Repeat("x", MaxRecord) + `"`), `the line is longer than 1048576 bytes`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			items, bad, err := readAll(t, NDJSON, "\n"+tt.line+"\n"+good+"\n")
			if err != nil {
				t.Fatalf("Read: %v", err)
			}
			if len(bad) != 1 || !strings.HasPrefix(bad[0], "line 2: ") || !strings.Contains(bad[0], tt.want) {
				t.Errorf("refused %.300q,\nwant one, with line 2 and %s", bad, tt.want)
			}
			if len(items) != 1 || items[0].Line != 3 {
				t.Errorf("read %+v, want the record of line 3", items)
			}
		})
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"f%d":1,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// TestCSVLine17: the example of a file of which one line is broken.
func TestCSVLine17(t *testing.T) {
	row := func(i int) string {
		return fmt.Sprintf("4221a0c4-0000-4000-8000-%012d,acme,vm%d,server,linux,h,c,z", i, i)
	}
	tests := []struct{ name, line, want string }{
		{"open quote", `"4221,acme`, `line 17: field 1 opens a quote and does not close it on this line`},
		{"quote inside", `4221,ac"me,a,,,,,`, `line 17: a quote stands inside field 2`},
		{"after a quote", `"4221"x,acme,a,,,,,`, `line 17: field 1 goes on after its closing quote`},
		{"too few", `4221,acme`, `line 17: the line has 2 fields and must have 8: ` + CSVHeader},
		{"too many", row(16) + ",x", `line 17: the line has 9 fields`},
		{"bad id", "4221,acme,a,server,linux,h,c,z", `line 17: vm.biosId: "4221" is not a UUID`},
		{"no id", ",acme,a,server,linux,h,c,z", `line 17: vm.biosId: is missing`},
		{"bad word", strings.Replace(row(16), "server", "srv", 1), `line 17: vm.os: "srv" is not one of`},
		{"doubled", row(4), `line 17: vm.biosId: 4221a0c4-0000-4000-8000-000000000004 is on line 5 already`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines := []string{CSVHeader}
			for i := 1; i < 16; i++ {
				lines = append(lines, row(i))
			}
			lines = append(lines, tt.line)
			for i := 17; i < 20; i++ {
				lines = append(lines, row(i))
			}
			items, bad, err := readAll(t, CSV, strings.Join(lines, "\r\n"))
			if err != nil {
				t.Fatal(err)
			}
			if len(bad) != 1 || !strings.HasPrefix(bad[0], tt.want) {
				t.Errorf("refused %q, want %q", bad, tt.want)
			}
			if len(items) != 18 {
				t.Errorf("%d records were read, want 18", len(items))
			}
		})
	}
}

// TestDoubles: the later of two records for one thing is refused.
func TestDoubles(t *testing.T) {
	tests := []struct{ name, one, other, want string }{
		{"BIOS ID in another form", `{"vm":{"biosId":"` + bios1 + `"}}`, `{"vm":{"biosId":"` + strings.ReplaceAll(bios1, "-", "") + `"}}`, "vm.biosId: " + bios1},
		{"VM id", `{"vm":{"biosId":"` + bios1 + `","id":"` + bios1 + `"}}`, `{"vm":{"biosId":"` + bios2 + `","id":"` + bios1 + `"}}`, "vm.id: " + bios1},
		{"tenant name", `{"tenant":{"name":"a"}}`, `{"tenant":{"name":"a","id":"` + bios1 + `"}}`, "tenant.name: a"},
		{"tenant id", `{"tenant":{"id":"` + bios1 + `"}}`, `{"tenant":{"id":"` + bios1 + `"}}`, "tenant.id: " + bios1},
		{"SVM name", `{"svm":{"name":"a"}}`, `{"svm":{"name":"a"}}`, "svm.name: a"},
		{"SVM id", `{"svm":{"id":"` + bios1 + `"}}`, `{"svm":{"id":"` + bios1 + `"}}`, "svm.id: " + bios1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			items, bad, err := readAll(t, NDJSON, tt.one+"\n"+tt.other+"\n")
			if err != nil || len(items) != 1 || len(bad) != 1 ||
				!strings.HasPrefix(bad[0], "line 2: "+tt.want+" is on line 1 already") {
				t.Errorf("Read = %v, %d records, refused %q; want %q refused", err, len(items), bad, tt.want)
			}
		})
	}
}

// TestBrokenDocuments: what can not be read to its end says where and why.
func TestBrokenDocuments(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%c [%s*%c]\n", c, c, strings.Repeat(fmt.Sprintf("*%c,", c-1), 8), c-1)
	}
	tests := []struct {
		name   string
		format Format
		text   string
		want   string
	}{
		{"byte order mark", CSV, "\xef\xbb\xbf" + CSVHeader, "line 1: the file starts with a byte order mark; save it as UTF-8 without one"},
		{"byte order mark in YAML", YAML, "\xef\xbb\xbfvms: []", "line 1: the file starts with a byte order mark"},
		{"byte order mark in NDJSON", NDJSON, "\xef\xbb\xbf{}", "line 1: the file starts with a byte order mark"},
		{"UTF-16", JSON, "\xff\xfe{\x00", "line 1: the file is UTF-16"},
		{"empty CSV", CSV, "", "line 1: the file is empty; the first line must be biosId,"},
		{"CSV without header", CSV, bios1 + ",acme", `line 1: the first line is "4221a0c4`},
		{"CSV with another header", CSV, strings.Replace(CSVHeader, "zone", "dc", 1), `must be ` + CSVHeader},
		{"JSON list", JSON, "[]", `line 1: '[' stands where '{' must`},
		{"JSON of the future", JSON, "{\n\"hosts\":[]}", `line 2: "hosts" is not a known field; there are svms, tenants, vms`},
		{"JSON twice", JSON, "{\"vms\":[],\n\"vms\":[]}", `line 2: vms: stands twice`},
		{"JSON cut off", JSON, "{\"vms\":[\n{\"biosId\":\"" + bios1 + "\"},\n", `line 3: the JSON ends in the middle`},
		{"JSON goes on", JSON, "{\"vms\":[]}\n{", `line 2: '{' follows the end of the JSON`},
		{"JSON record cut off", JSON, "{\"vms\":[\n{\"biosId\" \"" + bios1 + "\"}]}", `line 2: '"' stands where ':' must`},
		{"JSON invalid UTF-8", JSON, "{\"vms\":[\n{\"name\":\"\xc3\x28\"}]}", "line 2: text \"\\xc3(\" is not valid UTF-8"},
		{"JSON record too long", JSON, "{\"vms\":[\n{\"name\":\"" + strings.Repeat("x", MaxRecord) + "\"}]}", "line 2: a record is longer than 1048576 bytes"},
		{"JSON too long between records", JSON, "{\"vms\":[" + strings.Repeat(" ", MaxRecord+10) + "]}", "line 1: a record is longer than"},
		{"YAML list", YAML, "- a", "line 1: the document must be {tenants: […]"},
		{"YAML of the future", YAML, "vms: []\nhosts: []\n", `line 2: "hosts" is not a known field`},
		{"YAML no list", YAML, "vms:\n", `line 1: vms: must be a list`},
		{"YAML broken", YAML, "vms:\n- {biosId: a\n", `line 3: the YAML can not be read: `},
		{"YAML two documents", YAML, "vms: []\n---\nvms: []\n", `the YAML can not be read: `},
		{"YAML empty", YAML, "", `the YAML can not be read: `},
		{"YAML invalid UTF-8", YAML, "vms:\n- \xff", `line 2: the text is not valid UTF-8`},
		{"YAML alias bomb", YAML, bomb + "vms: [*j]\n", `line 1: "a" is not a known field`},
		{"YAML too deep", YAML, "vms: " + strings.Repeat("[", 10000), `the YAML can not be read: `},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, bad, err := readAll(t, tt.format, tt.text)
			var at *Error
			if !errors.As(err, &at) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Read = %.300v (refused %.300v), want %s", err, bad, tt.want)
			}
		})
	}
}

// TestYAMLRecords: YAML's own ways to be wrong.
func TestYAMLRecords(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"alias", "svms:\n- {name: &n a, address: *n}", "line 2: svm.address: anchors and aliases are not read"},
		{"merge key", "vms:\n- &a {biosId: " + bios1 + "}\n- <<: *a\n", "line 3: vm.<<: anchors and aliases are not read"},
		{"null", "tenants:\n- name:\n", "line 2: tenant.name: is null"},
		{"yes", "svms:\n- name: a\n  pinned: yes\n", `line 3: svm.pinned: "yes" is not true or false`},
		{"quoted number", "svms:\n- name: a\n  capacity: '5'\n", `line 3: svm.capacity: "5" is not a whole number`},
		{"octal", "svms:\n- name: a\n  capacity: 010\n", `line 3: svm.capacity: "010" is not a whole number`},
		{"tag", "svms:\n- name: !!binary aGk=\n", `line 2: svm.name: the tag !!binary is not read`},
		{"list as key", "svms:\n- ? [a]\n  : b\n", `line 2: svm: a key must be the name of a field`},
		{"doubled key", "svms:\n- name: a\n  name: b\n", `line 3: svm.name: stands twice`},
		{"scalar", "svms:\n- svm1\n", `line 2: svm: "svm1" stands where an object must`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, bad, err := readAll(t, YAML, tt.text)
			if err != nil || len(bad) != 1 || !strings.Contains(bad[0], tt.want) {
				t.Errorf("Read = %v, refused %q, want %q", err, bad, tt.want)
			}
		})
	}
}

// TestReaderErrors: an input that fails, and a consumer that stops, end the
// reading with their own error.
func TestReaderErrors(t *testing.T) {
	broken := errors.New("connection lost")
	for f, text := range map[Format]string{
		YAML: "vms: []", JSON: `{"vms":[`, NDJSON: "", CSV: CSVHeader + "\n",
	} {
		r := io.MultiReader(strings.NewReader(text), &failingReader{broken})
		if err := Read(r, f, func(Item) error { return nil }); !errors.Is(err, broken) {
			t.Errorf("%v: Read = %v, want %v", f, err, broken)
		}
	}
	stop := errors.New("stop")
	for f, text := range map[Format]string{
		YAML: "vms: [{biosId: " + bios1 + "}]", JSON: `{"vms":[{"biosId":"` + bios1 + `"}]}`,
		NDJSON: `{"vm":{"biosId":"` + bios1 + `"}}`, CSV: CSVHeader + "\n" + bios1 + ",,,,,,,",
	} {
		if err := Read(strings.NewReader(text), f, func(Item) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("%v: Read = %v, want %v", f, err, stop)
		}
	}
}

type failingReader struct{ err error }

func (r *failingReader) Read([]byte) (int, error) { return 0, r.err }

// TestYAMLBound: YAML is held as a whole, so it ends somewhere.
func TestYAMLBound(t *testing.T) {
	big := io.MultiReader(strings.NewReader("vms: []\n"), io.LimitReader(blanks{}, MaxYAML))
	if err := Read(big, YAML, func(Item) error { return nil }); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Read = %v, want %v", err, ErrTooLarge)
	}
}

type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

// TestDetect: a file is known by its name, standard input by how it starts.
func TestDetect(t *testing.T) {
	tests := []struct {
		name, head string
		want       Format
	}{
		{"a.YML", "{", YAML},
		{"a.json", "", JSON},
		{"a.jsonl", "", NDJSON},
		{"a.csv", "", CSV},
		{"-", CSVHeader + "\n", CSV},
		{"-", "\n# vms\nvms: []", YAML},
		{"-", `{"vms":[`, JSON},
		{"-", ` { "vm": {`, NDJSON},
		{"inventory", `{"tenant":{`, NDJSON},
	}
	for _, tt := range tests {
		if got := Detect(tt.name, []byte(tt.head)); got != tt.want {
			t.Errorf("Detect(%q, %q) = %v, want %v", tt.name, tt.head, got, tt.want)
		}
	}
	for f := range Format(4) {
		if got, err := FormatOf(f.MediaType() + "; charset=UTF-8"); err != nil || got != f {
			t.Errorf("FormatOf(%q) = %v, %v", f.MediaType(), got, err)
		}
	}
	if _, err := FormatOf("application/xml"); err == nil || !strings.Contains(err.Error(), "text/csv") {
		t.Errorf("FormatOf(application/xml) = %v, want what is allowed", err)
	}
}

// TestWriteReadsEqual: what Write writes, Read reads.
func TestWriteReadsEqual(t *testing.T) {
	items := []Item{
		{Tenant: &Tenant{ID: TenantIDOf("a"), Name: ptr("a: b # c"), Description: ptr("two\nlines\n"), Status: ptr(store.Active), Subnets: &[]string{}}},
		{SVM: &SVM{Name: ptr("yes"), Version: ptr("6.0"), Address: ptr("10.0.0.1"), Pinned: ptr(true), Capacity: ptr(0), License: &License{Expires: ptr(store.Time{})}}},
		{VM: &VM{BIOS: must(store.ParseBIOSID(bios1)), Tenant: &TenantRef{}, Name: ptr("null"), UserData: ptr("<&>\u2028\x00\u00e9\U0001f600"), OS: ptr(store.OSUnknown), Path: &Path{}}},
	}
	for _, f := range []Format{YAML, JSON, NDJSON} {
		var b bytes.Buffer
		if err := Write(&b, f, items); err != nil {
			t.Fatalf("Write(%v): %v", f, err)
		}
		got, bad, err := readAll(t, f, b.String())
		if err != nil || bad != nil {
			t.Fatalf("%v: Read(Write): %v, refused %v\n%s", f, err, bad, b.String())
		}
		for i := range got {
			got[i].Line = 0
		}
		if diff := cmp.Diff(items, got); diff != "" {
			t.Errorf("%v: Read(Write) (-want +got):\n%s\n%s", f, diff, b.String())
		}
	}
}
