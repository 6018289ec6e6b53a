package express

import (
	"bytes"
	"encoding/binary"
	"time"
)

// A Request is a question of one agent.
type Request struct {
	ID            []byte // what stands in the place of the BIOS ID, as it was sent
	Query         []byte // without its question mark; no byte of it is encoded
	Authorization []byte // empty if there is none

	// QueryNumber is the same for requests of one connection only if Query is, and 0 if
	// nothing is known of that. Note is for whoever answers, and stays with the connection.
	QueryNumber uint64
	Note        any

	now    time.Time
	again  bool // this is not the first on its connection
	before memory
}

const (
	prefix    = "GET /v1/agents/"
	idLength  = 36
	suffix    = "/svm"
	version   = "HTTP/1.1\r\n"
	queryAt   = len(prefix) + idLength + len(suffix)
	minLength = queryAt + len(" "+version+"Host: a\r\n\r\n")
)

// parse reads a request, if text is exactly one of the form of the package comment. The
// ID may be any bytes, but needs no decoding: whoever reads it as a UUID sees.
func (r *Request) parse(text []byte) bool {
	if len(text) < minLength || string(text[:len(prefix)]) != prefix ||
		string(text[len(prefix)+idLength:queryAt]) != suffix {
		return false
	}
	r.ID = text[len(prefix) : len(prefix)+idLength]
	if bytes.IndexByte(r.ID, '%') >= 0 {
		return false // whether it may be encoded is for the server to say
	}
	all := text[len(prefix)+idLength:]
	if r.alike(all) {
		return true
	}
	r.QueryNumber = 0
	if !r.parseRest(text[queryAt:]) {
		return false
	}
	if r.again {
		r.keep(all)
	}
	return true
}

// parseRest reads what follows the path.
func (r *Request) parseRest(rest []byte) bool {
	r.Query, r.Authorization = nil, nil
	if rest[0] == '?' {
		end := bytes.IndexByte(rest, ' ')
		if end < 0 || !all(rest[1:end], inQuery) {
			return false
		}
		r.Query, rest = rest[1:end], rest[end:]
	}
	if len(rest) <= len(version) || rest[0] != ' ' || string(rest[1:1+len(version)]) != version {
		return false
	}
	return r.parseHeaders(rest[1+len(version):])
}

// parseHeaders reads header lines and the empty line, behind which nothing may stand.
func (r *Request) parseHeaders(text []byte) bool {
	hosts := 0
	for len(text) > 2 {
		end := bytes.IndexByte(text, '\r')
		if end < 0 || end+1 == len(text) || text[end+1] != '\n' {
			return false
		}
		line := text[:end]
		text = text[end+2:]
		colon := bytes.IndexByte(line, ':')
		if colon < 0 || colon+2 >= len(line) || line[colon+1] != ' ' {
			return false
		}
		value := line[colon+2:]
		if !isValue(value) {
			return false
		}
		switch nameOf(line[:colon]) {
		case nameHost:
			if hosts++; !isHost(value) {
				return false
			}
		case nameAuthorization:
			if len(r.Authorization) > 0 {
				return false
			}
			r.Authorization = value
		case nameConnection:
			if string(value) != "keep-alive" {
				return false
			}
		case nameOther:
			return false
		}
	}
	return hosts == 1 && string(text) == "\r\n"
}

// isValue reports whether text, which is not empty, is the value of a header.
func isValue(text []byte) bool {
	return text[0] != ' ' && text[len(text)-1] != ' ' && visible(text)
}

// A name is a header that parse knows.
type name uint8

const (
	nameOther name = iota
	nameHost
	nameAuthorization
	nameConnection
	nameIndifferent // changes nothing
)

// names are in lower case, by their lengths: no two are equally long but for a few.
var names = func() (t [24][]struct {
	text string
	name name
}) {
	for text, n := range map[string]name{
		"host": nameHost, "authorization": nameAuthorization, "connection": nameConnection,
		"user-agent": nameIndifferent, "accept": nameIndifferent, "accept-encoding": nameIndifferent,
		"accept-language": nameIndifferent, "x-forwarded-for": nameIndifferent, "x-forwarded-proto": nameIndifferent,
		"x-real-ip": nameIndifferent,
	} {
		t[len(text)] = append(t[len(text)], struct {
			text string
			name name
		}{text, n})
	}
	return t
}()

// nameOf finds a header by its name, in whatever case.
func nameOf(text []byte) name {
	if len(text) >= len(names) {
		return nameOther
	}
	for i := range names[len(text)] {
		if known := &names[len(text)][i]; equalFold(text, known.text) {
			return known.name
		}
	}
	return nameOther
}

// equalFold reports whether text is known, which is in lower case and as long.
func equalFold(text []byte, known string) bool {
	for i, b := range text {
		if b >= 'A' && b <= 'Z' {
			b |= 0x20
		}
		if b != known[i] {
			return false
		}
	}
	return true
}

// isHost reports whether a value is a name or an IPv4 address, and maybe a port.
func isHost(value []byte) bool {
	host, port, found := bytes.Cut(value, colonText)
	return len(host) > 0 && all(host, inHost) && (!found || len(port) > 0 && len(port) <= 5 && all(port, digit))
}

var colonText = []byte(":")

// Classes of bytes.
const (
	inQuery = 1 << iota
	inHost
	digit
)

var classes = func() (t [256]uint8) {
	mark := func(bytes string, class uint8) {
		for i := range len(bytes) {
			t[bytes[i]] |= class
		}
	}
	const letters, digits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	mark(letters+digits+"-._~=&,:", inQuery)
	mark(letters+digits+"-.", inHost)
	mark(digits, digit)
	return t
}()

func all(text []byte, class uint8) bool {
	for _, b := range text {
		if classes[b]&class == 0 {
			return false
		}
	}
	return true
}

// visible reports whether text has nothing but spaces and visible ASCII.
func visible(text []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(text) >= 8 {
		w := binary.LittleEndian.Uint64(text)
		// Of bytes under 0x80: those under a space borrow, and 0x7f carries, into their
		// highest bits; a byte that does so for its neighbour is itself found.
		if (w|(w-ones*' ')|(w+ones))&highs != 0 {
			return false
		}
		text = text[8:]
	}
	for _, b := range text {
		if b < ' ' || b > '~' {
			return false
		}
	}
	return true
}
