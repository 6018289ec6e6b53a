package inventory

import (
	"bytes"
	"fmt"
	"mime"
	"path/filepath"
	"slices"
	"strings"
)

// A Format is how an inventory is written.
type Format uint8

// Formats. The zero value is YAML.
const (
	YAML Format = iota
	JSON
	NDJSON
	CSV
)

var formats = [...]struct {
	name, media string
	other       []string // further media types and file endings
}{
	YAML:   {"yaml", "application/yaml", []string{"application/x-yaml", "text/yaml", ".yaml", ".yml"}},
	JSON:   {"json", "application/json", []string{".json"}},
	NDJSON: {"ndjson", "application/x-ndjson", []string{"application/ndjson", "application/jsonl", ".ndjson", ".jsonl"}},
	CSV:    {"csv", "text/csv", []string{".csv"}},
}

func (f Format) String() string { return formats[f].name }

// MediaType returns the type of a request body in this format.
func (f Format) MediaType() string { return formats[f].media }

// ParseFormat reads "yaml", "json", "ndjson" or "csv".
func ParseFormat(name string) (Format, error) {
	for f := range formats {
		if formats[f].name == name {
			return Format(f), nil
		}
	}
	return 0, fmt.Errorf("%q is not a format: yaml, json, ndjson or csv", name)
}

// FormatOf returns the format of a body with the given Content-Type. Its error
// says which types there are.
func FormatOf(contentType string) (Format, error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err == nil {
		if cs := params["charset"]; cs != "" && !strings.EqualFold(cs, "utf-8") {
			return 0, fmt.Errorf("charset %q is not read; send UTF-8", cs)
		}
		for f, known := range formats {
			if media == known.media || slices.Contains(known.other, media) {
				return Format(f), nil
			}
		}
	}
	return 0, fmt.Errorf("content type %q is not one of application/x-ndjson, application/json, application/yaml, text/csv", contentType)
}

// Detect returns the format of a file by the ending of its name or, if that
// says nothing (as for standard input), by its first bytes.
func Detect(name string, head []byte) Format {
	ending := strings.ToLower(filepath.Ext(name))
	for f, known := range formats {
		if ending != "" && slices.Contains(known.other, ending) {
			return Format(f)
		}
	}
	head = bytes.TrimLeft(head, " \t\r\n")
	switch {
	case bytes.HasPrefix(head, []byte(CSVHeader)):
		return CSV
	case !bytes.HasPrefix(head, []byte("{")):
		return YAML
	}
	rest := bytes.TrimLeft(head[1:], " \t\r\n")
	for _, key := range []string{`"tenant"`, `"svm"`, `"vm"`} {
		if bytes.HasPrefix(rest, []byte(key)) {
			return NDJSON
		}
	}
	return JSON
}
