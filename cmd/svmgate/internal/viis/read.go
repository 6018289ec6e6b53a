package viis

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of a document beside that of the whole, [MaxBody], in bytes: encoding/xml reads
// byte by byte, and makes many times its size of a tag. How deep a document may nest
// follows from the elements that are known.
const (
	maxTag       = 1 << 10 // a tag or an instruction
	maxComment   = 4 << 10 // a comment, or white space in one place
	maxReference = 16      // &#x1F600; and the like, leading zeros included
	maxComments  = 100     // so many comments
	maxPieces    = 18_000  // of text: as many as fit of what is written for "]]>"
)

// An element is what a body may have in one place, and where it is read to. The zero
// value of all but name is an element that must be empty.
type element struct {
	name     string
	attrs    []attribute
	ignored  []string   // attributes that answers have, and that mean nothing in a body
	children []*element // each at most once, in any order

	text   *string // all text of it, as it was sent; nil if it may have none
	most   int     // bytes of text
	secret bool    // no error repeats its text

	found bool
}

// An attribute of an element.
type attribute struct {
	name  string
	value *string
}

// leaf is an element with text.
func leaf(name string, text *string, most int) *element {
	return &element{name: name, text: text, most: most}
}

// A reader takes a document apart.
//
// encoding/xml finds the tokens. It checks that elements close each other, and
// resolves no entities but the five of XML. What it lets pass, though XML does not, is
// found here: characters that are none, halves of surrogate pairs, an attribute twice,
// two roots, text beside the root, a declaration in the middle. So is what would take it
// long.
type reader struct {
	body     []byte
	dec      *xml.Decoder
	next     int    // offset of what encoding/xml reads next
	begin    int    // offset of the present token
	limit    int    // where it must have ended
	what     string // what it is, for who made it too long
	comments int
	pieces   int      // of text
	inside   []string // names of the open elements
	leaf     *element // the innermost one, if that may have text
	text     []byte   // what of it was read
}

var (
	utf8Mark = []byte("\xef\xbb\xbf")

	// declaration is what an XML declaration may say.
	declaration = regexp.MustCompile(`^version\s*=\s*("1\.0"|'1\.0')(\s+encoding\s*=\s*("(?i:utf-8)"|'(?i:utf-8)'))?(\s+standalone\s*=\s*("(yes|no)"|'(yes|no)'))?\s*$`)

	errTooLong = errors.New("the token is too long")
)

// Namespaces that programs declare in what they write, whether there is anything of them
// in it or not: nothing of them changes what a document says here.
const (
	schema         = "http://www.w3.org/2001/XMLSchema"
	schemaInstance = schema + "-instance"
)

// readDocument reads a body whose only element is root. The error is a [*failure] that
// says what is wrong with it, and where.
func readDocument(body []byte, root *element) error {
	body = bytes.TrimPrefix(body, utf8Mark)
	if at := notXML(body); at >= 0 {
		return bad("byte %d of the body is no character of XML in UTF-8, the only encoding that is read here", at)
	}
	r := &reader{body: body}
	r.dec = xml.NewDecoder(r)
	r.dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // the declaration is refused
	for {
		token, err := r.token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if start, ok := token.(xml.StartElement); ok {
			if err := r.root(root, start); err != nil {
				return err
			}
		}
	}
	if !root.found {
		return bad("the body has no element: want <%s>", root.name)
	}
	return nil
}

func (r *reader) root(e *element, start xml.StartElement) error {
	if e.found {
		return r.bad("there is something behind </%s>", e.name)
	}
	if start.Name.Space != "" || start.Name.Local != e.name {
		return r.bad("the body must be <%s>, not <%s>, in no namespace", e.name, named(start.Name))
	}
	return r.element(e, start)
}

// element reads an element to its end.
func (r *reader) element(e *element, start xml.StartElement) error {
	if e.found {
		return r.bad("<%s> is given twice", e.name)
	}
	e.found = true
	r.inside = append(r.inside, e.name)
	if e.text != nil {
		r.leaf, r.text = e, r.text[:0]
	}
	if err := r.attributes(e, start.Attr); err != nil {
		return err
	}
	for {
		token, err := r.token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			child, err := r.child(e, t.Name)
			if err != nil {
				return err
			}
			if err := r.element(child, t); err != nil {
				return err
			}
		case xml.CharData:
			if r.leaf == nil {
				continue // white space
			}
			if r.text = append(r.text, t...); len(r.text) > e.most {
				return r.longText()
			}
		case xml.EndElement:
			if e.text != nil {
				*e.text = string(r.text)
			}
			r.inside, r.leaf = r.inside[:len(r.inside)-1], nil
			return nil
		}
	}
}

func (r *reader) attributes(e *element, given []xml.Attr) error {
	for i, a := range given {
		if slices.ContainsFunc(given[:i], func(before xml.Attr) bool { return before.Name == a.Name }) {
			return r.bad("attribute %s of <%s> is given twice", named(a.Name), e.name)
		}
		if ofSchemas(a) || slices.Contains(e.ignored, a.Name.Local) && a.Name.Space == "" {
			continue
		}
		known := slices.IndexFunc(e.attrs, func(known attribute) bool { return a.Name == xml.Name{Local: known.name} })
		if known < 0 {
			return r.bad("attribute %s of <%s> is unknown", named(a.Name), e.name)
		}
		*e.attrs[known].value = a.Value
	}
	return nil
}

// ofSchemas reports whether an attribute is about schemas, such as xsi:nil, or declares
// a namespace that is, or none.
func ofSchemas(a xml.Attr) bool {
	switch a.Name.Space {
	case schemaInstance:
		return true
	case "xmlns":
		return a.Value == schema || a.Value == schemaInstance
	}
	return a == xml.Attr{Name: xml.Name{Local: "xmlns"}}
}

func (r *reader) child(e *element, name xml.Name) (*element, error) {
	if e.secret {
		return nil, r.bad("<%s> has text only, and an element is in it", e.name)
	}
	var known []string
	for _, child := range e.children {
		if name == (xml.Name{Local: child.name}) {
			return child, nil
		}
		known = append(known, "<"+child.name+">")
	}
	if len(known) == 0 {
		return nil, r.bad("<%s> has text only, and <%s> is in it", e.name, named(name))
	}
	return nil, r.bad("<%s> is unknown in <%s>, which may have %s", named(name), e.name, strings.Join(known, ", "))
}

// token returns the next element or text; comments are passed over.
func (r *reader) token() (xml.Token, error) {
	for {
		r.begin = int(r.dec.InputOffset())
		if err := r.look(r.body[r.begin:]); err != nil {
			return nil, err
		}
		token, err := r.dec.Token()
		if err != nil {
			return nil, r.syntax(err)
		}
		switch t := token.(type) {
		case xml.Comment:
			if r.comments++; r.comments > maxComments {
				return nil, r.bad("there are more than %d comments", maxComments)
			}
		case xml.CharData:
			if r.pieces++; r.pieces > maxPieces {
				return nil, r.bad("the text is in more than %d pieces", maxPieces)
			}
			return token, nil
		case xml.ProcInst:
			if t.Target != "xml" || r.begin != 0 {
				return nil, r.bad("no processing instruction is read here but an XML declaration at the very begin")
			}
			if !declaration.Match(t.Inst) {
				return nil, r.bad(`the XML declaration must be <?xml version="1.0" encoding="UTF-8"?>: no other encoding is read here`)
			}
		default:
			return token, nil
		}
	}
}

// look sees what comes next, and how long it may be.
func (r *reader) look(rest []byte) error {
	switch {
	case bytes.HasPrefix(rest, []byte("<!--")):
		r.expect("a comment", maxComment)
	case bytes.HasPrefix(rest, []byte("<![CDATA[")):
		if r.leaf == nil {
			return r.noText()
		}
		r.expect("", len("<![CDATA[]]>")+2*r.leaf.most) // twice for ends of lines
	case bytes.HasPrefix(rest, []byte("<!")):
		return r.bad("a document type (<!DOCTYPE …>) or another declaration is not read here")
	case bytes.HasPrefix(rest, []byte("<")):
		r.expect("a tag", maxTag)
	default:
		text, _, _ := bytes.Cut(rest, []byte("<"))
		if r.leaf != nil {
			r.expect("", maxReference*r.leaf.most)
			return r.references(text)
		}
		if len(bytes.Trim(text, " \t\r\n")) > 0 {
			return r.noText()
		}
		r.expect("white space", maxComment)
	}
	return nil
}

// expect says what comes next, "" for the text of an element, and bounds it.
func (r *reader) expect(what string, most int) {
	r.what, r.limit = what, min(r.begin+most, len(r.body))
}

// references checks the references of a text, as far as encoding/xml does not: it makes
// U+FFFD of one to half of a surrogate pair, and reads one of any length to its end.
func (r *reader) references(text []byte) error {
	for {
		_, rest, found := bytes.Cut(text, []byte("&"))
		if !found {
			return nil
		}
		name, _, found := bytes.Cut(rest[:min(len(rest), maxReference)], []byte(";"))
		if !found {
			return r.bad("& begins a reference such as &amp; or &#65;, of at most %d bytes: write &amp; for the character", maxReference)
		}
		if halfPair(string(name)) {
			return r.bad("a reference names half of a surrogate pair (&#xD800; to &#xDFFF;), which is no character")
		}
		text = rest[len(name)+len(";"):]
	}
}

// ReadByte implements [io.ByteReader] for encoding/xml.
func (r *reader) ReadByte() (byte, error) {
	if r.next >= r.limit {
		if r.limit < len(r.body) {
			return 0, errTooLong
		}
		return 0, io.EOF
	}
	r.next++
	return r.body[r.next-1], nil
}

// Read implements [io.Reader], which encoding/xml does not call: it reads bytes.
func (r *reader) Read(p []byte) (int, error) {
	b, err := r.ReadByte()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// syntax says what encoding/xml found wrong.
func (r *reader) syntax(err error) error {
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return err
	case errors.Is(err, errTooLong) && r.what == "":
		return r.longText()
	case errors.Is(err, errTooLong):
		return r.bad("%s is longer than %d bytes", r.what, r.limit-r.begin)
	case r.leaf != nil && r.leaf.secret:
		return r.bad("that is not XML")
	case errors.As(err, &syntax):
		return r.bad("%s", short(syntax.Msg))
	}
	return r.bad("%s", short(strings.TrimPrefix(err.Error(), "xml: ")))
}

func (r *reader) longText() error {
	return r.bad("the text of <%s> is longer than %d bytes", r.leaf.name, r.leaf.most)
}

func (r *reader) noText() error {
	if len(r.inside) == 0 {
		return r.bad("there is text outside of the element")
	}
	return r.bad("<%s> must have no text of its own", r.inside[len(r.inside)-1])
}

// bad refuses the body, saying where.
func (r *reader) bad(format string, args ...any) error {
	line, _ := r.dec.InputPos()
	where := "line " + strconv.Itoa(line) + " of the body"
	if len(r.inside) > 0 {
		where += ", in " + strings.Join(r.inside, "/")
	}
	return bad("%s: %s", where, fmt.Sprintf(format, args...))
}

// named is a name of the body for a message.
func named(name xml.Name) string {
	if name.Space != "" {
		return short(name.Space + ":" + name.Local)
	}
	return short(name.Local)
}

// short cuts what came from the body to what a message may have of it.
func short(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	cut := most
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// notXML returns the offset of the first byte that is not part of a character that XML
// 1.0 has, or -1.
func notXML(b []byte) int {
	for i := 0; i < len(b); {
		c, size := rune(b[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRune(b[i:])
		}
		if !isXML(c) || c == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// isXML reports whether XML 1.0 has a character (section 2.2). U+FFFD, which stands for
// bytes that are not UTF-8, is one.
func isXML(c rune) bool {
	return c >= ' ' && c < 0xD800 || c == '\t' || c == '\n' || c == '\r' || c >= 0xE000 && c < 0xFFFE || c >= 0x10000 && c <= 0x10FFFF
}

// halfPair reports whether a reference such as #xD800 names half of a surrogate pair.
func halfPair(reference string) bool {
	number, ok := strings.CutPrefix(reference, "#")
	base := 10
	if hex, isHex := strings.CutPrefix(number, "x"); isHex {
		number, base = hex, 16
	}
	n, err := strconv.ParseUint(number, base, 32)
	return ok && err == nil && n >= 0xD800 && n <= 0xDFFF
}
