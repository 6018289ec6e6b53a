package inventory

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// The law of all formats: no input panics; an item is either usable or says
// why, with a line; and what is read, written and read again is equal.
//
//	go test -fuzz FuzzReadNDJSON -fuzztime 1m ./cmd/svmgate/internal/inventory
func fuzzFormat(f *testing.F, format Format) {
	f.Fuzz(func(t *testing.T, text []byte) {
		text = text[:min(len(text), 64<<10)]
		var items []Item
		_ = Read(bytes.NewReader(text), format, func(item Item) error {
			if item.Line < 1 || item.Line > bytes.Count(text, []byte("\n"))+bytes.Count(text, []byte("\r"))+1 {
				t.Fatalf("line %d of an input of %d lines", item.Line, bytes.Count(text, []byte("\n"))+1)
			}
			if item.Err == nil {
				item.Line = 0
				items = append(items, item)
			}
			return nil
		})
		for _, out := range []Format{NDJSON, YAML} {
			var b bytes.Buffer
			if err := Write(&b, out, items); err != nil {
				t.Fatalf("Write(%v): %v", out, err)
			}
			var again []Item
			err := Read(bytes.NewReader(b.Bytes()), out, func(item Item) error {
				if item.Err != nil {
					return item.Err
				}
				item.Line = 0
				again = append(again, item)
				return nil
			})
			if err != nil {
				t.Fatalf("Read(Write(%v)): %v\n%q", out, err, b.Bytes())
			}
			want := items
			if out == YAML {
				want = byKind(items)
			}
			if diff := cmp.Diff(want, again); diff != "" {
				t.Fatalf("Read(Write(%v)) (-want +got):\n%s\n%q", out, diff, b.Bytes())
			}
		}
	})
}

// byKind is the order of the document forms.
func byKind(items []Item) (out []Item) {
	for _, is := range []func(Item) bool{
		func(i Item) bool { return i.Tenant != nil },
		func(i Item) bool { return i.SVM != nil },
		func(i Item) bool { return i.VM != nil },
	} {
		for _, item := range items {
			if is(item) {
				out = append(out, item)
			}
		}
	}
	return out
}

func FuzzReadNDJSON(f *testing.F) {
	f.Add([]byte(`{"vm":{"biosId":"` + bios1 + `","tenant":"acme","os":"server","kind":"linux","path":{"host":"h"},"userData":"\u0000\ud83d\ude00"}}` + "\n"))
	f.Add([]byte("\r\n" + `{"tenant":{"name":"acme","type":"simple","status":"active","subnets":["10.0.0.0/8"],"discovery":{"locked":false}}}`))
	f.Add([]byte(`{"svm":{"name":"s","address":"10.0.0.1","capacity":7,"tenants":["acme",""],"kinds":["windows"],"license":{"expires":"2026-01-31T12:00:00+01:00"},"lastReport":""}}`))
	fuzzFormat(f, NDJSON)
}

func FuzzReadCSV(f *testing.F) {
	f.Add([]byte(CSVHeader + "\n" + bios1 + ",acme,\"a \"\"b\"\", c\",server,linux,h,c,z\r\n" + bios2 + ",,,,,,,\n"))
	f.Add([]byte(CSVHeader + "\n\"" + bios1 + "\",\"acme"))
	fuzzFormat(f, CSV)
}

func FuzzReadYAML(f *testing.F) {
	f.Add([]byte("tenants:\n- name: acme\n  description: |\n    two\n    lines\n  discovery: {locked: false, agentVersion: 12.0}\n"))
	f.Add([]byte("svms:\n- name: s\n  address: 10.0.0.1\n  tags: [a, \"\\0\"]\nvms:\n- {biosId: " + bios1 + ", os: '', path: {host: ~}}\n"))
	f.Add([]byte("vms: [&a {biosId: " + bios2 + "}, *a]\n"))
	fuzzFormat(f, YAML)
}

func FuzzReadJSON(f *testing.F) {
	f.Add([]byte("{\"vms\":[\n{\"biosId\":\"" + bios1 + "\",\"path\":{\"zone\":\"z\"}}], \"svms\":[], \"tenants\":[{\"name\":\"a\"},\n{}]}"))
	f.Add([]byte(`{"svms":[{"name":"s","connectedAgents":12,"encryption":true}]`))
	fuzzFormat(f, JSON)
}

// FuzzJSONText: the strict reader accepts only JSON, and refuses of it only what
// it says it refuses.
func FuzzJSONText(f *testing.F) {
	f.Add([]byte(`{"a":[1,-0.5e+3,true,null,"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"],"b":{}}`))
	f.Add([]byte(`[01]`))
	f.Add([]byte("[1 \x003]"))
	f.Add([]byte("{\"a\"\x00 1}"))
	f.Add([]byte("1 \x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		j := newJSONText(bufio.NewReader(bytes.NewReader(text)), 1)
		v := j.value(maxDepth)
		j.end()
		switch valid := json.Valid(text); {
		case j.err == nil && !valid:
			t.Errorf("%q is not JSON and was accepted", text)
		case j.err != nil && valid && utf8.Valid(text) && !bytes.Contains(text, []byte(`\u`)) &&
			!strings.Contains(j.err.Error(), "nested more than"):
			t.Errorf("%q is JSON and was refused: %v", text, j.err)
		case j.err == nil && v.kind == kindText:
			var want string
			if err := json.Unmarshal(text, &want); err != nil || want != v.text {
				t.Errorf("%q was read as %q, want %q (%v)", text, v.text, want, err)
			}
		}
	})
}
