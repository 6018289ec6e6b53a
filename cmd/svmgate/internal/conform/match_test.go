package conform

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An element is XML as a reader understands it: CDATA is text, and an element that
// says nothing is as one that is not there.
type element struct {
	name     string
	attrs    map[string]string
	text     string // all of its own; "" beside children if it is only white space
	children []*element
}

func parseXML(text string) (*element, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	var open []*element
	var root *element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attrs: map[string]string{}}
			for _, a := range token.Attr {
				e.attrs[a.Name.Local] = a.Value
			}
			if len(open) > 0 {
				parent := open[len(open)-1]
				parent.children = append(parent.children, e)
			} else {
				root = e
			}
			open = append(open, e)
		case xml.EndElement:
			last := open[len(open)-1]
			if len(last.children) > 0 && strings.TrimSpace(last.text) == "" {
				last.text = ""
			}
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text += string(token)
			}
		}
	}
	if root == nil {
		return nil, errors.New("there is no element")
	}
	return root, nil
}

func (e *element) silent() bool { return len(e.attrs) == 0 && e.text == "" && len(e.children) == 0 }

// Variables are what a case has learnt. In a pattern, text is to be found as it
// stands, $name stands for what name was found to be, and $name:kind for anything of
// a kind, which gets the name; $:kind needs none.
type variables map[string]string

var (
	hole     = regexp.MustCompile(`^([^$]*)\$([a-z0-9]*):([a-z]+)$`)
	uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
)

const dateForm = "2006-01-02T15:04:05"

// kinds are the kinds of a hole.
var kinds = map[string]func(string) bool{
	"any":  func(string) bool { return true },
	"text": func(s string) bool { return s != "" },
	"uuid": uuidForm.MatchString,
	"date": func(s string) bool { // around now in UTC; time.Parse would let a fraction pass
		at, err := time.Parse(dateForm, s)
		return err == nil && len(s) == len(dateForm) && time.Since(at).Abs() < 10*time.Minute
	},
	"percent": func(s string) bool { n, err := strconv.Atoi(s); return err == nil && 0 <= n && n <= 100 },
	"state":   func(s string) bool { return rank(s) >= 0 },
	"status":  func(s string) bool { return s == "Active" || s == "Inactive" },
}

// value compares a text with the pattern for it.
func (v variables) value(where, got, pattern string) error {
	m := hole.FindStringSubmatch(pattern)
	if m == nil {
		if want := v.fill(pattern); got != want {
			return fmt.Errorf("%s is %q, want %q", where, got, want)
		}
		return nil
	}
	rest, ok := strings.CutPrefix(got, v.fill(m[1]))
	if !ok || !kinds[m[3]](rest) {
		return fmt.Errorf("%s is %q, want %q and then %s", where, got, m[1], m[3])
	}
	if m[2] != "" {
		v[m[2]] = rest
	}
	return nil
}

// match compares what came with a pattern: the same elements in the same order, with
// exactly the same attributes.
func (v variables) match(got, pattern *element) error {
	if got.name != pattern.name {
		return fmt.Errorf("there is <%s>, want <%s>", got.name, pattern.name)
	}
	if pattern.text == "$:any" && len(pattern.attrs) == 0 && len(pattern.children) == 0 {
		return nil
	}
	for name, want := range pattern.attrs {
		value, ok := got.attrs[name]
		if !ok {
			return fmt.Errorf("<%s> has no attribute %s", got.name, name)
		}
		if err := v.value("attribute "+name+" of <"+got.name+">", value, want); err != nil {
			return err
		}
	}
	for name := range got.attrs {
		if _, ok := pattern.attrs[name]; !ok {
			return fmt.Errorf("<%s> has an attribute %s, want none of this name", got.name, name)
		}
	}
	if err := v.value("<"+got.name+">", got.text, pattern.text); err != nil {
		return err
	}
	return v.matchChildren(got, pattern)
}

func (v variables) matchChildren(got, pattern *element) error {
	rest := got.children
	for _, want := range pattern.children {
		for len(rest) > 0 && rest[0].name != want.name && rest[0].silent() {
			rest = rest[1:]
		}
		if len(rest) > 0 && rest[0].name == want.name {
			if err := v.match(rest[0], want); err != nil {
				return fmt.Errorf("<%s>: %w", got.name, err)
			}
			rest = rest[1:]
		} else if !want.silent() && want.text != "$:any" {
			return fmt.Errorf("<%s> has no <%s> at its place", got.name, want.name)
		}
	}
	for _, more := range rest {
		if !more.silent() {
			return fmt.Errorf("<%s> has an <%s> that does not belong there", got.name, more.name)
		}
	}
	return nil
}

// matchText is match for texts.
func (v variables) matchText(got, pattern string) error {
	g, err := parseXML(got)
	if err != nil {
		return fmt.Errorf("what came is not XML: %w", err)
	}
	p, err := parseXML(pattern)
	if err != nil {
		return fmt.Errorf("the pattern is not XML: %w", err)
	}
	return v.match(g, p)
}

// A comparison that overlooks something would let every case pass.
func TestMatch(t *testing.T) {
	now := time.Now().UTC().Format(dateForm)
	for _, tt := range []struct {
		name, got, pattern string
		says               string // "" if they match
	}{
		{"equal", `<a x="1"><b>t</b></a>`, `<a x="1"> <b>t</b> </a>`, ""},
		{"CDATA is text", `<a><![CDATA[<&]]></a>`, `<a>&lt;&amp;</a>`, ""},
		{"an empty element is as none", `<a><b/><c>1</c></a>`, `<a><c>1</c><d/></a>`, ""},
		{"anything", `<a><r y="1"><x/></r></a>`, `<a><r>$:any</r><s>$:any</s></a>`, ""},
		{"a date", `<a d="` + now + `"/>`, `<a d="$:date"/>`, ""},
		{"beginning and rest", `<a>C: why</a>`, `<a>C: $:text</a>`, ""},
		{"other name", `<a/>`, `<b/>`, "want <b>"},
		{"other text", `<a>1</a>`, `<a>2</a>`, `want "2"`},
		{"spaces count", `<a> 1</a>`, `<a>1</a>`, `want "1"`},
		{"attribute missing", `<a/>`, `<a x="1"/>`, "no attribute x"},
		{"attribute too many", `<a x="1"/>`, `<a/>`, "an attribute x"},
		{"element missing", `<a/>`, `<a><b>$:text</b></a>`, "no <b>"},
		{"element too many", `<a><b>1</b></a>`, `<a/>`, "does not belong"},
		{"another order", `<a><b>1</b><c>2</c></a>`, `<a><c>2</c><b>1</b></a>`, "no <c>"},
		{"twice", `<a><b>1</b><b>1</b></a>`, `<a><b>1</b></a>`, "does not belong"},
		{"not a UUID", `<a>5</a>`, `<a>$:uuid</a>`, "then uuid"},
		{"date with a zone", `<a>` + now + `Z</a>`, `<a>$:date</a>`, "then date"},
		{"date with a fraction", `<a>` + now + `.5</a>`, `<a>$:date</a>`, "then date"},
		{"date in another zone", `<a>` + time.Now().UTC().Add(14*time.Hour).Format(dateForm) + `</a>`, `<a>$:date</a>`, "then date"},
		{"not XML", `<a>`, `<a/>`, "not XML"},
		{"nothing", ``, `<a/>`, "no element"},
		{"what was learnt", `<a x="1">2</a>`, `<a x="$n:text">$n</a>`, `want "1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := variables{}.matchText(tt.got, tt.pattern)
			if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("match(%s, %s) = %v, want %q", tt.got, tt.pattern, err, tt.says)
			}
		})
	}
}
