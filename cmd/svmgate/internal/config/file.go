package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds the file of settings, in bytes.
const maxFile = 1 << 20

// readFile returns the settings of the YAML file at path; an empty path is an
// empty file.
func readFile(path string, fail func(*Error)) (map[string]given, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &Error{Key: "config", Value: path, Reason: "the file can not be read: " + reason(err)}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, &Error{Key: "config", Value: path, Reason: "the file can not be read: " + reason(err)}
	}
	if len(text) > maxFile {
		return nil, &Error{Key: "config", Value: path, Reason: fmt.Sprintf("the file has more than %d bytes", maxFile)}
	}
	return parseFile(filepath.Base(path), text, fail)
}

func parseFile(name string, text []byte, fail func(*Error)) (map[string]given, error) {
	doc, err := loadOne(text)
	var syntax *yaml.LoadError
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil // nothing, or nothing but comments
	case errors.As(err, &syntax):
		return nil, fmt.Errorf("config: %s:%d: this is not YAML: %s", name, syntax.Mark.Line, syntax.Message)
	case err != nil:
		return nil, fmt.Errorf("config: %s: %w", name, err)
	}
	root := doc
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("config: %s:%d: want lines such as \"agent-addr: 127.0.0.1:7270\"", name, root.Line)
	}
	settings := map[string]given{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		where := fmt.Sprintf("%s:%d", name, key.Line)
		text, err := fileValue(key.Value, value)
		if before, ok := settings[key.Value]; ok && err == nil {
			err = fmt.Errorf("the key stands there already, at %s", before.where)
		}
		if err != nil {
			fail(&Error{Key: key.Value, Value: text, Where: where, Reason: err.Error()})
			continue
		}
		settings[key.Value] = given{text, where}
	}
	return settings, nil
}

// loadOne returns the only document of text, or io.EOF if there is none.
func loadOne(text []byte) (*yaml.Node, error) {
	// Doubled keys are left to the caller, who knows the line of both.
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithUniqueKeys(false))
	if err != nil {
		return nil, err
	}
	var doc, more yaml.Node
	if err := loader.Load(&doc); err != nil {
		return nil, err
	}
	if err := loader.Load(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one YAML document in the file")
	}
	return &doc, nil
}

// fileValue returns the text of the value of key, and what is wrong with the two.
func fileValue(key string, value *yaml.Node) (string, error) {
	shown := value.Value
	if value.Kind != yaml.ScalarNode {
		shown = "…"
	}
	s, ok := Lookup(key)
	if why, isAbsent := absent[key]; isAbsent {
		return shown, errors.New(absence(why))
	}
	if !ok {
		return shown, fmt.Errorf("there is no such setting%s (svmgate config print lists them)", meant(key, false))
	}
	if s.EnvOnly {
		return redacted, fmt.Errorf("a secret does not belong into this file: set the environment variable %s", s.Env())
	}
	switch {
	case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
		return "", fmt.Errorf("the value is missing: want %s", s.Allowed)
	case value.Kind == yaml.ScalarNode:
		return value.Value, nil
	case value.Kind == yaml.SequenceNode && s.List:
		items := make([]string, 0, len(value.Content))
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode || item.Tag == "!!null" || strings.Contains(item.Value, ",") {
				return shown, fmt.Errorf("line %d is not one value: want a list of %s", item.Line, s.Allowed)
			}
			items = append(items, item.Value)
		}
		return strings.Join(items, ","), nil
	}
	return shown, fmt.Errorf("want %s", s.Allowed)
}

// reason drops the path from an error of the file system: it is said already.
func reason(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
