package inventory

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth, maxMembers and maxElements bound what is in a record. The shapes
// need three levels, two dozen fields and the table's own bound of a list.
const (
	maxDepth    = 8
	maxMembers  = 64
	maxElements = 1024
)

type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindText
	kindPlain // an unquoted scalar of YAML: what it means depends on the field
	kindList
	kindObject
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a scalar", "a list", "an object"}[k]
}

// A value is a piece of a document, of whatever format.
type value struct {
	kind  kind
	line  int
	text  string   // of a scalar, as written
	keys  []string // of an object
	items []value  // of a list, or those of the keys

	// bad is what is wrong with the value or within it, though the document can
	// be read on, such as a doubled key.
	bad *Error
}

// add appends a member to the object v, refusing a second one of that name.
func (v *value) add(name string, member value) {
	if member.bad != nil && v.bad == nil {
		v.bad = member.bad.in(name)
	}
	if len(v.keys) == maxMembers {
		v.blame(member.line, "", "has more than %d fields", maxMembers)
		return
	}
	for _, k := range v.keys {
		if k == name {
			v.blame(member.line, name, "stands twice; keep one of them")
			return
		}
	}
	if v.keys == nil { // most have about that many
		v.keys, v.items = make([]string, 0, 8), make([]value, 0, 8)
	}
	v.keys = append(v.keys, name)
	v.items = append(v.items, member)
}

// push appends an element to the list v.
func (v *value) push(element value) {
	if element.bad != nil && v.bad == nil {
		v.bad = element.bad.in(fmt.Sprintf("[%d]", len(v.items)))
	}
	if len(v.items) == maxElements {
		v.blame(element.line, "", "has more than %d elements", maxElements)
		return
	}
	v.items = append(v.items, element)
}

func (v *value) blame(line int, field, format string, args ...any) {
	if v.bad == nil {
		v.bad = failure(line, field, format, args...)
	}
}

// what says what v is, for an error about it.
func (v *value) what() string {
	switch v.kind {
	case kindNull, kindList, kindObject:
		return v.kind.String()
	case kindNumber, kindBool:
		return strings.Trim(shown(v.text), `"`)
	default:
		return shown(v.text)
	}
}

// shown quotes s for an error, shortened: it may be as long as a record.
func shown(s string) string {
	const most = 60
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:cut], len(s))
}

func failure(line int, field, format string, args ...any) *Error {
	return &Error{Line: line, Field: field, Reason: fmt.Sprintf(format, args...)}
}

// in returns e as seen from the object or list around it.
func (e *Error) in(name string) *Error {
	outer := *e
	switch {
	case e.Field == "":
		outer.Field = name
	case strings.HasPrefix(e.Field, "["):
		outer.Field = name + e.Field
	default:
		outer.Field = name + "." + e.Field
	}
	return &outer
}
