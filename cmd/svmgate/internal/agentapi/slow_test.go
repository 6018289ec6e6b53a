package agentapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// The same readers once more, slowly and plainly, over net/url and
// encoding/json. The fuzz tests hold the fast ones to them.

var (
	uuidForm  = regexp.MustCompile(`^(\{[0-9a-fA-F-]+\}|[0-9a-fA-F-]+)$`)
	limitForm = regexp.MustCompile(`^([1-9]|1[0-6])$`)
)

func slowUUID(text string) (id [16]byte, err error) {
	if !uuidForm.MatchString(text) {
		return id, errors.New("not a UUID")
	}
	text = strings.Trim(text, "{}")
	if parts := strings.Split(text, "-"); len(parts) > 1 {
		lengths := []int{}
		for _, p := range parts {
			lengths = append(lengths, len(p))
		}
		if !slices.Equal(lengths, []int{8, 4, 4, 4, 12}) {
			return id, errors.New("hyphens in the wrong places")
		}
	}
	text = strings.ReplaceAll(text, "-", "")
	if len(text) != 32 {
		return id, errors.New("wrong length")
	}
	for i := range id {
		if _, err := fmt.Sscanf(text[2*i:2*i+2], "%02x", &id[i]); err != nil {
			return id, err
		}
	}
	return id, nil
}

// slowPatience checks the parameters that only a question has.
func slowPatience(fields map[string]any) error {
	if text, ok := fields["wait"].(string); ok {
		if regexp.MustCompile(`^[0-9]+$`).MatchString(text) {
			text += "s"
		}
		wait, err := time.ParseDuration(text)
		if err != nil || len(fields["wait"].(string)) > 32 || wait < time.Second || wait > 5*time.Minute {
			return errors.New("wait")
		}
	}
	if text, ok := fields["revision"].(string); ok {
		n, isNumber := new(big.Int).SetString(text, 10)
		if !isNumber || !regexp.MustCompile(`^[0-9]+$`).MatchString(text) || n.BitLen() > 53 {
			return errors.New("revision")
		}
	}
	delete(fields, "wait")
	delete(fields, "revision")
	return nil
}

// slowQuestion reads what readQuestion reads.
func slowQuestion(id, query string) (q discovery.Query, err error) {
	text, err := url.PathUnescape(id)
	if err != nil {
		return q, err
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return q, err
	}
	fields := map[string]any{"biosId": text}
	for name, list := range values {
		if len(list) > 1 || name == "biosId" {
			return q, errors.New("twice")
		}
		fields[name] = list[0]
		if name == "failed" {
			fields[name] = []any{}
			if list[0] != "" {
				fields[name] = anySlice(strings.Split(list[0], ","))
			}
		}
	}
	if err := slowPatience(fields); err != nil {
		return q, err
	}
	return slowFields(fields)
}

func anySlice(list []string) (out []any) {
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

// slowLine reads what readLine reads.
func slowLine(line string) (q discovery.Query, err error) {
	if !utf8.ValidString(line) {
		return q, errors.New("not UTF-8")
	}
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return q, errors.New("not an object")
	}
	fields := map[string]any{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return q, err
		}
		if _, twice := fields[name.(string)]; twice {
			return q, errors.New("twice")
		}
		var value any
		if err := d.Decode(&value); err != nil {
			return q, err
		}
		fields[name.(string)] = value
	}
	if _, err := d.Token(); err != nil {
		return q, err
	}
	if _, err := d.Token(); err != io.EOF {
		return q, errors.New("more than one object")
	}
	switch n := fields["limit"].(type) {
	case json.Number:
		fields["limit"] = string(n)
	case string:
		return q, errors.New("limit is a number")
	}
	switch fields["protection"] {
	case true:
		fields["protection"] = "on"
	case false:
		fields["protection"] = "off"
	}
	if _, text := fields["failed"].(string); text {
		return q, errors.New("failed is an array")
	}
	if fields["biosId"] == nil {
		return q, errors.New("no biosId")
	}
	return slowFields(fields)
}

// slowFields makes a query of decoded fields: text, but for failed.
func slowFields(fields map[string]any) (q discovery.Query, err error) {
	for name, value := range fields {
		text, isText := value.(string)
		list, isList := value.([]any)
		known := slices.Contains([]string{"biosId", "version", "os", "kind", "current", "failed", "limit", "tag",
			"protection", "algorithm", "path", "biosIdOrder"}, name)
		switch {
		case !known:
			return q, errors.New("unknown")
		case value == nil:
			continue
		case name == "failed" && isList:
			for _, v := range list {
				s, _ := v.(string)
				id, err := slowUUID(s)
				if err != nil || len(q.Failed) == 16 {
					return q, errors.New("failed")
				}
				q.Failed = append(q.Failed, id)
			}
			continue
		case !isText:
			return q, errors.New("type")
		}
		if err := slowField(&q, name, text); err != nil {
			return q, err
		}
	}
	if fields["biosIdOrder"] != nil {
		q.BIOS = q.BIOS.Swapped()
	}
	return q, nil
}

func slowField(q *discovery.Query, name, text string) error {
	var err error
	switch name {
	case "biosId":
		q.BIOS, err = slowUUID(text)
	case "version":
		q.Version, _ = store.ParseProductVersion(text)
	case "os":
		_ = text != "" && q.OS.UnmarshalText([]byte(text)) == nil
	case "kind":
		_ = text != "" && q.Kind.UnmarshalText([]byte(text)) == nil
	case "current":
		if text != "" {
			q.Current, err = slowUUID(text)
		}
	case "limit":
		if !limitForm.MatchString(text) {
			return errors.New("limit")
		}
		_, err = fmt.Sscan(text, &q.Limit)
	case "tag":
		if len(text) > 128 || !utf8.ValidString(text) {
			return errors.New("tag")
		}
		q.Tag = discovery.Some([]byte(text))
	case "protection":
		if text != "on" && text != "off" {
			return errors.New("protection")
		}
		q.Protection = discovery.Some(text == "on")
	case "algorithm":
		q.Algorithm.Set = true
		err = q.Algorithm.V.UnmarshalText([]byte(text))
	case "path":
		q.Path.Set = true
		err = q.Path.V.UnmarshalText([]byte(text))
	case "biosIdOrder":
		if text != "swapped" {
			return errors.New("order")
		}
	}
	return err
}
