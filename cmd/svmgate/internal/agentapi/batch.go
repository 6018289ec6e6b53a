package agentapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/fence"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// Bounds of a batch.
const (
	MaxLines     = 10_000
	MaxLineBytes = 4096
	MaxBodyBytes = 4 << 20
)

// chunkBytes is about how much of the answers is made before it is sent.
const chunkBytes = 32 << 10

var newline = []byte{'\n'}

// startBatch checks a batch as a whole and makes its answers the response's
// body. It reports whether it did: then the body owns s.
func (a *API) startBatch(ctx *fasthttp.RequestCtx, p *plane, s *scratch, query []byte) bool {
	bad := func(status int, code, detail string) bool {
		p.metrics.count(s.shard, outcomeInvalid)
		(&refusal{status, code, detail}).write(ctx)
		return false
	}
	if len(query) > 0 {
		return bad(400, "unknown_parameter", "a batch takes no query: the parameters are fields of its lines")
	}
	body, err := wholeBody(ctx)
	switch {
	case errors.Is(err, fence.ErrTooLarge):
		ctx.SetConnectionClose() // what was not read would be taken for the next request
		return bad(413, "body_too_large", "a batch is at most "+strconv.Itoa(MaxBodyBytes)+" bytes: send several")
	case err != nil:
		ctx.SetConnectionClose()
		return bad(400, "invalid_body", "the body ended early")
	case bytes.Count(body, newline) >= MaxLines && countLines(body) > MaxLines:
		return bad(413, "too_many_lines", "a batch has at most "+strconv.Itoa(MaxLines)+" lines: send several")
	}
	p.metrics.count(s.shard, outcomeBatch)
	s.buf = s.buf[:0]
	ctx.Response.Header.SetContentType("application/x-ndjson")
	ctx.Response.Header.SetCanonical(cacheControl, noStore)
	ctx.Response.SetBodyStream(&batch{api: a, plane: p, s: s, lines: body}, -1)
	return true
}

// wholeBody returns the body of a request. Where the server streams bodies it
// reads them, up to the bound.
func wholeBody(ctx *fasthttp.RequestCtx) ([]byte, error) {
	if ctx.Request.IsBodyStream() {
		return fence.ReadBody(ctx, MaxBodyBytes)
	}
	if body := ctx.PostBody(); len(body) <= MaxBodyBytes {
		return body, nil
	}
	return nil, fence.ErrTooLarge
}

// countLines counts the lines that will be answered.
func countLines(body []byte) (n int) {
	for len(body) > 0 {
		var line []byte
		if line, body = cutLine(body); len(line) > 0 {
			n++
		}
	}
	return n
}

// cutLine cuts the first line off text, without the white space around it. A
// line of white space alone is empty; it is not answered.
func cutLine(text []byte) (line, rest []byte) {
	if i := bytes.IndexByte(text, '\n'); i >= 0 {
		line, rest = text[:i], text[i+1:]
	} else {
		line = text
	}
	for len(line) > 0 && isSpace(line[0]) {
		line = line[1:]
	}
	for len(line) > 0 && isSpace(line[len(line)-1]) {
		line = line[:len(line)-1]
	}
	return line, rest
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' || b == '\r' }

// A batch is the answers of a batch as a stream: each is made when it is read.
// Every line is decided on its own, from the table of that moment.
//
// The lines stay in the request's buffer, which the server keeps until the
// response has been written. Close gives the scratch back.
type batch struct {
	api    *API
	plane  *plane
	s      *scratch // s.buf has answers made but not yet read, from unread on
	lines  []byte
	unread int
}

// fill makes answers until there are enough to be worth sending. It reports
// false at the end.
func (b *batch) fill() bool {
	s := b.s
	s.buf, b.unread = s.buf[:0], 0
	for len(b.lines) > 0 && len(s.buf) < chunkBytes {
		var next [together][]byte
		n := 0
		for n < together && len(b.lines) > 0 {
			var line []byte
			if line, b.lines = cutLine(b.lines); len(line) > 0 {
				next[n] = line
				n++
			}
		}
		for i, line := range next[:n] {
			s.ahead[i] = plainID(line)
			b.plane.prefetch(&s.ahead[i])
		}
		for i, line := range next[:n] {
			s.buf = b.plane.appendAnswer(s.buf, s, line, s.ahead[i])
		}
	}
	return len(s.buf) > 0
}

// together is the number of lines whose VMs memory brings together, rather than each when
// its line is decided.
const together = 16

// Read implements [io.Reader].
func (b *batch) Read(p []byte) (int, error) {
	if b.s == nil || b.unread == len(b.s.buf) && !b.fill() {
		return 0, io.EOF
	}
	n := copy(p, b.s.buf[b.unread:])
	b.unread += n
	return n, nil
}

// WriteTo implements [io.WriterTo]: the server sends what one Write brings as
// one chunk, so larger is better than what its own buffer would take.
func (b *batch) WriteTo(w io.Writer) (written int64, err error) {
	for err == nil && b.s != nil && (b.unread < len(b.s.buf) || b.fill()) {
		var n int
		n, err = w.Write(b.s.buf[b.unread:])
		written += int64(n)
		b.unread += n
	}
	return written, err
}

// SupportsBodyWriteTo tells the server that WriteTo writes what Read reads.
func (b *batch) SupportsBodyWriteTo() bool { return true }

// Close implements [io.Closer]. The server calls it once the response has been
// written or given up.
func (b *batch) Close() error {
	if b.s != nil {
		b.api.release(b.s)
		b.s = nil
	}
	return nil
}

// errorNotRegistered ends the answer to a line whose VM is unknown.
var errorNotRegistered = []byte(`","error":{"code":"` + notRegisteredCode + `","detail":"` + notRegisteredDetail + `"}}` + "\n")

// errorTooMany is the answer to a line that is put off, up to the number of seconds.
var errorTooMany = []byte(`","error":{"code":"` + tooManyCode + `","detail":"` + tooManyDetail + `"},"refreshSeconds":`)

// appendAnswer answers one line, in which [plainID] found known. Like [API.serve] it is on the
// hot path.
func (p *plane) appendAnswer(dst []byte, s *scratch, line []byte, known store.BIOSID) []byte {
	bad := tooLong
	if len(line) <= MaxLineBytes {
		bad = s.readLine(line, known)
	} else {
		s.clear()
		line = nil // and nothing of it is quoted
	}
	if bad != nil {
		p.metrics.countLine(s.shard, outcomeInvalid)
		return bad.appendLine(dst, s.given(line))
	}
	p.decide(&s.query, &s.answer)
	p.metrics.countLine(s.shard, outcome(s.answer.Result))
	dst = append(dst, `{"biosId":"`...)
	dst = store.AppendID(dst, s.bios)
	switch s.answer.Result {
	case discovery.NotRegistered:
		return append(dst, errorNotRegistered...)
	case discovery.Later:
		dst = append(dst, errorTooMany...)
		return append(strconv.AppendInt(dst, int64(s.answer.RefreshSeconds), 10), "}\n"...)
	}
	p.note(s)
	dst = append(dst, `",`...)
	dst = s.answer.AppendFields(dst)
	return append(dst, "}\n"...)
}

var tooLong = &refusal{400, "line_too_long", "a line is at most " + strconv.Itoa(MaxLineBytes) + " bytes"}

// appendLine appends a refusal as the answer to one line.
func (r *refusal) appendLine(dst []byte, biosID string) []byte {
	type fault struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	b, _ := json.Marshal(struct { // strings alone: it can not fail
		BIOSID string `json:"biosId"`
		Error  fault  `json:"error"`
	}{biosID, fault{r.code, r.detail}})
	return append(append(dst, b...), '\n')
}
