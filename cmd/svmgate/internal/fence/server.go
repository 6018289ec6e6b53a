package fence

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/problem"
)

// Limits of a connection that are not settings.
const (
	readTimeout  = 10 * time.Second // a request, TLS handshake included
	writeTimeout = 30 * time.Second // an answer
	idleTimeout  = 75 * time.Second // between two requests
	readBuffer   = 8 << 10          // request line and headers

	// quietFor is how long the log is silent after a line about a connection:
	// whoever can reach the port can cause as many as he likes.
	quietFor = time.Second
)

// Server returns a server for h with the limits of this package. name says which
// plane it is, in the log. The caller may change Concurrency (connections at
// once, at first 65,536) and MaxRequestBodySize (at first [MaxBody]) before it
// calls Serve.
//
// Bodies are streams at first, and [Wrap] collects them: so they take memory as
// they arrive. The server itself would set aside what Content-Length announces,
// for whoever announces it.
//
// A handler that panics answers 500, and the rest goes on: one bad request must
// not take the gateway from everybody else. The log has the stack.
//
// log receives no bytes of a request: errors of connections are reduced to what
// kind they are.
func Server(name string, h fasthttp.RequestHandler, log *slog.Logger) *fasthttp.Server {
	log = log.With("plane", name)
	return &fasthttp.Server{
		Handler:      recovered(h, log),
		ErrorHandler: onError,
		Logger:       &quietLogger{log: log, now: time.Now},

		Concurrency:        64 << 10,
		ReadBufferSize:     readBuffer,
		ReadTimeout:        readTimeout,
		WriteTimeout:       writeTimeout,
		IdleTimeout:        idleTimeout,
		MaxRequestBodySize: MaxBody,
		StreamRequestBody:  true,

		CloseOnShutdown:              true,
		DisablePreParseMultipartForm: true, // it would write files
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true,
	}
}

func recovered(h fasthttp.RequestHandler, log *slog.Logger) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		defer func() {
			if p := recover(); p != nil {
				log.Error("a handler panicked; this is a bug, please report it",
					"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				problem.Write(ctx, fasthttp.StatusInternalServerError, "internal_error", "a bug in the gateway; its log has details")
				ctx.SetConnectionClose()
			}
		}()
		h(ctx)
	}
}

// A quietLogger takes fasthttp's messages, at most one in [quietFor], and counts
// the rest. Their errors can contain pieces of requests, so only kinds of errors
// are logged, and what concerns accepting, which no client can write into.
type quietLogger struct {
	log     *slog.Logger
	now     func() time.Time
	last    atomic.Int64 // Unix nanoseconds of the last line
	dropped atomic.Int64
}

// Printf implements [fasthttp.Logger].
func (l *quietLogger) Printf(format string, args ...any) {
	now, last := l.now().UnixNano(), l.last.Load()
	if now-last < int64(quietFor) || !l.last.CompareAndSwap(last, now) {
		l.dropped.Add(1)
		return
	}
	dropped := l.dropped.Swap(0)
	if strings.HasPrefix(format, "error when serving connection") {
		l.log.Debug("connection ended by an error", "kind", kindOf(args), "dropped", dropped)
		return
	}
	l.log.Warn("connections can not be accepted", "reason", fmt.Sprintf(format, args...), "dropped", dropped)
}

func kindOf(args []any) string {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			return requestFault(err).code
		}
	}
	return "unknown"
}
