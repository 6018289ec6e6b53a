package adminapi

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/store"
)

// eventQuery are the parameters that say which events are wanted.
var eventQuery = []string{"limit", "after", "type", "tenant", "vm", "svm", "from", "to"}

// scanLimit is how many events are looked at for one page. A filter that nothing passes
// then costs a request no more than any other: its page is empty, and has a next one.
const scanLimit = 20_000

// listEvents answers events, or follows them if the client asks for a stream.
func (a *API) listEvents(c *call) error {
	if wantsStream(c.ctx) {
		return a.streamEvents(c)
	}
	limit, _, err := c.page()
	if err != nil {
		return err
	}
	after, _, err := c.cursor()
	if err != nil {
		return err
	}
	wanted, err := c.eventFilter()
	if err != nil {
		return err
	}
	page, _ := a.eventPage(wanted.start(after), wanted, limit)
	return c.answer(200, page)
}

// eventPage collects the events after a version that are wanted, and returns the version
// of the last that it looked at. If it did not look at all there are, the page has a
// next one.
func (a *API) eventPage(after store.Version, wanted *eventFilter, limit int) (list[store.Event], store.Version) {
	page := list[store.Event]{Items: []store.Event{}}
	seen := 0
	a.table.Events(after, func(e *store.Event) bool {
		if wanted.ends(e) {
			return false
		}
		if len(page.Items) == limit || seen == scanLimit {
			page.Next = cursorOf(after)
			return false
		}
		seen++
		after = e.Version
		if wanted.has(e) {
			page.Items = append(page.Items, *e)
		}
		return true
	})
	return page, after
}

// An event's version is where it stands among all: so it is what "after" of a list and
// the id in a stream are made of.
const cursorSize = 16

func cursorOf(v store.Version) string {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, cursorSize), v.Clock)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, v.Node))
}

func parseCursor(text string) (store.Version, bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) != cursorSize {
		return store.Version{}, false
	}
	return store.Version{Clock: binary.BigEndian.Uint64(b), Node: binary.BigEndian.Uint64(b[8:])}, true
}

// cursor reads "after": the version of the last event that the caller has; false if he
// has none.
func (c *call) cursor() (after store.Version, given bool, err error) {
	text := string(c.ctx.QueryArgs().Peek("after"))
	if text == "" {
		return after, false, nil
	}
	after, ok := parseCursor(text)
	if !ok {
		return after, false, badAfter(text)
	}
	return after, true, nil
}

// An eventFilter says which events are wanted. A field that is nil admits all.
type eventFilter struct {
	types    []string // each a type, or how types begin if it ends in a point
	tenant   *store.TenantID
	vm       *store.BIOSID
	svm      *store.SVMID
	from, to time.Time // the first moment, and the first that is too late; zero: no bound
}

func (c *call) eventFilter() (*eventFilter, error) {
	f := &eventFilter{}
	args := c.ctx.QueryArgs()
	if args.Has("type") {
		text := string(args.Peek("type"))
		f.types = strings.Split(text, ",")
		for _, t := range f.types {
			if t == "" {
				return nil, badParameter("type", text, `types such as svm.down, or beginnings such as "svm.", separated by commas`)
			}
		}
	}
	var err error
	if f.tenant, err = idParameter(c, "tenant", "a tenant's id", store.ParseTenantID[string]); err != nil {
		return nil, err
	}
	if f.vm, err = idParameter(c, "vm", "a BIOS ID", store.ParseBIOSID[string]); err != nil {
		return nil, err
	}
	if f.svm, err = idParameter(c, "svm", "an SVM's id", store.ParseSVMID[string]); err != nil {
		return nil, err
	}
	if f.from, err = c.timeParameter("from"); err != nil {
		return nil, err
	}
	f.to, err = c.timeParameter("to")
	return f, err
}

func idParameter[ID any](c *call, name, what string, parse func(string) (ID, error)) (*ID, error) {
	if !c.ctx.QueryArgs().Has(name) {
		return nil, nil
	}
	text := string(c.ctx.QueryArgs().Peek(name))
	id, err := parse(text)
	if err != nil {
		return nil, badParameter(name, text, what)
	}
	return &id, nil
}

func (c *call) timeParameter(name string) (time.Time, error) {
	if !c.ctx.QueryArgs().Has(name) {
		return time.Time{}, nil
	}
	text := string(c.ctx.QueryArgs().Peek(name))
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, badParameter(name, text, "a time such as 2026-11-22T13:58:31Z (a plus is written %2B)")
	}
	return at, nil
}

// start returns the later of a version and of that before all that "from" admits.
func (f *eventFilter) start(after store.Version) store.Version {
	if f.from.IsZero() {
		return after
	}
	if first := versionBefore(f.from); after.Compare(first) < 0 {
		return first
	}
	return after
}

// versionBefore is the greatest version before a moment.
func versionBefore(at time.Time) store.Version {
	ms := at.UnixMilli()
	if ms <= 0 {
		return store.Version{}
	}
	return store.Version{Clock: uint64(ms)<<16 - 1, Node: 1<<64 - 1}
}

// ends reports whether an event, and so every one after it, is too late.
func (f *eventFilter) ends(e *store.Event) bool { return !f.to.IsZero() && !e.Time.Before(f.to) }

func (f *eventFilter) has(e *store.Event) bool {
	return f.hasType(e.Type) && !e.Time.Before(f.from) && !f.ends(e) &&
		(f.tenant == nil || *f.tenant == e.Tenant) && (f.vm == nil || *f.vm == e.VM) && (f.svm == nil || *f.svm == e.SVM)
}

func (f *eventFilter) hasType(of string) bool {
	for _, t := range f.types {
		if of == t || strings.HasSuffix(t, ".") && strings.HasPrefix(of, t) {
			return true
		}
	}
	return f.types == nil
}

// wantsStream reports whether a request accepts a stream of events: the media type must
// be named, since */* is what everybody sends.
func wantsStream(ctx *fasthttp.RequestCtx) bool {
	for part := range strings.SplitSeq(string(ctx.Request.Header.Peek("Accept")), ",") {
		media, _, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(media), streamType) {
			return true
		}
	}
	return false
}
