package inventory

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A jsonText reads JSON (RFC 8259) from a stream, strictly: unlike
// encoding/json it refuses invalid UTF-8, lone surrogates and doubled keys, and
// it knows its line. After the first error every read answers 0, so callers
// look at err once, at the end of what they read.
type jsonText struct {
	r    *bufio.Reader
	line int
	left int   // bytes that the record being read may still have
	err  error // an *Error, or the reader's

	scratch []byte // of text
}

func newJSONText(r *bufio.Reader, line int) *jsonText {
	return &jsonText{r: r, line: line, left: MaxRecord}
}

func (j *jsonText) fail(format string, args ...any) {
	if j.err == nil {
		j.err = failure(j.line, "", format, args...)
	}
}

// next takes the next byte, or 0 at the end and after an error.
func (j *jsonText) next() byte {
	if j.err != nil {
		return 0
	}
	c, err := j.r.ReadByte()
	switch {
	case err != nil:
		if j.err = err; errors.Is(err, io.EOF) {
			j.err = failure(j.line, "", "the JSON ends in the middle")
		}
	case j.left == 0:
		j.fail("a record is longer than %d bytes", MaxRecord)
	default:
		j.left--
		if c == '\n' {
			j.line++
		}
		return c
	}
	return 0
}

// peek skips white space and shows the byte that follows it; 0 at the end.
func (j *jsonText) peek() byte {
	for j.err == nil {
		head, err := j.r.Peek(1)
		if errors.Is(err, io.EOF) {
			return 0
		}
		if err != nil {
			j.err = err
			return 0
		}
		switch head[0] {
		case ' ', '\t', '\r', '\n':
			j.next()
		case 0: // which would pass for the end
			j.fail("a zero byte stands between values; is the file UTF-8?")
		default:
			return head[0]
		}
	}
	return 0
}

// accept takes c if it comes next.
func (j *jsonText) accept(c byte) bool {
	if j.peek() != c || j.err != nil {
		return false
	}
	j.next()
	return true
}

// expect takes c or fails.
func (j *jsonText) expect(c byte) {
	if j.accept(c) || j.err != nil {
		return
	}
	if got := j.peek(); got != 0 {
		j.fail("%q stands where %q must", got, c)
		return
	}
	j.next() // fails: the end
}

// end fails unless nothing but white space follows.
func (j *jsonText) end() {
	if c := j.peek(); c != 0 {
		j.fail("%q follows the end of the JSON", c)
	}
}

// value reads any value, nested at most depth deep.
func (j *jsonText) value(depth int) value {
	c := j.peek()
	v := value{line: j.line}
	if depth == 0 && (c == '{' || c == '[') {
		j.fail("values are nested more than %d deep", maxDepth)
		return v
	}
	switch {
	case c == '{':
		v.kind = kindObject
		j.members(func(name string) { v.add(name, j.value(depth-1)) })
	case c == '[':
		v.kind = kindList
		j.elements(func() { v.push(j.value(depth - 1)) })
	case c == '"':
		v.kind, v.text = kindText, j.text()
	case c == '-' || '0' <= c && c <= '9':
		v.kind, v.text = kindNumber, j.number()
	default:
		v.kind, v.text = j.literal()
	}
	return v
}

// members reads an object; member must read the value of the name.
func (j *jsonText) members(member func(name string)) {
	j.expect('{')
	if j.accept('}') {
		return
	}
	for j.err == nil {
		j.peek()
		name := j.text()
		j.expect(':')
		if j.err != nil {
			return
		}
		member(name)
		if j.accept('}') {
			return
		}
		j.expect(',')
	}
}

// elements reads a list; element must read one value.
func (j *jsonText) elements(element func()) {
	j.expect('[')
	if j.accept(']') {
		return
	}
	for j.err == nil {
		element()
		if j.accept(']') {
			return
		}
		j.expect(',')
	}
}

func (j *jsonText) literal() (kind, string) {
	var word strings.Builder
	for c := j.peek(); 'a' <= c && c <= 'z' && word.Len() < 6; {
		word.WriteByte(j.next())
		head, err := j.r.Peek(1)
		if err != nil {
			break
		}
		c = head[0]
	}
	switch w := word.String(); w {
	case "null":
		return kindNull, w
	case "true", "false":
		return kindBool, w
	case "":
		j.next() // fails at the end
		j.fail("a value must stand here: an object, a list, text in double quotes, a number, true or false")
	default:
		j.fail("%q is not JSON; text stands in double quotes", w)
	}
	return kindNull, ""
}

// number reads what the grammar allows: -? (0 | [1-9][0-9]*) fraction? exponent?
func (j *jsonText) number() string {
	var b strings.Builder
	for j.err == nil {
		head, err := j.r.Peek(1)
		if err != nil || strings.IndexByte("+-.0123456789eE", head[0]) < 0 {
			break
		}
		b.WriteByte(j.next())
	}
	if s := b.String(); !isNumber(s) {
		j.fail("%s is not a number of JSON", shown(s))
	}
	return b.String()
}

func isNumber(s string) bool {
	digits := func() (ok bool) {
		for s != "" && '0' <= s[0] && s[0] <= '9' {
			s, ok = s[1:], true
		}
		return ok
	}
	s = strings.TrimPrefix(s, "-")
	if rest, zero := strings.CutPrefix(s, "0"); zero {
		s = rest
	} else if !digits() {
		return false
	}
	if rest, fraction := strings.CutPrefix(s, "."); fraction {
		if s = rest; !digits() {
			return false
		}
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		if s = s[1:]; s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		if !digits() {
			return false
		}
	}
	return s == ""
}

// text reads a string in double quotes.
func (j *jsonText) text() string {
	if j.expect('"'); j.err != nil {
		return ""
	}
	b := j.scratch[:0]
	for {
		// What needs no look of its own, as much of it as is in the buffer.
		plain, _ := j.r.Peek(min(j.r.Buffered(), j.left))
		n := 0
		for n < len(plain) && plain[n] >= ' ' && plain[n] != '"' && plain[n] != '\\' {
			n++
		}
		b = append(b, plain[:n]...)
		j.left -= n
		_, _ = j.r.Discard(n) // of what Peek had
		switch c := j.next(); {
		case j.err != nil:
			return ""
		case c == '"':
			if !utf8.Valid(b) {
				j.fail("text %s is not valid UTF-8", shown(string(b)))
			}
			j.scratch = b
			return string(b)
		case c == '\\':
			b = j.escape(b)
		case c < ' ':
			j.fail("text has the control character %q; write it as \\u%04x", c, c)
		default:
			b = append(b, c)
		}
	}
}

const escapes = `"\/bfnrt`

// escape appends what follows a backslash.
func (j *jsonText) escape(b []byte) []byte {
	c := j.next()
	if i := strings.IndexByte(escapes, c); i >= 0 {
		return append(b, "\"\\/\b\f\n\r\t"[i])
	}
	if c != 'u' {
		j.fail("\\%c is not an escape of JSON", c)
		return b
	}
	r := j.hex4()
	if utf16.IsSurrogate(r) {
		if j.next() != '\\' || j.next() != 'u' {
			j.fail("\\u%04x is half a character: the other half must follow", r)
			return b
		}
		second := j.hex4()
		full := utf16.DecodeRune(r, second)
		if full == utf8.RuneError {
			j.fail("\\u%04x\\u%04x is not a character", r, second)
		}
		r = full
	}
	return utf8.AppendRune(b, r)
}

func (j *jsonText) hex4() (r rune) {
	for range 4 {
		c := j.next()
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			j.fail("\\u needs four hexadecimal digits")
		}
	}
	return r
}
