package viis

import (
	"io"
	"net"
	"time"
)

const (
	// listBuffer is how much of a list is made at a time, in bytes, one item more or less.
	listBuffer = 64 << 10
	// stallTimeout is how long a client may take nothing of a list. All of it may take
	// longer than any other answer should.
	stallTimeout = 30 * time.Second
)

// A listing is a list as it is read: lists have no pages here, and that of a tenant's
// VMs may have millions.
type listing struct {
	conn net.Conn
	name string // of the element
	// next appends the next items, and reports whether there are more.
	next func(dst []byte) ([]byte, bool)
	buf  []byte
	read int // of buf
	over bool
}

// answerList answers a list: as a whole if it is short, otherwise in chunks.
func (c *call) answerList(name string, next func([]byte) ([]byte, bool)) error {
	l := &listing{conn: c.ctx.Conn(), name: name, next: next}
	l.buf = append(append(append(l.buf, declared...), '<'), name...)
	l.buf = append(l.buf, '>')
	l.fill()
	c.ctx.SetContentType(contentType)
	switch {
	case l.over:
		c.ctx.Response.SetBodyRaw(l.buf)
	case c.ctx.IsHead():
		c.ctx.Response.Header.SetContentLength(-1) // in chunks, as it would come
	default:
		c.ctx.Response.SetBodyStream(l, -1)
	}
	return nil
}

// fill makes as much of the list as there is room for.
func (l *listing) fill() {
	for len(l.buf) < listBuffer && !l.over {
		var more bool
		if l.buf, more = l.next(l.buf); !more {
			l.buf = appendEnd(l.buf, l.name)
			l.over = true
		}
	}
}

// Read implements [io.Reader].
func (l *listing) Read(p []byte) (int, error) {
	if l.read == len(l.buf) {
		l.buf, l.read = l.buf[:0], 0
		if l.fill(); len(l.buf) == 0 {
			return 0, io.EOF
		}
	}
	n := copy(p, l.buf[l.read:])
	l.read += n
	// An error means that the connection is gone; writing to it says so.
	_ = l.conn.SetWriteDeadline(time.Now().Add(stallTimeout))
	return n, nil
}

// each makes a list of what is there already.
func each[T any](list []T, appendItem func([]byte, *T) []byte) func([]byte) ([]byte, bool) {
	return func(dst []byte) ([]byte, bool) {
		if len(list) == 0 {
			return dst, false
		}
		dst = appendItem(dst, &list[0])
		list = list[1:]
		return dst, true
	}
}
