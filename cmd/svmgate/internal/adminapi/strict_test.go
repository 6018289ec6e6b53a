package adminapi

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
)

// plain is v as encoding/json would decode it.
func (v value) plain() any {
	switch v.form {
	case isBool:
		return v.yes
	case isNumber:
		return json.Number(v.text)
	case isString:
		return v.text
	case isArray:
		out := []any{}
		for _, item := range v.items {
			out = append(out, item.plain())
		}
		return out
	case isObject:
		out := map[string]any{}
		for _, m := range v.members {
			out[m.name] = m.plain()
		}
		return out
	}
	return nil
}

// FuzzParseJSON holds the strict reading against the lenient one: what is
// accepted means the same to both, and nothing panics.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{
		``, `{}`, `[]`, `null`, `{"a":1,"b":[true,null,"x"]}`, `{"a":1,"a":2}`, `"\ud83d\ude00"`, `"\ud83d"`, `"\\ud83d"`, `"\ude00\ud83d"`,
		"\"\xff\"", `[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]`, `1e999`, `-0`, `{"a":{"a":{"a":1}}}`, `1 2`, `[1,]`, "\ufeff1", `"\u0000"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		raw = raw[:min(len(raw), 4<<10)]
		v, err := parseJSON(raw)
		if err != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q is accepted, but encoding/json says %v", raw, err)
		}
		if got := v.plain(); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %#v, want %#v", raw, got, want)
		}
		var text string
		if json.Unmarshal(raw, &text) == nil && bytes.Contains([]byte(text), []byte("\ufffd")) && !bytes.Contains(raw, []byte("\ufffd")) && !bytes.Contains(bytes.ToLower(raw), []byte("fffd")) {
			t.Errorf("%q is accepted, but a character of it is lost", raw)
		}
	})
}
