package fence

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/problem"
)

// Bounds of what a client may send and how long it may take.
const (
	// MaxBody bounds a body that a handler gets as a whole, in bytes. 10,000
	// lines of a batch question fit.
	MaxBody = 4 << 20

	// StreamTimeout is how long a client may take to send a stream.
	StreamTimeout = time.Hour

	// A rest of a stream up to maxSkip bytes, arriving within skipTimeout, is
	// skipped to keep the connection; it also lets a client that is still
	// sending read our answer: closing before it has sent all would reset the
	// connection, and the answer with it. Handlers that read no stream are sent
	// as much.
	maxSkip     = MaxBody
	skipTimeout = time.Second
)

// A fault is why a request is refused.
type fault struct {
	status       int
	code, detail string
}

var (
	faultVersion = &fault{fasthttp.StatusHTTPVersionNotSupported, "http_version",
		"only HTTP/1.0 and HTTP/1.1 are spoken here"}
	faultMethod = &fault{fasthttp.StatusMethodNotAllowed, "method_not_allowed",
		"CONNECT and TRACE are not served"}
	faultTarget = &fault{fasthttp.StatusBadRequest, "bad_target",
		"the request target must be a path that begins with a slash, or an http URL whose host equals the Host header"}
	faultPath = &fault{fasthttp.StatusBadRequest, "bad_path",
		"the path is not canonical: no empty, . or .. segments, no backslash or fragment, escapes only where needed"}
	faultHeader = &fault{fasthttp.StatusBadRequest, "bad_header",
		"header lines must end in CR LF, must not be folded, and must have names without white space"}
	faultEncoding = &fault{fasthttp.StatusBadRequest, "transfer_encoding",
		"Transfer-Encoding is not accepted here: send the body with a Content-Length"}
	faultFraming = &fault{fasthttp.StatusBadRequest, "ambiguous_length",
		"send either one Content-Length or Transfer-Encoding: chunked, not both"}
	faultGetBody = &fault{fasthttp.StatusBadRequest, "unexpected_body",
		"a GET or HEAD request must not have a body"}
	faultTooLarge = &fault{fasthttp.StatusRequestEntityTooLarge, "body_too_large",
		"the body is over the limit of this server"}
	faultBody = &fault{fasthttp.StatusBadRequest, "malformed_body",
		"the body ended early or is not framed as the headers say"}
	faultTimeout = &fault{fasthttp.StatusRequestTimeout, "request_timeout",
		"the request did not arrive in time"}
	faultHeaderSize = &fault{fasthttp.StatusRequestHeaderFieldsTooLarge, "headers_too_large",
		"request line and headers together are over 8 KiB"}
	faultMalformed = &fault{fasthttp.StatusBadRequest, "malformed_request",
		"the request can not be read as HTTP/1.1"}
)

// Wrap returns a handler that refuses every request that the package comment
// lists and passes on the rest. A route for which stream answers true may send
// its body in chunks and reads it with [fasthttp.RequestCtx.RequestBodyStream];
// a nil stream means no route. Wrap collects the bodies of all other routes, up to
// [MaxBody], so that their handlers see them whole.
func Wrap(next fasthttp.RequestHandler, stream func(*fasthttp.RequestCtx) bool) fasthttp.RequestHandler {
	if stream == nil {
		stream = never
	}
	return wrap(next, stream, always)
}

// Guard is [Wrap] without streams, where admits says by a request's headers whether it may
// have a body. That of one that may not is not collected: next, which is to refuse it, finds
// it unread, as a stream.
func Guard(next fasthttp.RequestHandler, admits func(*fasthttp.RequestCtx) bool) fasthttp.RequestHandler {
	return wrap(next, never, admits)
}

func never(*fasthttp.RequestCtx) bool  { return false }
func always(*fasthttp.RequestCtx) bool { return true }

func wrap(next fasthttp.RequestHandler, stream, admits func(*fasthttp.RequestCtx) bool) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		// Hot path: TestWrapDoesNotAllocate watches that a plain GET allocates
		// nothing, BenchmarkWrap what it costs.
		if f := inspect(ctx, stream); f != nil {
			refuse(ctx, f)
			return
		}
		if ctx.Request.IsBodyStream() {
			serveStream(ctx, next, stream(ctx), admits)
			return
		}
		next(ctx)
	}
}

func inspect(ctx *fasthttp.RequestCtx, stream func(*fasthttp.RequestCtx) bool) *fault {
	h := &ctx.Request.Header
	if !h.IsHTTP11() && string(h.Protocol()) != "HTTP/1.0" {
		return faultVersion
	}
	if target := h.RequestURI(); target[0] == '/' {
		if !canonical(target) {
			return faultPath
		}
	} else if f := inspectAbsolute(target, h.Host()); f != nil {
		return f
	}
	f := readFraming(h.RawHeaders())
	switch {
	case f.malformed:
		return faultHeader
	case f.contentLength > 1, f.contentLength > 0 && f.transferEncoding > 0:
		return faultFraming
	case f.transferEncoding > 0 && (f.transferEncoding > 1 || !f.chunked || !stream(ctx)):
		return faultEncoding
	}
	if h.IsGet() || h.IsHead() {
		if h.ContentLength() > 0 || f.transferEncoding > 0 {
			return faultGetBody
		}
	} else if h.IsConnect() || h.IsTrace() {
		return faultMethod
	}
	return nil
}

// inspectAbsolute is off the hot path: only proxies send the absolute form.
func inspectAbsolute(target, host []byte) *fault {
	authority, rest, ok := splitAbsolute(target)
	if !ok || len(authority) == 0 || bytes.IndexByte(authority, '@') >= 0 || !bytes.EqualFold(authority, host) {
		return faultTarget
	}
	if len(rest) == 0 {
		return nil
	}
	if rest[0] == '/' && canonical(rest) || rest[0] == '?' && bytes.IndexByte(rest, '#') < 0 {
		return nil
	}
	return faultPath
}

// serveStream runs next on a request whose body has not been read as a whole.
func serveStream(ctx *fasthttp.RequestCtx, next fasthttp.RequestHandler, stream bool, admits func(*fasthttp.RequestCtx) bool) {
	if stream {
		setReadDeadline(ctx, StreamTimeout)
		next(ctx)
		skipRest(ctx)
		return
	}
	if ctx.Request.Header.ContentLength() > MaxBody {
		refuse(ctx, faultTooLarge)
		skipRest(ctx)
		return
	}
	if !admits(ctx) {
		next(ctx)
		skipRest(ctx)
		return
	}
	body, err := collect(ctx.RequestBodyStream(), ctx.Request.Header.ContentLength())
	if err != nil {
		refuse(ctx, bodyFault(err))
		return
	}
	if len(body) < ctx.Request.Header.ContentLength() { // which fasthttp does not notice
		refuse(ctx, faultBody)
		return
	}
	ctx.Request.SetBodyRaw(body)
	next(ctx)
}

// firstRoom is how much of a body is taken on trust, in bytes.
const firstRoom = 16 << 10

// collect reads a body that is said to be of a length. There is never much more room for it
// than has arrived.
func collect(body io.Reader, length int) ([]byte, error) {
	buf := make([]byte, 0, min(length, firstRoom))
	for len(buf) < length {
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, min(length, 2*cap(buf))), buf...)
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		if buf = buf[:len(buf)+n]; errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// skipRest makes sure that what is left of a stream is not taken for the next
// request: fasthttp does not do so.
func skipRest(ctx *fasthttp.RequestCtx) {
	body := ctx.RequestBodyStream()
	if body == nil {
		return // the handler took it over
	}
	setReadDeadline(ctx, skipTimeout)
	if n, err := io.Copy(io.Discard, io.LimitReader(body, maxSkip)); err != nil || n == maxSkip {
		ctx.SetConnectionClose()
	}
}

func setReadDeadline(ctx *fasthttp.RequestCtx, d time.Duration) {
	if c := ctx.Conn(); c != nil {
		// An error means that the connection is gone; the next read says so.
		_ = c.SetReadDeadline(time.Now().Add(d))
	}
}

func refuse(ctx *fasthttp.RequestCtx, f *fault) {
	problem.Write(ctx, f.status, f.code, f.detail)
	ctx.SetConnectionClose()
}

// onError answers a request that fasthttp could not read; it closes the
// connection itself.
func onError(ctx *fasthttp.RequestCtx, err error) {
	refuse(ctx, requestFault(err))
}

func requestFault(err error) *fault {
	var small *fasthttp.ErrSmallBuffer
	var chunk fasthttp.ErrBrokenChunk
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		return faultHeaderSize
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return faultTooLarge
	case errors.As(err, &timeout) && timeout.Timeout():
		return faultTimeout
	case errors.As(err, &chunk), errors.Is(err, io.ErrUnexpectedEOF):
		return faultBody
	case errors.Is(err, fasthttp.ErrUnsupportedTransferEncoding):
		return faultEncoding
	case errors.Is(err, fasthttp.ErrDuplicateContentLength):
		return faultFraming
	}
	return faultMalformed
}

func bodyFault(err error) *fault {
	if f := requestFault(err); f != faultMalformed {
		return f
	}
	return faultBody
}
