package express

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// A Reply is an answer but for its body.
type Reply struct {
	Status      int
	ContentType string
	RetryAfter  int // seconds; 0 says nothing
}

// plain is the reply of nearly all answers.
var plain = Reply{Status: fasthttp.StatusOK, ContentType: "application/json"}

// Append appends a whole answer in the form in which the server writes it. No cache may
// keep it.
func (r *Request) Append(dst []byte, reply Reply, body []byte) []byte {
	h := headOf(r.now)
	if reply == plain {
		dst = append(dst, h.plain...)
	} else {
		dst = reply.appendHead(dst, h.date)
	}
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\nCache-Control: no-store\r\n"...)
	if reply.RetryAfter > 0 {
		dst = append(dst, "Retry-After: "...)
		dst = append(strconv.AppendInt(dst, int64(reply.RetryAfter), 10), "\r\n"...)
	}
	return append(append(dst, "\r\n"...), body...)
}

// appendHead appends the first lines, up to the number that is the length.
func (reply Reply) appendHead(dst, date []byte) []byte {
	dst = append(dst, "HTTP/1.1 "...)
	dst = strconv.AppendInt(dst, int64(reply.Status), 10)
	dst = append(append(dst, ' '), fasthttp.StatusMessage(reply.Status)...)
	dst = append(append(dst, "\r\nDate: "...), date...)
	dst = append(append(dst, "\r\nContent-Type: "...), reply.ContentType...)
	return append(dst, "\r\nContent-Length: "...)
}

// A head is what is the same in the answers of one second.
type head struct {
	second int64
	date   []byte
	plain  []byte // the first lines of the plain reply
}

var lastHead atomic.Pointer[head]

// headOf returns the head of a moment. It allocates in the first answer of a second.
func headOf(now time.Time) *head {
	second := now.Unix()
	h := lastHead.Load()
	if h == nil || h.second != second {
		date := fasthttp.AppendHTTPDate(nil, now)
		h = &head{second: second, date: date, plain: plain.appendHead(nil, date)}
		lastHead.Store(h)
	}
	return h
}
