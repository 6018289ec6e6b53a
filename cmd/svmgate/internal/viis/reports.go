package viis

import (
	"errors"
	"io"
	"mime"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
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

// readReport answers a report, whole or the part that Range asks for, whichever gateway
// made it.
func (c *call) readReport() error {
	gone := refuse(404, codeReportNotFound, "there is no report "+short(c.params[0])+", or not any more")
	node, id, ok := c.api.findReport(c.params[0])
	if !ok {
		return gone
	}
	if accept := string(c.ctx.Request.Header.Peek("Accept")); !accepts(accept, reportType) {
		return refuse(406, codeNotAcceptable, "a report is "+reportType+"; Accept excludes that")
	}
	report, err := c.api.report(node, id)
	switch {
	case errors.Is(err, protection.ErrNoReport):
		return gone
	case errors.Is(err, protection.ErrAway):
		return refuse(503, codeNotReady, "gateway "+short(node)+", which made the report, does not answer: try again, or make another report")
	case err != nil:
		return err
	}
	return c.answerPart(report, `"`+id.String()+`"`)
}

// findReport looks through the tasks for the one that made a report, and returns the
// gateway that did: a report is known as long as its task.
func (a *API) findReport(text string) (node string, id uuid.UUID, ok bool) {
	for _, t := range a.table.Tasks() {
		if t.Type != "CreateTenantReport" || t.State != store.TaskCompleted {
			continue
		}
		if _, result := tenancy.ResultOf(t); strings.EqualFold(result, text) {
			id, err := uuid.Parse(result)
			return t.Node, id, err == nil
		}
	}
	return "", id, false
}

// answerPart answers a report, which never changes, or the part of it that Range asks
// for (RFC 9110, section 14). Several parts at once are answered with the whole. It
// closes the report in the end.
func (c *call) answerPart(report protection.Report, etag string) error {
	h := &c.ctx.Response.Header
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", etag)
	wanted := c.ctx.Request.Header.Peek("Range")
	if given := string(c.ctx.Request.Header.Peek("If-Range")); given != "" && given != etag {
		wanted = nil
	}
	from, length, status := int64(0), int(report.Size()), fasthttp.StatusOK
	if unit, ranges, _ := strings.Cut(string(wanted), "="); strings.EqualFold(unit, "bytes") && !strings.Contains(ranges, ",") {
		size := strconv.Itoa(length)
		first, last, err := fasthttp.ParseByteRange([]byte("bytes="+ranges), length)
		if err != nil || first > last {
			_ = report.Close()
			h.Set("Content-Range", "bytes */"+size)
			return refuse(416, codeRange, "Range is none that the "+size+" bytes of the report have")
		}
		h.Set("Content-Range", "bytes "+strconv.Itoa(first)+"-"+strconv.Itoa(last)+"/"+size)
		from, length, status = int64(first), last-first+1, fasthttp.StatusPartialContent
	}
	c.ctx.SetStatusCode(status)
	c.ctx.SetContentType(reportType + "; charset=utf-8")
	fence.Send(c.ctx, part{io.NewSectionReader(report, from, int64(length)), report}, length)
	return nil
}

// A part of a report.
type part struct {
	io.Reader
	io.Closer
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
