package protection

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/svmgate/svmgate/store"
)

// march is a book of which it is noon on 2026-03-20, with what a report is made of: a
// VM of a tenant with two periods, and one of no tenant with one.
func march(t *testing.T) *Book {
	t.Helper()
	clock := func() time.Time { return at("2026-03-20T12:00:00.7Z") }
	b, err := New(Config{Table: newTable(t, 2, func(c *store.Config) { c.Clock = clock }), Collect: true, Clock: clock})
	check(t, err)
	_, _, err = b.Take([]Session{
		{aVM(1), at("2026-03-01T00:00:00Z"), at("2026-03-03T23:59:59Z")},
		{aVM(1), at("2026-03-10T08:00:00Z"), at("2026-03-20T11:00:00Z")},
		{aVM(0), at("2026-03-15T08:00:00Z"), at("2026-03-15T08:00:00Z")},
	})
	check(t, err)
	return b
}

func TestCSV(t *testing.T) {
	lines := strings.Split(march(t).report(t, Query{}), "\n")
	if len(lines) != 4 || lines[3] != "" {
		t.Fatalf("%q: want three lines", lines)
	}
	if strings.HasPrefix(lines[0], ";") { // VMs have no order
		lines = []string{lines[1], lines[2], lines[0]}
	}
	const tenant, vm = "01000000-0000-0000-0000-000000000000;acme;", "09000000-0000-0000-0000-00000000000"
	for i, want := range []string{
		tenant + vm + "1;vm 1;2026-03-01T00:00:00;2026-03-03T23:59:59",
		tenant + vm + "1;vm 1;2026-03-10T00:00:00;2026-03-20T23:59:59",
		";;" + vm + "0;vm 0;2026-03-15T00:00:00;2026-03-15T23:59:59",
	} {
		if lines[i] != want {
			t.Errorf("line %d is\n%s, want\n%s", i, lines[i], want)
		}
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	check(t, march(t).Write(&out, JSON, Query{Tenant: &acme}))
	var got struct {
		Collecting    bool             `json:"collecting"`
		ReliableUntil string           `json:"reliableUntil"`
		Items         []map[string]any `json:"items"`
	}
	check(t, json.Unmarshal(out.Bytes(), &got))
	if !got.Collecting || got.ReliableUntil != "2026-03-20T11:00:00Z" || len(got.Items) != 2 {
		t.Errorf("it is %s", out.Bytes())
	}
	for name, want := range map[string]any{
		"tenant": acme.String(), "tenantName": "acme", "biosId": aVM(1).String(), "id": aVM(1).String(), "name": "vm 1",
		"on": "2026-03-10T00:00:00Z", "off": "2026-03-20T23:59:59Z", "days": 11.0,
	} {
		if got.Items[1][name] != want {
			t.Errorf("%s is %v, want %v", name, got.Items[1][name], want)
		}
	}
	off, err := New(Config{Table: newTable(t, 0)})
	check(t, err)
	out.Reset()
	check(t, off.Write(&out, JSON, Query{}))
	if check(t, json.Unmarshal(out.Bytes(), &got)); got.Collecting || len(got.Items) != 0 || !strings.Contains(out.String(), `"items":[`) {
		t.Errorf("with collection off it is %s", out.Bytes())
	}
}

func TestQuery(t *testing.T) {
	b := march(t)
	nobody, none := store.TenantID{7}, store.TenantID{}
	first, second, other := "vm 1 2026-03-01 2026-03-03\n", "vm 1 2026-03-10 2026-03-20\n", "vm 0 2026-03-15 2026-03-15\n"
	for name, tt := range map[string]struct {
		tenant   *store.TenantID
		from, to string
		want     string
	}{
		"everything":               {want: other + first + second},
		"a tenant":                 {tenant: &acme, want: first + second},
		"no tenant":                {tenant: &none, want: other},
		"another tenant":           {tenant: &nobody},
		"from a moment":            {from: "2026-03-15T18:00:00Z", want: other + "vm 1 2026-03-15 2026-03-20\n"},
		"to a moment":              {to: "2026-03-02T18:00:00Z", want: "vm 1 2026-03-01 2026-03-02\n"},
		"to midnight":              {to: "2026-03-02T00:00:00Z", want: "vm 1 2026-03-01 2026-03-01\n"},
		"a month":                  {from: "2026-03-01T00:00:00Z", to: "2026-04-01T00:00:00Z", want: other + first + second},
		"a day":                    {from: "2026-03-02T00:00:00Z", to: "2026-03-03T00:00:00Z", want: "vm 1 2026-03-02 2026-03-02\n"},
		"a moment":                 {from: "2026-03-02T00:00:00Z", to: "2026-03-02T00:00:00Z", want: "vm 1 2026-03-02 2026-03-02\n"},
		"between":                  {from: "2026-03-04T00:00:00Z", to: "2026-03-10T00:00:00Z"},
		"what is yet to come":      {from: "2026-03-21T00:00:00Z"},
		"what is long ago":         {to: "2020-01-01T00:00:00Z"},
		"before and after all":     {from: "1000-01-01T00:00:00Z", to: "9000-01-01T00:00:00Z", want: other + first + second},
		"days of UTC, as it seems": {from: "2026-03-02T23:30:00-01:00", to: "2026-03-03T00:00:00-01:00", want: "vm 1 2026-03-03 2026-03-03\n"},
	} {
		q := Query{Tenant: tt.tenant}
		if tt.from != "" {
			q.From = at(tt.from)
		}
		if tt.to != "" {
			q.To = at(tt.to)
		}
		if got := b.days(q); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// A report ends where its reader does.
func TestWriteStops(t *testing.T) {
	b := newBook(t, newTable(t, 3000))
	var all []Session
	for n := range 3000 {
		all = append(all, Session{aVM(n), time.Now(), time.Now()})
	}
	_, _, err := b.Take(all)
	check(t, err)
	for _, form := range []Form{CSV, JSON} {
		w := &limited{left: 70_000}
		if err := b.Write(w, form, Query{}); !errors.Is(err, errFull) || w.calls > 2 {
			t.Errorf("the error is %v, after %d writes", err, w.calls)
		}
	}
}

// limited takes so many bytes.
type limited struct{ left, calls int }

func (w *limited) Write(p []byte) (int, error) {
	w.calls++
	if w.left -= len(p); w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// Whatever names are, a reader of CSV gets them back, and one line of a report never
// becomes two records.
func FuzzCSV(f *testing.F) {
	for _, name := range []string{"", "vm", "a;b", `a"b`, `"`, `""`, "a\nb", "\r", "\r\n", "=cmd|' /C calc'!A0", " ", "x ", "ä", "\ufeff", "a;b\";\n\"c", "\x00", "\xff"} {
		f.Add(name, name)
	}
	f.Fuzz(func(t *testing.T, tenant, vm string) {
		if len(tenant)+len(vm) > 1000 {
			return
		}
		p := Period{&store.Protection{Tenant: acme, TenantName: tenant, Name: vm}, 20000, 20001}
		text := p.appendCSV(p.appendCSV(nil))
		r := csv.NewReader(bytes.NewReader(text))
		r.Comma = ';'
		records, err := r.ReadAll()
		if err != nil || len(records) != 2 {
			t.Fatalf("%q: %d records, %v", text, len(records), err)
		}
		for _, fields := range records {
			// The reader takes CR LF for a line feed within quotes, too.
			if len(fields) != 6 || fields[1] != strings.ReplaceAll(tenant, "\r\n", "\n") || fields[3] != strings.ReplaceAll(vm, "\r\n", "\n") {
				t.Errorf("%q was read as %q", text, fields)
			}
		}
		if line := p.appendJSON(nil); !json.Valid(line) || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("%q is no line of JSON", line)
		} else if utf8.ValidString(vm) {
			var back struct {
				Name string
				Days int
			}
			if err := json.Unmarshal(line, &back); err != nil || back.Name != vm || back.Days != 2 {
				t.Errorf("%s was read as %+v, %v", line, back, err)
			}
		}
	})
}
