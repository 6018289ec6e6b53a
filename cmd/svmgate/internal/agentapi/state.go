package agentapi

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/watch"
	"github.com/svmgate/svmgate/store"
)

// A state is what an agent tells of itself:
//
//	{"connectedTo":"5e1f…","updateFailed":false}
//
// A field that is left out says nothing. connectedTo null, as the id of all zeros, is no
// SVM; one that is not in the table is taken for one. updateFailed false says nothing
// either: what failed before was told then.
type state struct {
	connectedTo  *store.SVMID // nil: not told
	updateFailed bool
}

// takeState takes what an agent tells of itself. It is refused before it is looked whose
// VM it is of, so that a refusal tells nothing of that.
func (a *API) takeState(ctx *fasthttp.RequestCtx, p *plane, s *scratch, id, query []byte) {
	if p.auth == None {
		p.refuse(ctx, s, anybody)
		return
	}
	told, bad := s.readState(ctx, id, query)
	switch {
	case bad != nil:
		p.metrics.count(s.shard, outcomeInvalid)
		bad.write(ctx)
	case !a.isOf(&s.query.BIOS, s.asker.tenant):
		p.refuse(ctx, s, notRegistered)
	case !p.tell(s.query.BIOS, told):
		p.refuse(ctx, s, busy)
	default:
		p.metrics.count(s.shard, outcomeTold)
		ctx.Response.Header.SetCanonical(cacheControl, noStore)
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	}
}

// tell passes a state on, and reports whether there was room for all of it.
func (p *plane) tell(vm store.BIOSID, told state) bool {
	if told.updateFailed && !p.feed.Note(vm, watch.UpdateFailed) {
		return false
	}
	return told.connectedTo == nil || !p.connections || p.feed.Note(vm, connected(*told.connectedTo))
}

// isOf reports whether a VM is registered for a tenant that is there.
func (a *API) isOf(vm *store.BIOSID, id store.TenantID) bool {
	slot, ok := a.table.Lookup(vm)
	if !ok {
		return false
	}
	tenant := a.table.View().Tenant(slot.Tenant()) // the view is as new as the slot: it has the index
	return tenant != nil && tenant.ID == id
}

// readState reads a whole request; the BIOS ID is in s.query then.
func (s *scratch) readState(ctx *fasthttp.RequestCtx, id, query []byte) (told state, bad *refusal) {
	if bad = s.readQuestion(id, query); bad != nil {
		return told, bad
	}
	if s.seen&^(1<<paramBIOSIDOrder) != 0 {
		return told, &refusal{400, "unknown_parameter", "the only parameter of a state is biosIdOrder: the rest are fields of its body"}
	}
	if !fence.IsJSON(ctx) {
		return told, &refusal{415, "unsupported_media_type", "the body must be application/json (or application/…+json); Content-Type says " +
			quote(ctx.Request.Header.ContentType())}
	}
	body, err := fence.ReadBody(ctx, MaxLineBytes)
	switch {
	case errors.Is(err, fence.ErrTooLarge):
		return told, &refusal{413, "body_too_large", "a state is at most " + strconv.Itoa(MaxLineBytes) + " bytes"}
	case err != nil:
		return told, &refusal{400, "invalid_body", "the body ended early"}
	case !utf8.Valid(body):
		return told, &refusal{400, "invalid_json", "the body is not UTF-8"}
	}
	return s.readStateBody(body)
}

func (s *scratch) readStateBody(body []byte) (told state, bad *refusal) {
	c := cursor{line: body}
	if !c.take('{') {
		return told, notAState(&c)
	}
	seen := map[string]bool{}
	for !c.take('}') {
		if len(seen) > 0 && !c.take(',') {
			return told, notAState(&c)
		}
		name, ok := s.readString(&c)
		if !ok || !c.take(':') {
			return told, notAState(&c)
		}
		if seen[string(name)] {
			return told, &refusal{400, "invalid_field", quote(name) + " is given twice"}
		}
		seen[string(name)] = true
		if bad := told.readField(s, &c, name); bad != nil {
			return told, bad
		}
	}
	if c.space(); c.i != len(body) {
		return told, notAState(&c)
	}
	return told, nil
}

// readField reads the value of a field.
func (told *state) readField(s *scratch, c *cursor, name []byte) *refusal {
	c.space()
	isText := c.i < len(c.line) && c.line[c.i] == '"'
	switch string(name) {
	case "connectedTo":
		told.connectedTo = new(store.SVMID)
		if !isText {
			return told.readWord(c, name, "null")
		}
		text, ok := s.readString(c)
		if !ok {
			return notAState(c)
		}
		id, err := store.ParseSVMID(text)
		if err != nil {
			return badField(name, quote(text))
		}
		*told.connectedTo = id
	case "updateFailed":
		return told.readWord(c, name, "true", "false")
	default:
		return &refusal{400, "unknown_field", quote(name) + " is unknown; known are connectedTo and updateFailed"}
	}
	return nil
}

// readWord reads one of some literals.
func (told *state) readWord(c *cursor, name []byte, words ...string) *refusal {
	word := c.literal()
	for _, w := range words {
		if string(word) == w {
			told.updateFailed = told.updateFailed || w == "true"
			return nil
		}
	}
	return badField(name, quote(bytes.TrimSpace(word)))
}

func badField(name []byte, value string) *refusal {
	want := "true or false"
	if string(name) == "connectedTo" {
		want = "the id of an SVM (a UUID), or null"
	}
	return &refusal{400, "invalid_field", string(name) + " " + value + ": want " + want}
}

func notAState(c *cursor) *refusal {
	if c.i >= len(c.line) {
		return &refusal{400, "invalid_json", `the body ends within its JSON object: want {"connectedTo":"{svm id}","updateFailed":false}`}
	}
	return &refusal{400, "invalid_json", "the body is not a JSON object: unexpected " + quote(c.line[c.i:min(c.i+8, len(c.line))])}
}
