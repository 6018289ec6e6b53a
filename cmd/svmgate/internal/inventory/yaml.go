package inventory

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// readYAML reads one document of the shape of [readJSON]. Its lists come in the
// order of the file.
func readYAML(r io.Reader, fn func(Item) error) error {
	text, err := io.ReadAll(io.LimitReader(r, MaxYAML+1))
	if err != nil {
		return err
	}
	if len(text) > MaxYAML {
		return fmt.Errorf("%w: YAML is read as a whole, up to %d bytes; write it as NDJSON, JSON or CSV", ErrTooLarge, MaxYAML)
	}
	if !utf8.Valid(text) {
		at := validUntil(text)
		return failure(1+strings.Count(string(text[:at]), "\n"), "", "the text is not valid UTF-8")
	}
	doc, err := loadYAML(text)
	if err != nil {
		return err
	}
	if doc.Kind != yaml.MappingNode {
		return failure(doc.Line, "", "the document must be {tenants: […], svms: […], vms: […]}")
	}
	var seen value
	for i := 0; i+1 < len(doc.Content); i += 2 {
		name, list := doc.Content[i], doc.Content[i+1]
		kind, ok := sections[name.Value]
		if !ok {
			return failure(name.Line, "", "%s is not a known field; there are svms, tenants, vms", shown(name.Value))
		}
		if seen.add(name.Value, value{line: name.Line}); seen.bad != nil {
			return seen.bad
		}
		if list.Kind != yaml.SequenceNode {
			return failure(list.Line, name.Value, "must be a list")
		}
		for _, n := range list.Content {
			v, bad := yamlValue(n, maxDepth)
			item := decodeItem(kind, v)
			if bad != nil {
				item = Item{Line: n.Line, Err: bad.in(kind)}
			}
			if err := fn(item); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadYAML returns the root of the one document in text.
func loadYAML(text []byte) (*yaml.Node, error) {
	var doc yaml.Node
	// Doubled keys are left to value.add, which blames the record alone.
	err := yaml.Load(text, &doc, yaml.WithUniqueKeys(false), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth+4))))
	var syntax *yaml.LoadError
	switch {
	case errors.As(err, &syntax):
		return nil, failure(syntax.Mark.Line, "", "the YAML can not be read: %s", syntax.Message)
	case err != nil:
		return nil, failure(0, "", "the YAML can not be read: %v", err)
	}
	root := &doc
	if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
		root = root.Content[0]
	}
	return root, nil
}

// yamlValue turns n into a value. Aliases are refused: a few lines of them can
// stand for more records than fit in memory.
func yamlValue(n *yaml.Node, depth int) (value, *Error) {
	v := value{line: n.Line, text: n.Value}
	if depth == 0 {
		return v, failure(n.Line, "", "values are nested more than %d deep", maxDepth)
	}
	switch n.Kind {
	case yaml.MappingNode:
		v.kind = kindObject
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i]
			if name.Kind != yaml.ScalarNode {
				return v, failure(name.Line, "", "a key must be the name of a field")
			}
			member, bad := yamlValue(n.Content[i+1], depth-1)
			if bad != nil {
				return v, bad.in(name.Value)
			}
			v.add(name.Value, member)
		}
	case yaml.SequenceNode:
		v.kind = kindList
		for i, c := range n.Content {
			element, bad := yamlValue(c, depth-1)
			if bad != nil {
				return v, bad.in(fmt.Sprintf("[%d]", i))
			}
			v.push(element)
		}
	case yaml.ScalarNode:
		return yamlScalar(n, v)
	default:
		return v, failure(n.Line, "", "anchors and aliases are not read; write the value out")
	}
	return v, nil
}

func yamlScalar(n *yaml.Node, v value) (value, *Error) {
	switch tag := n.ShortTag(); {
	case n.Style&yaml.TaggedStyle != 0 && tag != "!!str":
		return v, failure(n.Line, "", "the tag %s is not read; write the value without it", tag)
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) != 0:
		v.kind = kindText
	case tag == "!!null":
		v.kind = kindNull
	default:
		v.kind = kindPlain
	}
	return v, nil
}
