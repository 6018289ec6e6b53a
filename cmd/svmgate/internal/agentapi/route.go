package agentapi

import "bytes"

// Routes of the plane.
const (
	routeNone = iota
	routeOne
	routeBatch
	routeState
)

var (
	question    = []byte("?")
	agentsPath  = []byte("/v1/agents/")
	svmName     = []byte("svm")
	svmSuffix   = []byte("/svm")
	stateSuffix = []byte("/state")
	afterScheme = []byte("://")
)

// splitURI cuts a request URI into path and query, neither of them decoded. Of
// an absolute URI (RFC 9112, section 3.2.2) it leaves scheme and host away.
func splitURI(uri []byte) (path, query []byte) {
	if len(uri) == 0 || uri[0] != '/' {
		_, uri, _ = bytes.Cut(uri, afterScheme)
		slash := bytes.IndexByte(uri, '/')
		if slash < 0 {
			return nil, nil
		}
		uri = uri[slash:]
	}
	path, query, _ = bytes.Cut(uri, question)
	return path, query
}

// matchRoute finds the route of a path and, for those of one agent, the text that
// stands for the BIOS ID, not decoded.
func matchRoute(path []byte) (id []byte, route int) {
	rest, ok := bytes.CutPrefix(path, agentsPath)
	if !ok {
		return nil, routeNone
	}
	if bytes.Equal(rest, svmName) {
		return nil, routeBatch
	}
	route = routeOne
	if id, ok = bytes.CutSuffix(rest, svmSuffix); !ok {
		route = routeState
		id, ok = bytes.CutSuffix(rest, stateSuffix)
	}
	if !ok || len(id) == 0 || bytes.IndexByte(id, '/') >= 0 {
		return nil, routeNone
	}
	return id, route
}

// unescape decodes percent-encoding, and in a query (plus) '+' as a space. Text
// without either is returned as it is; decoded text lies in s.text, where it
// stays until the next question. It reports false for a broken encoding.
func (s *scratch) unescape(b []byte, plus bool) ([]byte, bool) {
	i := 0
	for i < len(b) && b[i] != '%' && (b[i] != '+' || !plus) {
		i++
	}
	if i == len(b) {
		return b, true
	}
	start := len(s.text)
	s.text = append(s.text, b[:i]...)
	for ; i < len(b); i++ {
		c := b[i]
		switch {
		case c == '+' && plus:
			c = ' '
		case c == '%':
			if i+2 >= len(b) {
				return nil, false
			}
			hi, lo := unhex(b[i+1]), unhex(b[i+2])
			if hi > 15 || lo > 15 {
				return nil, false
			}
			c = hi<<4 | lo
			i += 2
		}
		s.text = append(s.text, c)
	}
	return s.text[start:], true
}

// unhex returns the value of a hexadecimal digit, and 255 for any other byte.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
