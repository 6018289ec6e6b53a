package adminapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/store"
)

// collecting has the API collect days of protection.
func collecting(t *testing.T) func(*Config) {
	return func(c *Config) {
		t.Helper()
		var err error
		c.Protection, err = protection.New(protection.Config{Table: c.Table, Collect: true})
		check(t, err)
	}
}

const (
	reportPath = "/v1/reports/protection"
	ndjson     = "application/x-ndjson"
)

var sessionsPath = "/v1/svms/" + ownSVM.String() + "/sessions"

func session(vm store.BIOSID, from, to time.Time) string {
	return fmt.Sprintf(`{"biosId":"%s","from":"%s","to":"%s"}`+"\n", vm, from.UTC().Format(time.RFC3339), to.UTC().Format(time.RFC3339))
}

func TestSessions(t *testing.T) {
	w := newWorld(t, collecting(t))
	now := time.Now().UTC()
	stranger := store.BIOSID{15: 99}
	body := session(w.vm, now.AddDate(0, 0, -2), now) + // 1
		"\r\n" + // 2
		"  " + session(w.vm, now.AddDate(0, 0, -1), now) + // 3: known
		session(stranger, now, now) + // 4
		session(w.vm, now, now.Add(-time.Second)) + // 5
		session(w.vm, now, now.Add(2*time.Minute)) + // 6
		session(w.vm, now.AddDate(-2, 0, 0), now.AddDate(-2, 0, 1)) + // 7
		"nonsense\n" + // 8
		`{"biosId":"` + w.vm.String() + `","from":"` + now.Format(time.RFC3339) + `"}` + "\n" + // 9
		`{"biosId":"17","from":"","to":""}` + "\n" + // 10
		`{"biosId":"` + w.vm.String() + `","from":"yesterday","to":"today"}` + "\n" + // 11
		`{"biosId":"` + w.vm.String() + `","svm":""}` // 12
	a := w.as("appliance", "POST", sessionsPath, body, "Content-Type", ndjson)
	var got struct {
		Changed, Unchanged int
		Refused            []struct {
			Line   int
			Reason string
		}
	}
	check(t, json.Unmarshal([]byte(a.body), &got))
	if a.status != 200 || got.Changed != 1 || got.Unchanged != 1 || len(got.Refused) != 9 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for i, says := range []string{"no VM is registered", "before from", "in the future", "too long ago", "invalid character", "from and to must be given", "biosId", "from: ", `"svm" is unknown`} {
		if r := got.Refused[i]; r.Line != i+4 || !strings.Contains(r.Reason, says) {
			t.Errorf("line %d is refused with %q, want line %d with %q", r.Line, r.Reason, i+4, says)
		}
	}
	p, ok := w.table.Protection(w.tenant, w.vm)
	if !ok || p.Days.Len() != 3 {
		t.Errorf("protected on %d days, want 3", p.Days.Len())
	}
	one := session(w.vm, now, now)
	if a := w.as("root", "POST", sessionsPath, one); a.status != 200 || !strings.Contains(a.body, `"unchanged":1`) {
		t.Errorf("one session as JSON: %d %s", a.status, a.body)
	}
	if a := w.as("root", "POST", sessionsPath, "", "Content-Type", ndjson); a.status != 200 || !strings.Contains(a.body, `"refused":[]`) {
		t.Errorf("no session: %d %s", a.status, a.body)
	}
	other := strings.Replace(sessionsPath, "a1/", "a2/", 1)
	for _, tt := range []struct {
		account, path, body, media string
		status                     int
		code                       string
	}{
		{"appliance", other, one, ndjson, 403, "forbidden"},
		{"root", other, one, ndjson, 404, "svm_not_found"},
		{"root", "/v1/svms/17/sessions", one, ndjson, 400, "invalid_id"},
		{"root", sessionsPath, one, "text/csv", 415, "unsupported_media_type"},
		{"root", sessionsPath, strings.Repeat("\n", maxSessions+1), ndjson, 413, "body_too_large"},
		{"root", sessionsPath + "?x=1", one, ndjson, 400, "unknown_parameter"},
	} {
		if a := w.as(tt.account, "POST", tt.path, tt.body, "Content-Type", tt.media); a.status != tt.status || a.code() != tt.code {
			t.Errorf("POST %s as %s: %d %s, want %d %s", tt.path, tt.account, a.status, a.code(), tt.status, tt.code)
		}
	}
	// Of a body that is too long the rest is not read, and who still sends it may miss the answer.
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI(sessionsPath)
	ctx.Request.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("root:"+password)))
	ctx.Request.Header.SetContentType(ndjson)
	ctx.Request.SetBodyStream(strings.NewReader(strings.Repeat(" ", maxSessionBytes+1)), maxSessionBytes+1)
	if w.api.Handler(&ctx); ctx.Response.StatusCode() != 413 {
		t.Errorf("a body that is too long: %d %s, want 413", ctx.Response.StatusCode(), ctx.Response.Body())
	}
}

// Ten thousand sessions, as an SVM of large infrastructures has, are taken at once.
func TestManySessions(t *testing.T) {
	w := newWorld(t, collecting(t))
	now := time.Now()
	a := w.as("appliance", "POST", sessionsPath, strings.Repeat(session(w.vm, now, now), maxSessions), "Content-Type", ndjson)
	if a.status != 200 || !strings.Contains(a.body, `"changed":1,"unchanged":9999`) {
		t.Errorf("%d %.200s", a.status, a.body)
	}
}

func TestProtectionOff(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	if a := w.as("appliance", "POST", sessionsPath, session(w.vm, now, now), "Content-Type", ndjson); a.status != 409 || a.code() != "collection_off" || !strings.Contains(a.body, "--protection-reports") {
		t.Errorf("a session: %d %s", a.status, a.body)
	}
	a := w.must(200, "GET", reportPath, "")
	if a.header.Get("Svmgate-Collecting") != "false" || !strings.Contains(a.body, `"collecting":false`) || !strings.Contains(a.body, `"items":[`) {
		t.Errorf("%v %s", a.header, a.body)
	}
	if a := w.must(200, "GET", reportPath+"?format=csv", ""); a.body != "" {
		t.Errorf("%q", a.body)
	}
}

func TestReportProtection(t *testing.T) {
	w := newWorld(t, collecting(t))
	now := time.Now().UTC()
	day := func(ago int) string { return now.AddDate(0, 0, -ago).Format(time.DateOnly) }
	other := store.BIOSID{15: 0xB2}
	w.must(201, "PUT", "/v1/vms/"+other.String(), `{"name":"a;b"}`)
	w.must(200, "POST", sessionsPath, session(w.vm, now.AddDate(0, 0, -9), now.AddDate(0, 0, -5))+session(other, now, now), "Content-Type", ndjson)

	a := w.as("watcher", "GET", reportPath, "")
	var got struct{ Items []map[string]any }
	check(t, json.Unmarshal([]byte(a.body), &got))
	if a.status != 200 || len(got.Items) != 2 || a.header.Get("Content-Type") != "application/json" || a.header.Get("Svmgate-Collecting") != "true" {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	until, err := time.Parse(time.RFC3339, a.header.Get("Svmgate-Reliable-Until"))
	if ago := time.Since(until); err != nil || ago < time.Hour || ago > time.Hour+time.Minute {
		t.Errorf("it is reliable until %v, %v", until, err)
	}
	vm, _ := w.table.VM(w.vm)
	stranger, _ := w.table.VM(other)
	line := w.tenant.String() + ";acme;" + vm.ID.String() + ";web-1;"
	whole := line + day(9) + "T00:00:00;" + day(5) + "T23:59:59\n"
	for _, tt := range []struct{ query, accept, want string }{
		{"?format=csv&tenant=" + w.tenant.String(), "", whole},
		{"?tenant=" + w.tenant.String(), "text/csv", whole},
		{"?tenant=" + w.tenant.String(), "text/html, application/CSV;q=0.9, application/json;q=0.1", whole},
		{"?format=csv&tenant=00000000-0000-0000-0000-000000000000", "", ";;" + stranger.ID.String() + `;"a;b";` + day(0) + "T00:00:00;" + day(0) + "T23:59:59\n"},
		{"?format=csv&tenant=" + other.String(), "application/json", ""},
		{"?format=csv&from=" + day(8) + "&to=" + day(7), "", line + day(8) + "T00:00:00;" + day(7) + "T23:59:59\n"},
		{"?format=csv&from=" + day(8) + "T10:00:00Z&to=" + day(6) + "T00:00:00Z", "", line + day(8) + "T00:00:00;" + day(7) + "T23:59:59\n"},
		{"?format=csv&to=" + day(10), "", ""},
	} {
		a := w.must(200, "GET", reportPath+tt.query, "", "Accept", tt.accept)
		if a.body != tt.want || a.header.Get("Content-Type") != csvType {
			t.Errorf("%s, Accept %q: %s\n%swant\n%s", tt.query, tt.accept, a.header.Get("Content-Type"), a.body, tt.want)
		}
	}
	for _, query := range []string{"?format=xml", "?format=", "?tenant=17", "?from=yesterday", "?to=", "?from=2026-02-30", "?from=2026-02-02&to=2026-01-31", "?limit=1"} {
		if a := w.do("GET", reportPath+query, ""); a.status != 400 {
			t.Errorf("%s: %d %s, want 400", query, a.status, a.body)
		}
	}
	w.must(200, "HEAD", reportPath, "")
	w.must(200, "HEAD", reportPath+"?format=csv", "")
}

// A few reports are written at a time; one whose reader has gone is none of them.
func TestReportsAtATime(t *testing.T) {
	w := newWorld(t, collecting(t))
	check(t, w.table.Update(func(tx *store.Tx) error {
		for n := range 20_000 {
			vm := store.VM{BIOS: store.BIOSID{1, byte(n >> 8), byte(n)}, Name: strings.Repeat("x", 200)}
			if _, err := tx.PutVM(vm); err != nil {
				return err
			}
			if _, err := tx.Protect(vm.BIOS, store.DayOf(time.Now()), store.DayOf(time.Now())); err != nil {
				return err
			}
		}
		return nil
	}))
	var readers []*http.Response
	for range maxReports {
		req, err := http.NewRequest("GET", "http://gw"+reportPath+"?format=csv", nil)
		check(t, err)
		req.SetBasicAuth("root", password)
		resp, err := w.client.Do(req)
		check(t, err)
		readers = append(readers, resp)
	}
	if a := w.do("GET", reportPath, ""); a.status != 429 || a.code() != "too_many_reports" || a.header.Get("Retry-After") == "" {
		t.Errorf("one more: %d %s", a.status, a.body)
	}
	for _, resp := range readers {
		check(t, resp.Body.Close())
	}
	for end := time.Now().Add(time.Minute); w.api.reports.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d reports are written for nobody", w.api.reports.Load())
		}
	}
	if a := w.must(200, "GET", reportPath+"?format=csv", ""); strings.Count(a.body, "\n") != 20_000 {
		t.Errorf("%d lines", strings.Count(a.body, "\n"))
	}
}
