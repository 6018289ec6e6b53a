package fence

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/valyala/fasthttp"
)

var (
	// ErrTooLarge reports a body that is over a handler's bound.
	ErrTooLarge = errors.New("the body is too large")
	// ErrCut reports a body that is not as long as it was said to be.
	ErrCut = errors.New("the body ended early")
)

// A Body is a request's body as it arrives. It ends with [io.EOF] only after all that
// Content-Length announced: the stream of fasthttp takes a connection that ends early
// for the end of the body.
type Body struct {
	// Err is the connection's error, if there was one.
	Err error

	from io.Reader
	left int // bytes that are still to come; less than 0 if nobody said
}

// BodyOf returns the body of a request, whether it is a stream or not.
func BodyOf(ctx *fasthttp.RequestCtx) *Body {
	if stream := ctx.RequestBodyStream(); stream != nil {
		return &Body{from: stream, left: ctx.Request.Header.ContentLength()}
	}
	return &Body{from: bytes.NewReader(ctx.Request.Body())}
}

// Read implements [io.Reader].
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.left -= n
	if err == io.EOF && b.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		b.Err = err
	}
	return n, err
}

// ReadBody returns a body of up to most bytes. One that announces more is [ErrTooLarge]
// before anything of it is read. Other errors wrap [ErrCut].
func ReadBody(ctx *fasthttp.RequestCtx, most int) ([]byte, error) {
	if ctx.Request.Header.ContentLength() > most {
		return nil, ErrTooLarge
	}
	raw, err := io.ReadAll(io.LimitReader(BodyOf(ctx), int64(most)+1))
	switch {
	case len(raw) > most:
		return nil, ErrTooLarge
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCut, err)
	}
	return raw, nil
}

// Hurry bounds the time until a body must have arrived whose route takes a stream, and
// which is small nevertheless.
func Hurry(ctx *fasthttp.RequestCtx) { setReadDeadline(ctx, readTimeout) }

// IsJSON reports whether a body is declared as JSON, in the plain type or in one derived
// from it such as application/merge-patch+json.
func IsJSON(ctx *fasthttp.RequestCtx) bool {
	t, params, err := mime.ParseMediaType(string(ctx.Request.Header.ContentType()))
	if err != nil {
		return false
	}
	if charset := params["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json")
}
