package adminapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/problem"
	"github.com/svmgate/svmgate/store"
)

// call is one request on its way through the API.
type call struct {
	api     *API
	ctx     *fasthttp.RequestCtx
	account store.Account
	route   *route
	params  []string
}

// who asks, for the audit.
func (c *call) who() audit.Who {
	return audit.Who{Account: c.account.Name, Address: c.ctx.RemoteIP().String()}
}

// note tells of an action that is no change of the table, or many. That it can not be
// written does not undo what was done; a log has it then.
func (c *call) note(e audit.Entry) {
	err := c.api.table.Update(func(tx *store.Tx) error { return audit.Note(tx, c.who(), e) })
	if err != nil {
		c.api.log.Error("an administrative action is in no event", "action", e.Type, "what", e.Message, "account", c.account.Name,
			"from", c.who().Address, "error", err)
	}
}

// A failure is an answer that is not what was asked for.
type failure struct {
	status       int
	code, detail string
}

func (f *failure) Error() string { return f.detail }

func refuse(status int, code, detail string) error {
	return &failure{status: status, code: code, detail: detail}
}

// fail answers an error. What the caller can not mend is logged and not shown.
func (c *call) fail(err error) {
	var f *failure
	if !errors.As(err, &f) {
		f = new(failure)
		var known bool
		if f.status, f.code, f.detail, known = problem.OfTable(err, c.api.table.Fault()); !known {
			c.api.log.Error("request failed", "method", string(c.ctx.Method()),
				"path", string(c.ctx.Path()), "error", err)
			f = &failure{500, "internal", "the gateway failed; its log has the reason"}
		}
	}
	problem.Write(c.ctx, f.status, f.code, f.detail)
}

// answer writes v as the JSON body.
func (c *call) answer(status int, v any) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	c.ctx.SetStatusCode(status)
	c.ctx.SetContentType("application/json")
	c.ctx.SetBody(body.Bytes())
	return nil
}

// answerObject writes one object with the ETag of its revision.
func (c *call) answerObject(status int, revision uint64, v any) error {
	c.ctx.Response.Header.Set("ETag", etag(revision))
	return c.answer(status, v)
}

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

// ifMatch refuses the write of an object whose revision is not among those that
// If-Match names. It must be asked inside the update that it guards.
func (c *call) ifMatch(exists bool, revision uint64) error {
	header := string(c.ctx.Request.Header.Peek("If-Match"))
	if header == "" {
		return nil
	}
	if exists {
		for tag := range strings.SplitSeq(header, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || tag == etag(revision) {
				return nil
			}
		}
	}
	return refuse(412, "precondition_failed", "the object is not (or no longer) the one that If-Match names: read it again")
}

// ifNoneMatch refuses the write of an object that If-None-Match excludes; "*"
// excludes every one, so that a PUT can only create. It must be asked inside the
// update that it guards.
func (c *call) ifNoneMatch(exists bool, revision uint64) error {
	header := string(c.ctx.Request.Header.Peek("If-None-Match"))
	if header == "" || !exists {
		return nil
	}
	for tag := range strings.SplitSeq(header, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag(revision) {
			return refuse(412, "precondition_failed", "the object exists, and If-None-Match excludes it: send If-Match to replace it")
		}
	}
	return nil
}

// knownParameters refuses query parameters that the route does not know, and
// those given twice.
func (c *call) knownParameters() error {
	if c.route.foreign {
		return nil
	}
	var seen []string
	for k := range c.ctx.QueryArgs().All() {
		key := string(k)
		if !slices.Contains(c.route.query, key) {
			allowed := "it takes none"
			if len(c.route.query) > 0 {
				allowed = "it takes " + strings.Join(c.route.query, ", ")
			}
			return refuse(400, "unknown_parameter", "query parameter "+strconv.Quote(key)+" is unknown here: "+allowed)
		}
		if slices.Contains(seen, key) {
			return refuse(400, "invalid_parameter", "query parameter "+key+" is given twice")
		}
		seen = append(seen, key)
	}
	return nil
}

func badParameter(name, value, allowed string) error {
	return refuse(400, "invalid_parameter", "query parameter "+name+" "+strconv.Quote(value)+": want "+allowed)
}

// boolParameter reads true or false; absent is false.
func (c *call) boolParameter(name string) (bool, error) {
	if !c.ctx.QueryArgs().Has(name) {
		return false, nil
	}
	switch v := string(c.ctx.QueryArgs().Peek(name)); v {
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, badParameter(name, v, "true or false")
	}
}

// body returns the JSON body, parsed.
func (c *call) body() (value, error) {
	raw, err := c.rawBody()
	if err != nil {
		return value{}, err
	}
	return c.parse(raw)
}

// parse reads what rawBody returned, which can be read only once.
func (c *call) parse(raw []byte) (value, error) {
	if !fence.IsJSON(c.ctx) {
		return value{}, refuse(415, "unsupported_media_type",
			"the body must be application/json (or application/…+json); Content-Type says "+strconv.Quote(string(c.ctx.Request.Header.ContentType())))
	}
	return parseJSON(raw)
}

// noBody refuses a body with contents where none is read; {} has none.
func (c *call) noBody() error {
	raw, err := c.rawBody()
	if err != nil || len(raw) == 0 {
		return err
	}
	if !fence.IsJSON(c.ctx) {
		return refuse(415, "unsupported_media_type", "this takes no body, or {} as application/json")
	}
	if string(bytes.TrimSpace(raw)) != "{}" {
		return refuse(400, "unexpected_body", "this takes no body")
	}
	return nil
}

func (c *call) rawBody() ([]byte, error) {
	raw, err := fence.ReadBody(c.ctx, c.api.maxBody)
	switch {
	case errors.Is(err, fence.ErrTooLarge):
		return nil, refuse(413, "body_too_large", "the body is larger than "+strconv.Itoa(c.api.maxBody)+" bytes")
	case err != nil:
		return nil, refuse(400, "invalid_body", err.Error())
	}
	return raw, nil
}

// Bounds of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// A list is one page of objects. Next, if not empty, is what "after" must be to
// read on.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// page reads limit and after. After is the key of the last object that the
// caller has seen, nil at the start.
func (c *call) page() (limit int, after []byte, err error) {
	limit = defaultLimit
	if args := c.ctx.QueryArgs(); args.Has("limit") {
		text := string(args.Peek("limit"))
		limit, err = strconv.Atoi(text)
		if err != nil || limit < 1 || limit > maxLimit {
			return 0, nil, badParameter("limit", text, "a whole number from 1 to "+strconv.Itoa(maxLimit))
		}
	}
	if text := string(c.ctx.QueryArgs().Peek("after")); text != "" {
		after, err = base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(after) == 0 {
			return 0, nil, badAfter(text)
		}
	}
	return limit, after, nil
}

func badAfter(text string) error {
	return badParameter("after", text, `the "next" of the page before`)
}

// idPage is page for objects that are ordered by an id; after is zero at the
// start.
func (c *call) idPage() (limit int, after [16]byte, err error) {
	limit, key, err := c.page()
	if err != nil || key == nil {
		return limit, after, err
	}
	if len(key) != len(after) {
		return 0, after, badAfter(string(c.ctx.QueryArgs().Peek("after")))
	}
	return limit, [16]byte(key), nil
}

// pageOf cuts a page out of all, which is ordered by key.
func pageOf[T any](all []T, limit int, after []byte, key func(T) []byte) list[T] {
	start := 0
	if after != nil {
		var same bool
		start, same = slices.BinarySearchFunc(all, after, func(x T, a []byte) int { return bytes.Compare(key(x), a) })
		if same {
			start++
		}
	}
	rest := all[start:]
	if len(rest) <= limit {
		return list[T]{Items: append([]T{}, rest...)}
	}
	return list[T]{Items: rest[:limit], Next: base64.RawURLEncoding.EncodeToString(key(rest[limit-1]))}
}
