package fence

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	// StallTimeout is how long a client may take nothing of an answer that [Send] sends.
	StallTimeout = 30 * time.Second
	// sendPiece is how much it is given at a time, in bytes.
	sendPiece = 64 << 10
)

// Send makes body the body of an answer: size bytes, or, if size is less than 0, whatever
// it has, in chunks. All of it may take longer than any other answer should, but nobody
// waits for a client that takes nothing. An error of body breaks the answer off, so that
// the client does not take it for whole. Body is closed in the end, also that of a HEAD.
func Send(ctx *fasthttp.RequestCtx, body io.ReadCloser, size int) {
	if ctx.IsHead() {
		_ = body.Close()
		ctx.Response.SkipBody = true
		ctx.Response.Header.SetContentLength(size)
		return
	}
	ctx.Response.SetBodyStream(&sending{body, ctx.Conn()}, size)
}

// sending is what is being sent.
type sending struct {
	io.ReadCloser
	conn net.Conn // nil if there is none, in a test
}

// Read implements [io.Reader].
func (s *sending) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	if s.conn != nil {
		// An error means that the connection is gone; writing to it says so.
		_ = s.conn.SetWriteDeadline(time.Now().Add(StallTimeout))
	}
	return n, err
}

// WriteTo implements [io.WriterTo]: the server by itself would send smaller pieces.
func (s *sending) WriteTo(w io.Writer) (written int64, err error) {
	piece := make([]byte, sendPiece)
	for {
		n, err := s.Read(piece)
		if n > 0 {
			m, err := w.Write(piece[:n])
			if written += int64(m); err != nil {
				return written, err
			}
		}
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
}

// SupportsBodyWriteTo tells the server that WriteTo writes what Read reads.
func (s *sending) SupportsBodyWriteTo() bool { return true }
