package fence

import (
	"bytes"
	"encoding/binary"
)

// canonical reports whether target, which begins with a slash, has a path that
// every parser reads alike. The query is the handler's matter, except that a
// target must not contain a fragment. White space and control characters never
// come this far.
func canonical(target []byte) bool {
	// Hot path: searches that run on vector instructions, rather than a loop
	// over some seventy bytes. BenchmarkCanonical has the cost.
	path := target
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		path = target[:i]
	}
	if bytes.IndexByte(target, '#') >= 0 || bytes.IndexByte(path, '\\') >= 0 ||
		bytes.Contains(path, doubleSlash) || !ascii(path) {
		return false
	}
	if i := bytes.Index(path, slashDot); i >= 0 && hasDotSegment(path[i:]) {
		return false
	}
	if i := bytes.IndexByte(path, '%'); i >= 0 {
		return goodEscapes(path[i:])
	}
	return true
}

var (
	doubleSlash = []byte("//")
	slashDot    = []byte("/.")
)

func ascii(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// hasDotSegment reports whether path has a segment "." or "..", or one that
// begins so before an escape: some parsers cut there.
func hasDotSegment(path []byte) bool {
	for {
		i := bytes.Index(path, slashDot)
		if i < 0 {
			return false
		}
		path = path[i+1:]
		rest := bytes.TrimPrefix(path[1:], []byte("."))
		if len(rest) == 0 || rest[0] == '/' || rest[0] == '%' {
			return true
		}
	}
}

func goodEscapes(path []byte) bool {
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return true
		}
		if path = path[i:]; !goodEscape(path) {
			return false
		}
		path = path[3:]
	}
}

// goodEscape reports whether rest begins with an escape of a byte that needs
// one and that can not change the structure of the path when some other parser
// decodes it early, or twice.
func goodEscape(rest []byte) bool {
	if len(rest) < 3 {
		return false
	}
	hi, ok1 := unhex(rest[1])
	lo, ok2 := unhex(rest[2])
	c := hi<<4 | lo
	switch {
	case !ok1 || !ok2, c < ' ', c == 0x7f:
		return false
	case c == '/', c == '\\', c == '%':
		return false
	case 'a' <= c|0x20 && c|0x20 <= 'z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
		return false
	}
	return true
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// splitAbsolute splits a target in absolute form into its authority and the
// rest, which is empty or begins with a slash or a question mark.
func splitAbsolute(target []byte) (authority, rest []byte, ok bool) {
	scheme, after, found := bytes.Cut(target, []byte("://"))
	if !found || !bytes.EqualFold(scheme, []byte("http")) && !bytes.EqualFold(scheme, []byte("https")) {
		return nil, nil, false
	}
	if i := bytes.IndexAny(after, "/?#"); i >= 0 {
		return after[:i], after[i:], true
	}
	return after, nil, true
}
