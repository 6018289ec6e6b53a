package fence

import "bytes"

// framing is what the raw header lines say about where a request ends.
type framing struct {
	transferEncoding int // lines
	chunked          bool
	contentLength    int // lines
	malformed        bool
}

// readFraming looks at the header lines as they came, not as fasthttp understood
// them: it drops "Transfer-Encoding: identity", joins folded lines and forgets a
// Content-Length beside chunks. raw ends with the empty line, or is empty.
func readFraming(raw []byte) (f framing) {
	for len(raw) > 0 {
		n := bytes.IndexByte(raw, '\n')
		if n < 1 || raw[n-1] != '\r' {
			f.malformed = true
			return f
		}
		line := raw[:n-1]
		raw = raw[n+1:]
		if len(line) == 0 {
			// The first empty line ends the headers for us. If bytes follow,
			// fasthttp looked for the end elsewhere.
			f.malformed = len(raw) > 0
			return f
		}
		switch line[0] {
		case ' ', '\t':
			f.malformed = true
			return f
		case 't', 'T':
			if value, ok := header(line, "transfer-encoding"); ok {
				f.transferEncoding++
				f.chunked = bytes.EqualFold(bytes.Trim(value, " \t"), []byte("chunked"))
			}
		case 'c', 'C':
			if _, ok := header(line, "content-length"); ok {
				f.contentLength++
			}
		}
		// A space in a name, where some parsers cut it. fasthttp lets spaces pass,
		// but no other byte that does not belong there.
		if colon := bytes.IndexByte(line, ':'); colon < 1 || bytes.IndexByte(line[:colon], ' ') >= 0 {
			f.malformed = true
			return f
		}
	}
	return f
}

// header returns the value of line if its name is name, which is in lower case.
func header(line []byte, name string) ([]byte, bool) {
	if len(line) <= len(name) || line[len(name)] != ':' {
		return nil, false
	}
	for i := range len(name) {
		c := line[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != name[i] {
			return nil, false
		}
	}
	return line[len(name)+1:], true
}
