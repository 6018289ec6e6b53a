package protection

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A Query says what a report is about.
type Query struct {
	// Tenant is whose periods are told; nil means everybody's, the zero id those of VMs
	// that belonged to no tenant.
	Tenant *store.TenantID

	// From and To bound the days that are told: those with a moment from From to To, To
	// not included unless it is also From. Zero means no bound.
	From, To time.Time
}

// days returns the days that a report tells of at most.
func (q *Query) days(kept span) span {
	asked := kept
	switch {
	case q.From.IsZero() && q.To.IsZero():
	case q.To.IsZero():
		asked.first = store.DayOf(q.From)
	case q.From.IsZero():
		asked.last = daysOf(time.Time{}, q.To).last
	default:
		asked = daysOf(q.From, q.To)
	}
	return asked.within(kept)
}

// A Period is days in a row on which a VM was protected.
type Period struct {
	*store.Protection           // of which Days is more than the period
	First, Last       store.Day // both part of it
}

// On returns the first moment of the period.
func (p *Period) On() time.Time { return p.First.Start() }

// Off returns the last second of the period.
func (p *Period) Off() time.Time { return (p.Last + 1).Start().Add(-time.Second) }

// Periods calls fn with the periods of a report until it returns false: those of a VM
// follow each other, the oldest first; otherwise there is no order. It takes memory for a
// part of them at a time. What is written down meanwhile may be left out. fn must not
// keep what it is given.
func (b *Book) Periods(q Query, fn func(*Period) bool) {
	if !b.cfg.Collect {
		return
	}
	asked := q.days(b.kept(b.cfg.Clock()))
	if asked.empty() {
		return
	}
	b.cfg.Table.Protections(func(p *store.Protection) bool {
		if q.Tenant != nil && *q.Tenant != p.Tenant {
			return true
		}
		for first, last := range p.Days.Runs() {
			days := span{first, last}.within(asked)
			if !days.empty() && !fn(&Period{p, days.first, days.last}) {
				return false
			}
		}
		return true
	})
}

// ReliableUntil is until when a report that is made now is reliable: whatever was so
// before that is in it.
func (b *Book) ReliableUntil() time.Time {
	return b.cfg.Clock().Add(-Reliable).Truncate(time.Second).UTC()
}

// A Form is how a report is written.
type Form uint8

// Forms of reports.
const (
	// CSV has a line for each period, as is documented (topic 259256): the tenant's id and
	// name, the VM's id (not its BIOS ID) and name, when protection began and when it
	// ended, with semicolons between. The tenant's are empty if the VM belonged to none.
	//
	// What is not documented: there is no line of headings; lines end with a line feed, in
	// UTF-8; times are the first and the last second of days of UTC, as 2026-01-31T23:59:59;
	// a period that goes on is written as if it ended with today. Fields are quoted as RFC
	// 4180 says where they need it. Nothing else is done to them: a name that a spreadsheet
	// takes for a formula is written as it is, since the names in the report are those of
	// the table.
	CSV Form = iota
	// JSON is an object: collecting, reliableUntil, and items, a list of periods.
	JSON
)

// Write writes a report. It takes a bounded amount of memory, whatever the report's
// length. The error is that of w.
func (b *Book) Write(w io.Writer, form Form, q Query) (err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	if form == JSON {
		_, err = out.WriteString(`{"collecting":` + strconv.FormatBool(b.cfg.Collect) + `,"reliableUntil":"` + moment(b.ReliableUntil()) + `","items":[`)
	}
	var line []byte
	separator := ""
	b.Periods(q, func(p *Period) bool {
		if err != nil {
			return false
		}
		if form == JSON {
			line = p.appendJSON(append(line[:0], separator...))
			separator = ","
		} else {
			line = p.appendCSV(line[:0])
		}
		_, err = out.Write(line)
		return err == nil
	})
	if form == JSON && err == nil {
		_, err = out.WriteString("\n]}\n")
	}
	if err == nil {
		err = out.Flush()
	}
	return err
}

// dateForm is how the Integration Server's API writes dates.
const dateForm = "2006-01-02T15:04:05"

func (p *Period) appendCSV(dst []byte) []byte {
	if !p.Tenant.IsZero() {
		dst = append(store.AppendID(dst, p.Tenant), ';')
		dst = append(appendField(dst, p.TenantName), ';')
	} else {
		dst = append(dst, ";;"...)
	}
	dst = append(store.AppendID(dst, p.ID), ';')
	dst = append(appendField(dst, p.Name), ';')
	dst = append(p.On().AppendFormat(dst, dateForm), ';')
	return append(p.Off().AppendFormat(dst, dateForm), '\n')
}

// appendField appends a field of CSV (RFC 4180).
func appendField(dst []byte, s string) []byte {
	if !strings.ContainsAny(s, ";\"\r\n") {
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for len(s) > 0 {
		before, after, found := strings.Cut(s, `"`)
		if dst = append(dst, before...); found {
			dst = append(dst, `""`...)
		}
		s = after
	}
	return append(dst, '"')
}

// appendJSON appends a line before which the list is broken.
func (p *Period) appendJSON(dst []byte) []byte {
	dst = append(dst, "\n"+`{"tenant":"`...)
	if !p.Tenant.IsZero() {
		dst = store.AppendID(dst, p.Tenant)
	}
	dst = appendString(append(dst, `","tenantName":`...), p.TenantName)
	dst = store.AppendID(append(dst, `,"biosId":"`...), p.VM)
	dst = store.AppendID(append(dst, `","id":"`...), p.ID)
	dst = appendString(append(dst, `","name":`...), p.Name)
	dst = p.On().AppendFormat(append(dst, `,"on":"`...), time.RFC3339)
	dst = p.Off().AppendFormat(append(dst, `","off":"`...), time.RFC3339)
	dst = strconv.AppendInt(append(dst, `","days":`...), int64(p.Last-p.First)+1, 10)
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings can be written
	}
	return append(dst, text...)
}
