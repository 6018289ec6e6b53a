package adminapi

import (
	"encoding"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A binding says how a body becomes an object: one setter for each field that
// there is. Setters write into the object in place, so whatever the body does
// not mention stays as it was: the defaults for a PUT, the present values for a
// merge patch (RFC 7396), in which null stands for the default.
type binding map[string]setter

// A setter takes a value into a field. at is the path of the field in the body.
type setter func(m mode, at string, v value) error

// mode is what null means.
type mode uint8

const (
	whole mode = iota // null is a wrong type
	patch             // null sets the default
)

// bind takes a body into what the binding names.
func (b binding) bind(m mode, v value) error { return b.set(m, "", v) }

func (b binding) set(m mode, at string, v value) error {
	if v.form != isObject {
		return wrongType(at, "an object", v)
	}
	for _, f := range v.members {
		path := join(at, f.name)
		set, known := b[f.name]
		if !known {
			return refuse(400, "unknown_field", "field "+strconv.Quote(path)+" is unknown; known are "+strings.Join(b.names(), ", "))
		}
		if err := set(m, path, f.value); err != nil {
			return err
		}
	}
	return nil
}

func (b binding) names() []string {
	names := make([]string, 0, len(b))
	for name := range b {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// mentions reports whether the body has one of the fields.
func mentions(v value, fields ...string) bool {
	return slices.ContainsFunc(v.members, func(m member) bool { return slices.Contains(fields, m.name) })
}

func wrongType(at, want string, v value) error {
	if at == "" {
		return refuse(400, "invalid_json", "the body must be "+want+", not "+v.form.String())
	}
	return refuse(400, "invalid_field", at+" must be "+want+", not "+v.form.String())
}

// reset reports whether v asks for the default.
func reset(m mode, v value) bool { return m == patch && v.form == isNull }

func str(dst *string, def string) setter {
	return func(m mode, at string, v value) error {
		switch {
		case reset(m, v):
			*dst = def
		case v.form != isString:
			return wrongType(at, "a string", v)
		default:
			*dst = v.text
		}
		return nil
	}
}

func boolean(dst *bool, def bool) setter {
	return func(m mode, at string, v value) error {
		switch {
		case reset(m, v):
			*dst = def
		case v.form != isBool:
			return wrongType(at, "true or false", v)
		default:
			*dst = v.yes
		}
		return nil
	}
}

func integer(dst *int, def int) setter {
	return func(m mode, at string, v value) error {
		if reset(m, v) {
			*dst = def
			return nil
		}
		if v.form != isNumber {
			return wrongType(at, "a whole number", v)
		}
		n, err := strconv.ParseInt(v.text, 10, 32)
		if err != nil {
			return refuse(400, "invalid_field", fmt.Sprintf("%s %s: want a whole number of at most 32 bits", at, v.text))
		}
		*dst = int(n)
		return nil
	}
}

// text reads what knows how to read itself from text: enums, ids and times.
func text[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](dst P, def T) setter {
	return func(m mode, at string, v value) error {
		if reset(m, v) {
			*dst = def
			return nil
		}
		if v.form != isString {
			return wrongType(at, "a string", v)
		}
		if err := dst.UnmarshalText([]byte(v.text)); err != nil {
			return refuse(400, "invalid_field", at+": "+err.Error())
		}
		return nil
	}
}

// maxItems bounds the lists inside an object.
const maxItems = 10_000

// each reads a list whose items one reads; null and [] make it empty.
func each[T any](dst *[]T, one func(*T) setter) setter {
	return func(m mode, at string, v value) error {
		if reset(m, v) {
			*dst = nil
			return nil
		}
		if v.form != isArray {
			return wrongType(at, "an array", v)
		}
		if len(v.items) > maxItems {
			return refuse(400, "invalid_field", fmt.Sprintf("%s has %d items; at most %d are allowed", at, len(v.items), maxItems))
		}
		out := make([]T, len(v.items))
		for i, item := range v.items {
			if err := one(&out[i])(whole, at+"["+strconv.Itoa(i)+"]", item); err != nil {
				return err
			}
		}
		*dst = out
		return nil
	}
}

func texts(dst *[]string) setter {
	return each(dst, func(s *string) setter { return str(s, "") })
}

// nested reads an object inside the object; null sets it to its default.
func nested[T any](dst *T, def T, fields binding) setter {
	return func(m mode, at string, v value) error {
		if reset(m, v) {
			*dst = def
			return nil
		}
		return fields.set(m, at, v)
	}
}

// unchangeable accepts only the id that the path already names.
func unchangeable[T ~[16]byte, P interface {
	*T
	encoding.TextUnmarshaler
}](id T) setter {
	return func(_ mode, at string, v value) error {
		var given T
		if err := text(P(&given), given)(whole, at, v); err != nil {
			return err
		}
		if given != (T{}) && given != id {
			return refuse(400, "invalid_field", at+" is not the one in the path; an id can not be changed")
		}
		return nil
	}
}

// ownText and ownNumber accept what the gateway sets itself, so that an object
// can be sent back as it was read. The value has no effect.
func ownText[T any, P interface {
	*T
	encoding.TextUnmarshaler
}]() setter {
	return func(_ mode, at string, v value) error {
		var ignored T
		return text(P(&ignored), ignored)(whole, at, v)
	}
}

func ownNumber(_ mode, at string, v value) error {
	if v.form != isNumber {
		return wrongType(at, "a number", v)
	}
	return nil
}

// reserved refuses a field and says where it is set instead.
func reserved(remedy string) setter {
	return func(_ mode, at string, _ value) error {
		return refuse(400, "invalid_field", at+" can not be set here: "+remedy)
	}
}
