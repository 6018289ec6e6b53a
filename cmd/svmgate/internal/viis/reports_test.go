package viis

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

func TestCreateReport(t *testing.T) {
	w := newWorld(t)
	id := w.tenant(1)
	at := func(hour int) store.Time { return store.Time{Time: time.Date(2026, 11, 22, hour, 0, 0, 0, time.UTC)} }
	for query, want := range map[string]tenancy.ReportRequest{
		"":                         {},
		"?tenantId=" + id.String(): {Tenant: id},
		"?from=2026-11-22T01:00:00&to=2026-11-22T02:00:00&x=y":    {From: at(1), To: at(2)},
		"?FROM=2026-11-22T01:00:00":                               {From: at(1)},
		"?to=2026-11-22T04:00:00%2B02:00&tenantid=" + id.String(): {Tenant: id, To: at(2)},
	} {
		w.asked.report = tenancy.ReportRequest{Tenant: store.TenantID{1}}
		a := w.must(202, "POST", "/reports/tenants"+query, "", "Accept", "application/csv")
		if w.asked.report != want || a.header.Get("Content-Type") != contentType {
			t.Errorf("%s: asked for %+v, want %+v", query, w.asked.report, want)
		}
	}
	for _, query := range []string{
		"tenantId=17", "tenantId=", "tenantId=00000000-0000-0000-0000-000000000000", "from=yesterday", "from=2026-11-22", "to=", "from=2026-11-22T02:00:00&to=2026-11-22T01:00:00",
		"from=2026-11-22T01:00:00&from=2026-11-22T01:00:00", "to=2026-11-22T04:00:00+02:00",
	} {
		w.refused(400, codeBadRequest, "POST", "/reports/tenants?"+query, "")
	}
}

func TestParts(t *testing.T) {
	const contents, etag = "0123456789", `"r1"`
	tests := []struct {
		name, ask, ifRange string
		status             int
		body, contentRange string
	}{
		{"whole", "", "", 200, contents, ""},
		{"begin", "bytes=0-3", "", 206, "0123", "bytes 0-3/10"},
		{"middle", "bytes=4-4", "", 206, "4", "bytes 4-4/10"},
		{"from there on", "bytes=7-", "", 206, "789", "bytes 7-9/10"},
		{"end", "bytes=-2", "", 206, "89", "bytes 8-9/10"},
		{"more than there is", "bytes=8-99", "", 206, "89", "bytes 8-9/10"},
		{"more than there is, from the end", "bytes=-99", "", 206, contents, "bytes 0-9/10"},
		{"behind the end", "bytes=10-", "", 416, "", "bytes */10"},
		{"backwards", "bytes=5-4", "", 416, "", "bytes */10"},
		{"nothing of the end", "bytes=-0", "", 416, "", "bytes */10"},
		{"nonsense", "bytes=x", "", 416, "", "bytes */10"},
		{"two parts", "bytes=0-1,3-4", "", 200, contents, ""},
		{"another unit", "lines=0-1", "", 200, contents, ""},
		{"of the same report", "bytes=0-3", etag, 206, "0123", "bytes 0-3/10"},
		{"of another", "bytes=0-3", `"r2"`, 200, contents, ""},
	}
	for _, tt := range tests {
		var ctx fasthttp.RequestCtx
		if tt.ask != "" {
			ctx.Request.Header.Set("Range", tt.ask)
		}
		if tt.ifRange != "" {
			ctx.Request.Header.Set("If-Range", tt.ifRange)
		}
		report := &aReport{Reader: bytes.NewReader([]byte(contents))}
		err := (&call{ctx: &ctx}).answerPart(report, etag)
		status, body := ctx.Response.StatusCode(), string(ctx.Response.Body())
		var f *failure
		if errors.As(err, &f) {
			status = f.status
		}
		h := &ctx.Response.Header
		if status != tt.status || body != tt.body || string(h.Peek("Content-Range")) != tt.contentRange || string(h.Peek("Accept-Ranges")) != "bytes" || string(h.Peek("ETag")) != etag {
			t.Errorf("%s: %d %q, Content-Range %q; want %d %q, %q", tt.name, status, body, h.Peek("Content-Range"), tt.status, tt.body, tt.contentRange)
		}
		if !report.closed {
			t.Errorf("%s: the report is still open", tt.name)
		}
	}
}

type aReport struct {
	*bytes.Reader
	closed bool
}

func (r *aReport) Close() error { r.closed = true; return nil }

func TestAccepts(t *testing.T) {
	for header, want := range map[string]bool{
		"": true, "*/*": true, "application/*": true, "application/csv": true, "Application/CSV; q=0.1": true, "text/html, application/csv": true, "nonsense;;, */*;q=0.1": true,
		"text/csv": false, "application/xml": false, "application/csv;q=0": false, "application/csv;q=0, */*": false, "*/*;q=0": false, "text/*": false, "nonsense": false,
		"*/*, application/*;q=0": false, "application/csv;q=x": false,
	} {
		if got := accepts(header, reportType); got != want {
			t.Errorf("Accept %q: %v, want %v", header, got, want)
		}
	}
}
