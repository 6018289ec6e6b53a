package ksc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
)

// maxAnswer bounds what is read of an answer. 500 virtual servers take 300 KiB.
const maxAnswer = 4 << 20

// maxMessage bounds what is kept of KSC's words.
const maxMessage = 500

var errNotUnderstood = errors.New("the answer is not understood")

// refusal is PxgError.
type refusal struct {
	Code    int    `json:"code"`
	Module  string `json:"module"`
	Message string `json:"message"`
}

// decode reads the answer to a call of method into out, which may be nil. The error is an
// [*Error] if the answer is one, in KSC's own words: [link.struck] makes them fit to be told.
func decode(method string, body []byte, out any) error {
	if len(bytes.TrimSpace(body)) == 0 && out == nil {
		return nil // of a method that returns nothing
	}
	var failure struct{ PxgError *refusal }
	if err := json.Unmarshal(body, &failure); err != nil {
		return fmt.Errorf("%w: %w", errNotUnderstood, err)
	}
	if e := failure.PxgError; e != nil {
		return &Error{Method: method, Module: e.Module, Code: e.Code, Message: e.Message}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%w: %w", errNotUnderstood, err)
	}
	return nil
}

// plain makes a text of others fit for a log: one line, not too long.
func plain(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), maxMessage)], "")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
}

// A value is what an answer returns, in PxgRetVal. It is there, or the answer is not
// understood.
type value[T any] struct{ V T }

// UnmarshalJSON reads PxgRetVal out of an answer.
func (v *value[T]) UnmarshalJSON(b []byte) error {
	var answer struct{ PxgRetVal json.RawMessage }
	if err := json.Unmarshal(b, &answer); err != nil {
		return err
	}
	if answer.PxgRetVal == nil {
		return errors.New("no PxgRetVal")
	}
	// A list may be null; a number that is would be read as 0, which is somebody's id.
	if kind := reflect.TypeFor[T]().Kind(); string(answer.PxgRetVal) == "null" && kind != reflect.Slice {
		return errors.New("PxgRetVal is null")
	}
	return json.Unmarshal(answer.PxgRetVal, &v.V)
}

// A container is a value of type params. Inside arrays and other containers it is written
// {"type":"params","value":{…}}, as an argument or a result without that; both are read,
// the first is written.
type container[T any] struct{ V T }

// UnmarshalJSON reads a container in either form.
func (c *container[T]) UnmarshalJSON(b []byte) error {
	var typed struct {
		Type  string          `json:"type"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(b, &typed); err == nil && typed.Type == "params" && typed.Value != nil {
		b = typed.Value
	}
	return json.Unmarshal(b, &c.V)
}

// MarshalJSON writes a container that stands inside another.
func (c container[T]) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"type": "params", "value": c.V})
}

// binary is a value of type binary inside a container: base64, and secret here.
type binary struct {
	Type  string `json:"type"`
	Value secret `json:"value"`
}

// datetime is a value of type datetime inside a container.
type datetime struct {
	Value time.Time `json:"value"`
}
