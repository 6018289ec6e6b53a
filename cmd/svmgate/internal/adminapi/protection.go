package adminapi

import (
	"errors"
	"io"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/store"
)

const (
	// maxReports is how many reports of protection are written at a time: each goes
	// through all that there is.
	maxReports = 4

	csvType = "text/csv; charset=utf-8; header=absent"
)

// reportProtection streams a report of protection. Whether anything is collected, and
// until when it is reliable, is told in headers, for those who read CSV.
func (a *API) reportProtection(c *call) error {
	form, err := c.reportForm()
	if err != nil {
		return err
	}
	q, err := c.reportQuery()
	if err != nil {
		return err
	}
	if a.reports.Add(1) > maxReports {
		a.reports.Add(-1)
		c.ctx.Response.Header.Set("Retry-After", "5")
		return refuse(429, "too_many_reports", "other reports are being written already: try again when they have ended")
	}
	h := &c.ctx.Response.Header
	h.Set("Svmgate-Reliable-Until", a.protection.ReliableUntil().Format(time.RFC3339))
	h.Set("Svmgate-Collecting", map[bool]string{true: "true", false: "false"}[a.protection.Collecting()])
	c.ctx.SetContentType(map[protection.Form]string{protection.CSV: csvType, protection.JSON: "application/json"}[form])
	if c.ctx.IsHead() {
		a.reports.Add(-1)
		h.SetContentLength(-1) // in chunks, as it would come
		return nil
	}
	return c.download(func(w io.Writer) error {
		defer a.reports.Add(-1)
		err := a.protection.Write(w, form, q)
		if err != nil && !errors.Is(err, io.ErrClosedPipe) { // which is a client that has gone
			a.log.Error("a report of protection broke off", "reason", err.Error())
		}
		return err
	})
}

// reportQuery reads what a report is to be about.
func (c *call) reportQuery() (q protection.Query, err error) {
	if q.Tenant, err = idParameter(c, "tenant", "a tenant's id, or the nil UUID for VMs of no tenant", store.ParseTenantID[string]); err != nil {
		return q, err
	}
	if q.From, err = c.dayParameter("from", 0); err != nil {
		return q, err
	}
	if q.To, err = c.dayParameter("to", 1); err != nil {
		return q, err
	}
	if !q.To.IsZero() && q.To.Before(q.From) {
		return q, refuse(400, "invalid_parameter", "query parameter to is before from")
	}
	return q, nil
}

// dayParameter reads a day, or a moment; a day is the beginning of the day so many days
// later. It is zero if it is not given.
func (c *call) dayParameter(name string, later int) (time.Time, error) {
	text := string(c.ctx.QueryArgs().Peek(name))
	if !c.ctx.QueryArgs().Has(name) {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, later), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, badParameter(name, text, "a day such as 2026-01-31, or a time such as 2026-01-31T12:00:00Z (a plus is written %2B)")
	}
	return at, nil
}

// reportForm returns what the client wants: what format says, else what Accept prefers,
// else JSON.
func (c *call) reportForm() (protection.Form, error) {
	args := c.ctx.QueryArgs()
	switch text := string(args.Peek("format")); {
	case !args.Has("format"):
	case text == "csv":
		return protection.CSV, nil
	case text == "json":
		return protection.JSON, nil
	default:
		return 0, badParameter("format", text, "csv or json")
	}
	for part := range strings.SplitSeq(string(c.ctx.Request.Header.Peek(fasthttp.HeaderAccept)), ",") {
		media, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "text/csv", "application/csv":
			return protection.CSV, nil
		case "application/json":
			return protection.JSON, nil
		}
	}
	return protection.JSON, nil
}
