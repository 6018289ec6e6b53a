package agentapi

import (
	"encoding/binary"
	"encoding/json"
	"math/bits"
	"unicode/utf8"

	"github.com/svmgate/svmgate/store"
)

// A line of a batch is a JSON object of the parameters of one question:
//
//	{"biosId":"4c4c4544-…","version":"12.0","current":"5e1f…","failed":["…"],"limit":3,"protection":"on"}
//
// All are strings but failed, an array of strings, and limit, a number.
// Protection may also be true or false, and null is the same as leaving a field
// out. The reader below does one pass and does not allocate; only a string with
// a backslash in it goes the slow way. FuzzBatch holds it to encoding/json.

// A cursor walks over one line.
type cursor struct {
	line []byte
	i    int
}

// plainStart is how most lines begin: with the VM, in the form with hyphens.
const (
	plainStart = `{"biosId":"`
	plainEnd   = len(plainStart) + len("00000000-0000-0000-0000-000000000000")
)

// plainID returns the VM of a line that begins plainly; zero says that it must be read.
func plainID(line []byte) store.BIOSID {
	if len(line) <= plainEnd || string(line[:len(plainStart)]) != plainStart || line[plainEnd] != '"' {
		return store.BIOSID{}
	}
	id, _ := store.ParseBIOSID(line[len(plainStart):plainEnd])
	return id
}

// readLine reads one line into s.query. What [plainID] found in it is not read again.
func (s *scratch) readLine(line []byte, known store.BIOSID) *refusal {
	s.clear()
	if !utf8.Valid(line) {
		return &refusal{400, "invalid_json", "the line is not UTF-8"}
	}
	c := cursor{line: line}
	switch {
	case !known.IsZero():
		s.bios, s.seen, c.i = known, 1<<paramBIOSID, plainEnd+1
	case !c.take('{'):
		return c.broken()
	}
	for first := known.IsZero(); !c.take('}'); first = false {
		if !first && !c.take(',') {
			return c.broken()
		}
		if bad := s.readField(&c); bad != nil {
			return bad
		}
	}
	if c.space(); c.i != len(line) {
		return c.broken()
	}
	if s.seen&(1<<paramBIOSID) == 0 {
		return &refusal{400, "invalid_id", "biosId is missing"}
	}
	s.finish()
	return nil
}

// readField reads one "name":value.
func (s *scratch) readField(c *cursor) *refusal {
	name, ok := s.readString(c)
	if !ok || !c.take(':') {
		return c.broken()
	}
	p, bad := s.admit(name)
	if bad == nil {
		bad = refuseInLine(p, name)
	}
	if bad != nil {
		return bad
	}
	c.space()
	if c.i == len(c.line) {
		return c.broken()
	}
	switch c.line[c.i] {
	case '"':
		text, ok := s.readString(c)
		if !ok {
			return c.broken()
		}
		if p == paramLimit || p == paramFailed {
			return wrongType(p, name)
		}
		return s.set(p, text)
	case '[':
		if p != paramFailed {
			return wrongType(p, name)
		}
		return s.readFailed(c)
	case '{':
		return wrongType(p, name)
	}
	return s.setLiteral(c, p, name)
}

// setLiteral reads a number, true, false or null.
func (s *scratch) setLiteral(c *cursor, p param, name []byte) *refusal {
	text := c.literal()
	switch {
	case len(text) == 0:
		return c.broken()
	case string(text) == "null" && p != paramBIOSID:
		return nil
	case string(text) == "true" && p == paramProtection:
		return s.set(p, []byte("on"))
	case string(text) == "false" && p == paramProtection:
		return s.set(p, []byte("off"))
	case p == paramLimit:
		return s.set(p, text)
	}
	return wrongType(p, name)
}

// readFailed reads an array of ids.
func (s *scratch) readFailed(c *cursor) *refusal {
	if c.take('['); c.take(']') {
		return nil
	}
	for {
		text, ok := s.readString(c)
		if !ok {
			return c.broken()
		}
		if bad := s.addFailed(text); bad != nil {
			return bad
		}
		if c.take(']') {
			return nil
		}
		if !c.take(',') {
			return c.broken()
		}
	}
}

// readString reads a string and returns its text, which lies in the line, or in
// s.text if it had to be decoded.
func (s *scratch) readString(c *cursor) ([]byte, bool) {
	if !c.take('"') {
		return nil, false
	}
	start := c.i
	for len(c.line)-c.i >= 8 {
		if marks := marksIn(binary.LittleEndian.Uint64(c.line[c.i:])); marks != 0 {
			c.i += bits.TrailingZeros64(marks) / 8
			break
		}
		c.i += 8
	}
	for ; c.i < len(c.line); c.i++ {
		switch b := c.line[c.i]; {
		case b == '"':
			c.i++
			return c.line[start : c.i-1], true
		case b == '\\':
			return s.readEscaped(c, start)
		case b < ' ':
			return nil, false
		}
	}
	return nil, false
}

// marksIn finds the first of eight bytes that ends a string or is special in it: a quotation
// mark, a backslash or a control character. The lowest bit that is set is that one's highest;
// none is if there is none.
func marksIn(text uint64) uint64 {
	// To subtract borrows from a byte that is less. Its neighbour may then be taken for
	// one that is less, too; but that one stands behind it.
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, backslash := text^'"'*ones, text^'\\'*ones
	return ((quote-ones)&^quote | (backslash-ones)&^backslash | (text-' '*ones)&^text) & highs
}

// readEscaped goes on with a string, whose text starts at start, from its first
// backslash.
func (s *scratch) readEscaped(c *cursor, start int) ([]byte, bool) {
	for c.i < len(c.line) && c.line[c.i] != '"' {
		if c.line[c.i] == '\\' {
			c.i++
		}
		c.i++
	}
	if c.i >= len(c.line) {
		return nil, false
	}
	c.i++
	var text string
	if json.Unmarshal(c.line[start-1:c.i], &text) != nil {
		return nil, false
	}
	from := len(s.text)
	s.text = append(s.text, text...)
	return s.text[from:], true
}

// take skips white space and then the byte b, if it stands there.
func (c *cursor) take(b byte) bool {
	c.space()
	if c.i < len(c.line) && c.line[c.i] == b {
		c.i++
		return true
	}
	return false
}

func (c *cursor) space() {
	for c.i < len(c.line) {
		switch c.line[c.i] {
		case ' ', '\t', '\r', '\n':
			c.i++
		default:
			return
		}
	}
}

// literal reads on to the end of a number or a word.
func (c *cursor) literal() []byte {
	start := c.i
	for c.i < len(c.line) {
		switch c.line[c.i] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return c.line[start:c.i]
		}
		c.i++
	}
	return c.line[start:c.i]
}

func (c *cursor) broken() *refusal {
	if c.i >= len(c.line) {
		return &refusal{400, "invalid_json", "the line ends within its JSON object"}
	}
	return &refusal{400, "invalid_json", "the line is not a JSON object: unexpected " +
		quote(c.line[c.i:min(c.i+8, len(c.line))])}
}

func wrongType(p param, name []byte) *refusal {
	want := "a string"
	switch p {
	case paramFailed:
		want = "an array of ids"
	case paramLimit:
		want = "a number from 1 to 16"
	case paramProtection:
		want = `"on", "off", true or false`
	}
	return &refusal{400, "invalid_parameter", string(name) + ": want " + want}
}

// given returns the biosId of a line that was refused, so that the caller knows
// which: its canonical form, else what was written, else nothing.
func (s *scratch) given(line []byte) string {
	if !s.bios.IsZero() {
		return s.bios.String()
	}
	var probe struct {
		BIOSID string `json:"biosId"`
	}
	_ = json.Unmarshal(line, &probe) // whatever can be read of it
	if id, err := store.ParseBIOSID(probe.BIOSID); err == nil {
		return id.String()
	}
	const most = 64
	return probe.BIOSID[:min(most, len(probe.BIOSID))]
}
