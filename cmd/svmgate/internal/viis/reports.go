package viis

import (
	"mime"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

// reportType is what a report is, as is documented.
const reportType = "application/csv"

func (c *call) createReport() error {
	var r tenancy.ReportRequest
	text, given, err := c.parameter("tenantId")
	if err != nil {
		return err
	}
	if given {
		if r.Tenant, err = store.ParseTenantID(text); err != nil || r.Tenant.IsZero() {
			return badParameter("tenantId", text, "the id of a tenant")
		}
	}
	if r.From, err = c.date("from"); err != nil {
		return err
	}
	if r.To, err = c.date("to"); err != nil {
		return err
	}
	if !r.To.IsZero() && r.To.Before(r.From.Time) {
		return bad("query parameter to is before from")
	}
	t, err := c.api.tenancy.Report(c.who(), r)
	if err != nil {
		return err
	}
	return c.accept(t)
}

// date reads a parameter that is a date; zero if it is not given.
func (c *call) date(name string) (store.Time, error) {
	text, given, err := c.parameter(name)
	if err != nil || !given {
		return store.Time{}, err
	}
	at, err := parseDate(text)
	if err != nil || at.IsZero() {
		return at, badParameter(name, text, "a date such as 2026-01-31T23:59:59, in UTC")
	}
	return at, nil
}

// readReport answers a report, whole or the part that Range asks for.
func (c *call) readReport() error {
	id := c.params[0]
	if !c.api.hasReport(id) {
		return refuse(404, codeReportNotFound, "there is no report "+short(id)+", or not any more")
	}
	if accept := string(c.ctx.Request.Header.Peek("Accept")); !accepts(accept, reportType) {
		return refuse(406, codeNotAcceptable, "a report is "+reportType+"; Accept excludes that")
	}
	return c.answerPart([]byte(nil), `"`+strings.ToLower(id)+`"`)
}

// hasReport looks through the tasks for the one that made a report: it is known as long
// as that. Nothing collects periods of protection, so every report is empty.
func (a *API) hasReport(id string) bool {
	for _, t := range a.table.Tasks() {
		if t.Type != "CreateTenantReport" {
			continue
		}
		if _, report := tenancy.ResultOf(t); report != "" && strings.EqualFold(report, id) {
			return true
		}
	}
	return false
}

// answerPart answers contents that never change, or the part of them that Range asks
// for (RFC 9110, section 14). Several parts at once are answered with the whole.
func (c *call) answerPart(contents []byte, etag string) error {
	h := &c.ctx.Response.Header
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", etag)
	wanted := c.ctx.Request.Header.Peek("Range")
	if given := string(c.ctx.Request.Header.Peek("If-Range")); given != "" && given != etag {
		wanted = nil
	}
	status := fasthttp.StatusOK
	if unit, ranges, _ := strings.Cut(string(wanted), "="); strings.EqualFold(unit, "bytes") && !strings.Contains(ranges, ",") {
		size := strconv.Itoa(len(contents))
		first, last, err := fasthttp.ParseByteRange([]byte("bytes="+ranges), len(contents))
		if err != nil || first > last {
			h.Set("Content-Range", "bytes */"+size)
			return refuse(416, codeRange, "Range is none that the "+size+" bytes of the report have")
		}
		h.Set("Content-Range", "bytes "+strconv.Itoa(first)+"-"+strconv.Itoa(last)+"/"+size)
		contents, status = contents[first:last+1], fasthttp.StatusPartialContent
	}
	c.ctx.SetStatusCode(status)
	c.ctx.SetContentType(reportType + "; charset=utf-8")
	c.ctx.Response.SetBodyRaw(contents)
	return nil
}

// accepts reports whether an Accept header admits a media type (RFC 9110, section
// 12.5.1). What can not be read admits nothing.
func accepts(header, media string) bool {
	if strings.TrimSpace(header) == "" {
		return true
	}
	group, _, _ := strings.Cut(media, "/")
	closest, admitted := -1, false
	for part := range strings.SplitSeq(header, ",") {
		t, params, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		near := map[string]int{"*/*": 0, group + "/*": 1, media: 2}
		if at, fits := near[t]; fits && at > closest {
			q, err := strconv.ParseFloat(params["q"], 64)
			closest, admitted = at, params["q"] == "" || err == nil && q > 0
		}
	}
	return admitted
}
