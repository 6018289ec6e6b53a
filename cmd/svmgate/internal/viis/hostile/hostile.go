// Package hostile has documents that no honest client sends: none of them may be taken,
// and refusing one may cost next to nothing ([Most], [Longest]).
//
// It is for tests. [In] puts each hostility into a document that would be good without
// it, so that what is refused is the hostility; [Plain] is that document.
package hostile

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf16"
)

// Bounds of what a refusal may cost.
const (
	// Most is how much may be allocated, in bytes.
	Most = 8 << 20
	// Longest is how long a client may wait.
	Longest = 10 * time.Millisecond
)

// A Frame is what stands around a hostility: the begin and the end of a good document.
// Between them there is room for elements.
type Frame struct{ Begin, End string }

// Tenant and VM are the bodies of the two calls that have one.
var (
	Tenant = Frame{`<tenant><name>hostile</name><type>Simple</type>`, `</tenant>`}
	VM     = Frame{`<vm biosId="b1050000-0000-4000-8000-00000000dead"><name>hostile</name>`, `</vm>`}
)

// Plain is the document without anything hostile in it.
func Plain(f Frame) []byte { return []byte(f.Begin + f.End) }

// A Document is to be refused.
type Document struct {
	Name string // a few words
	Body []byte
}

// Sizes: more than any reader should follow, and as large as a body gets.
const (
	many    = 100_000
	depth   = 100_000
	fullMiB = 1 << 20
)

// In returns all documents, within a frame.
func In(f Frame) []Document {
	var list []Document
	for _, part := range [][]Document{types(f), structure(f), attributes(f), encodings(f), ends(f), sizes(f)} {
		list = append(list, part...)
	}
	return list
}

// with puts text between the begin and the end.
func (f Frame) with(name string, text ...string) Document {
	return Document{name, []byte(f.Begin + strings.Join(text, "") + f.End)}
}

// after puts text in front of the document.
func (f Frame) after(name string, text ...string) Document {
	return Document{name, []byte(strings.Join(text, "") + f.Begin + f.End)}
}

// inside puts text into an element that may hold any.
func (f Frame) inside(name string, text ...string) Document {
	return f.with(name, "<userData>", strings.Join(text, ""), "</userData>")
}

// root is the name of the document's element.
func (f Frame) root() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(f.Begin, "<"), ">")
	name, _, _ = strings.Cut(name, " ")
	return name
}

// bomb declares entities of which each is ten of the one before.
func bomb(levels int) string {
	var b strings.Builder
	b.WriteString(`<!ENTITY e0 "0123456789">`)
	for n := 1; n < levels; n++ {
		fmt.Fprintf(&b, `<!ENTITY e%d "%s">`, n, strings.Repeat(fmt.Sprintf("&e%d;", n-1), 10))
	}
	return b.String()
}

// types are documents with a document type.
func types(f Frame) []Document {
	declare := func(name, declarations, use string) Document {
		d := f.inside(name, use)
		d.Body = append([]byte(`<?xml version="1.0"?><!DOCTYPE `+f.root()+` [`+declarations+`]>`), d.Body...)
		return d
	}
	return []Document{
		f.after("a document type", "<!DOCTYPE "+f.root()+">"),
		f.after("a document type elsewhere", `<!DOCTYPE `+f.root()+` SYSTEM "http://192.0.2.1/t.dtd">`),
		f.after("a public document type", `<!DOCTYPE `+f.root()+` PUBLIC "-//W3C//DTD XHTML 1.0//EN" "http://192.0.2.1/t.dtd">`),
		declare("a billion laughs", bomb(10), "&e9;"),
		declare("a bomb that is not lit", bomb(10), "x"),
		declare("quadratic growth", `<!ENTITY e "`+strings.Repeat("x", 50_000)+`">`, strings.Repeat("&e;", many)),
		declare("an entity that contains itself", `<!ENTITY a "&b;"><!ENTITY b "&a;">`, "&a;"),
		declare("an external entity, a file", `<!ENTITY e SYSTEM "file:///etc/passwd">`, "&e;"),
		declare("an external entity, a device", `<!ENTITY e SYSTEM "file:///dev/zero">`, "&e;"),
		declare("an external entity, a server", `<!ENTITY e SYSTEM "http://169.254.169.254/latest/meta-data/">`, "&e;"),
		declare("a parameter entity", `<!ENTITY % p SYSTEM "http://192.0.2.1/p.dtd">%p;`, "x"),
		declare("a document type of a mebibyte", strings.Repeat(`<!ENTITY e "x">`, fullMiB/15), "x"),
		declare("many attributes by default", strings.Repeat(`<!ATTLIST name a CDATA "x">`, 10_000), "x"),
		f.with("a document type in the middle", "<!DOCTYPE x>"),
		{"a document type that does not end", []byte("<!DOCTYPE " + f.root() + " [" + strings.Repeat("<!ENTITY e 'x'>", 10_000))},
		f.inside("entities that nobody declared", strings.Repeat("&e;", many)),
	}
}

// structure are documents whose elements are too deep, too many, or do not fit.
func structure(f Frame) []Document {
	const level = "<a>"
	return []Document{
		f.with("deep elements", strings.Repeat(level, depth), strings.Repeat("</a>", depth)),
		f.with("deep elements that do not end", strings.Repeat(level, depth)),
		{"deep elements and nothing else", []byte(strings.Repeat(level, depth))},
		f.with("deep elements of the same name", strings.Repeat("<name>", depth), strings.Repeat("</name>", depth)),
		f.with("many prefixes", "<a", prefixes(20_000), "/>"),
		f.with("the same element many times", strings.Repeat("<name>x</name>", 50_000)),
		f.with("ends without begins", strings.Repeat("</a>", many)),
		f.with("ends in another order", "<a><b></a></b>"),
		f.with("a prefix that nobody declared", "<x:a/>"),
	}
}

func prefixes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ` xmlns:p%d="urn:%d"`, i, i)
	}
	return b.String()
}

// attributes are documents whose attributes are too many, too large, or there twice.
func attributes(f Frame) []Document {
	var different strings.Builder
	for i := range many {
		fmt.Fprintf(&different, ` a%d=""`, i)
	}
	return []Document{
		f.with("many attributes", "<a", different.String(), "/>"),
		f.with("the same attribute many times", "<a", strings.Repeat(` a=""`, many), "/>"),
		f.with("an attribute twice", `<userData a="1" a="2"/>`),
		f.with("an attribute twice, under two prefixes", `<userData xmlns:p="urn:x" xmlns:q="urn:x" p:a="1" q:a="2"/>`),
		f.with("an attribute without a value", `<userData a/>`),
		f.with("an attribute without quotes", `<userData a=1/>`),
		f.with("an attribute with an angle", `<userData a="<"/>`),
		f.with("an attribute that does not end", `<userData a="`+strings.Repeat("x", fullMiB/2)),
		f.with("an attribute of a mebibyte", `<a a="`+strings.Repeat("x", fullMiB)+`"/>`),
		{"an attribute of the element twice", []byte(strings.Replace(f.Begin, "<"+f.root(), "<"+f.root()+` a="1" a="1"`, 1) + f.End)},
	}
}

// encodings are documents that are not in UTF-8, or say so.
func encodings(f Frame) []Document {
	whole := f.Begin + f.End
	declared := func(encoding string) string { return `<?xml version="1.0" encoding="` + encoding + `"?>` }
	return []Document{
		{"UTF-16, the great end first", inUTF16(whole, true, true)},
		{"UTF-16, the small end first", inUTF16(whole, false, true)},
		{"UTF-16 without a mark", inUTF16(whole, false, false)},
		{"UTF-32", inUTF32(whole)},
		f.after("UTF-16 that is not", declared("UTF-16")),
		f.after("ISO-8859-1", declared("ISO-8859-1")),
		f.after("UTF-7", declared("UTF-7")),
		f.after("EBCDIC", declared("cp037")),
		f.after("an encoding of a mebibyte", declared(strings.Repeat("x", fullMiB))),
		f.inside("ISO-8859-1 that does not say so", "caf\xe9"),
		f.inside("a byte that begins nothing", "\xff"),
		f.inside("more bytes than a character needs", "\xc0\xaf"),
		f.inside("half a surrogate", "\xed\xa0\x80"),
		f.inside("a character beyond the last", "\xf4\x90\x80\x80"),
		f.inside("a NUL", "a\x00b"),
		f.inside("a NUL, numbered", "&#0;"),
		f.inside("a control character", "\x1b[31m"),
		f.inside("a character that is none, numbered", "&#xFFFE;"),
		f.inside("a number beyond the last character", "&#x110000;"),
		f.inside("a number without end", "&#", strings.Repeat("9", many), ";"),
		{"a name that is not UTF-8", []byte(f.Begin + "<\xff/>" + f.End)},
		{"nothing but zeros", make([]byte, fullMiB)},
		{"nothing but ones", []byte(strings.Repeat("\xff", fullMiB))},
	}
}

func inUTF16(text string, bigEndian, mark bool) (b []byte) {
	units := utf16.Encode([]rune(text))
	if mark {
		units = append([]uint16{0xfeff}, units...)
	}
	for _, u := range units {
		if bigEndian {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}

func inUTF32(text string) (b []byte) {
	for _, r := range "\ufeff" + text {
		b = append(b, byte(r>>24), byte(r>>16), byte(r>>8), byte(r))
	}
	return b
}

// ends are documents that end too early, or not where they should.
func ends(f Frame) []Document {
	whole := f.Begin + f.End
	behind := func(name, text string) Document { return Document{name, []byte(whole + text)} }
	return []Document{
		behind("twice the same", whole),
		behind("text behind the end", "x"),
		behind("an element behind the end", "<a/>"),
		behind("a mebibyte behind the end", strings.Repeat("x", fullMiB)),
		behind("a NUL behind the end", "\x00"),
		behind("another declaration behind the end", `<?xml version="1.0"?>`),
		behind("an end behind the end", f.End),
		{"no end", []byte(f.Begin)},
		{"a CDATA section that does not end", []byte(f.Begin + "<userData><![CDATA[" + strings.Repeat("]] >", 200_000))},
		{"a comment that does not end", []byte(f.Begin + "<!--" + strings.Repeat("- ", 500_000))},
		{"an instruction that does not end", []byte(f.Begin + "<?a " + strings.Repeat("? ", 500_000))},
		{"a name that does not end", []byte(f.Begin + "<" + strings.Repeat("a", fullMiB-200))},
		{"many begins of nothing", []byte(f.Begin + strings.Repeat("<", fullMiB-200))},
		{"many begins of comments", []byte(f.Begin + strings.Repeat("<!--", 250_000))},
		{"many begins of CDATA sections", []byte(f.Begin + strings.Repeat("<![CDATA[", 110_000))},
		f.with("a comment with two hyphens", "<!-- a -- b -->"),
		f.with("CDATA's end in text", "<userData>a]]>b</userData>"),
		{"nothing", nil},
		{"a mebibyte of spaces", []byte(strings.Repeat(" ", fullMiB))},
		{"an angle", []byte("<")},
	}
}

// sizes are documents with something that is too large, up to a mebibyte in all.
func sizes(f Frame) []Document {
	whole := f.Begin + f.End
	fill := func(room int) string { return strings.Repeat("x", fullMiB-len(whole)-room) }
	return []Document{
		f.with("a huge name", "<"+strings.Repeat("a", many)+"/>"),
		f.with("a huge prefix", "<"+strings.Repeat("a", many)+":b/>"),
		f.with("a huge name of an attribute", "<a "+strings.Repeat("a", many)+`=""/>`),
		f.with("a mebibyte of text", "<userData>", fill(21), "</userData>"),
		f.with("a mebibyte of CDATA", "<userData><![CDATA[", fill(33), "]]></userData>"),
		f.with("a mebibyte of escapes", "<userData>", strings.Repeat("&amp;", fullMiB/5-100), "</userData>"),
		f.with("a mebibyte of a description", "<description>", fill(27), "</description>"),
	}
}
