package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// maxDepth bounds how deep a body may nest. The objects of this API need 3.
const maxDepth = 16

// form is the form of a JSON value.
type form uint8

const (
	isNull form = iota
	isBool
	isNumber
	isString
	isArray
	isObject
)

func (f form) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object"}[f]
}

// A value is a JSON value as it was written, with nothing converted.
type value struct {
	form    form
	text    string // of a string or a number
	yes     bool   // of a boolean
	items   []value
	members []member // in the order of the body; no name occurs twice
}

type member struct {
	name string
	value
}

// parseJSON reads exactly one JSON value. encoding/json alone would let pass a
// key given twice and text that is not UTF-8, and so lose what somebody meant.
func parseJSON(raw []byte) (value, error) {
	if i := invalidUTF8(raw); i >= 0 {
		return value{}, badJSON("byte %d of the body is not UTF-8", i)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return value{}, badJSON("the body is empty: want a JSON object")
	}
	var whole json.RawMessage
	if err := json.Unmarshal(raw, &whole); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			line := 1 + bytes.Count(raw[:min(int(syntax.Offset), len(raw))], []byte("\n"))
			return value{}, badJSON("line %d of the body: %v", line, err)
		}
		return value{}, badJSON("%v", err)
	}
	if loneSurrogate(raw) {
		return value{}, badJSON(`the body has half of a surrogate pair (\ud800 to \udfff), which is no character`)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return readValue(dec, "", maxDepth)
}

func badJSON(format string, args ...any) error {
	return refuse(400, "invalid_json", fmt.Sprintf(format, args...))
}

func invalidUTF8(raw []byte) int {
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// loneSurrogate reports whether an escape of valid JSON names half a surrogate
// pair, which the decoder would silently replace.
func loneSurrogate(raw []byte) bool {
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		i++
		if raw[i] != 'u' {
			continue
		}
		switch unit := hexUnit(raw[i+1:]); {
		case unit >= 0xDC00 && unit <= 0xDFFF:
			return true
		case unit >= 0xD800 && unit <= 0xDBFF:
			rest := raw[i+5:]
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
				return true
			}
			if low := hexUnit(rest[2:]); low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 6
		}
		i += 4
	}
	return false
}

func hexUnit(b []byte) uint64 {
	u, err := strconv.ParseUint(string(b[:min(4, len(b))]), 16, 16)
	if err != nil {
		return 0
	}
	return u
}

func readValue(dec *json.Decoder, at string, depth int) (value, error) {
	if depth == 0 {
		return value{}, badJSON("the body nests deeper than %d levels", maxDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return value{}, badJSON("%v", err)
	}
	switch t := token.(type) {
	case bool:
		return value{form: isBool, yes: t}, nil
	case json.Number:
		return value{form: isNumber, text: t.String()}, nil
	case string:
		return value{form: isString, text: t}, nil
	case json.Delim:
		if t == '{' {
			return readObject(dec, at, depth)
		}
		return readArray(dec, at, depth)
	}
	return value{}, nil // null
}

func readArray(dec *json.Decoder, at string, depth int) (value, error) {
	v := value{form: isArray}
	for dec.More() {
		item, err := readValue(dec, at+"["+strconv.Itoa(len(v.items))+"]", depth-1)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, item)
	}
	_, err := dec.Token()
	return v, err
}

func readObject(dec *json.Decoder, at string, depth int) (value, error) {
	v := value{form: isObject}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return v, badJSON("%v", err)
		}
		name, _ := token.(string)
		if seen[name] {
			return v, refuse(400, "duplicate_key", "field "+join(at, name)+" is given twice")
		}
		seen[name] = true
		item, err := readValue(dec, join(at, name), depth-1)
		if err != nil {
			return v, err
		}
		v.members = append(v.members, member{name, item})
	}
	_, err := dec.Token()
	return v, err
}

// join returns the path of a field below another, such as "discovery.path".
func join(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}
