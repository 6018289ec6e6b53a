package inventory

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"
)

// Write writes items in the given format, which can not be CSV: that has no
// place for tenants and SVMs. Items with Err are left out. NDJSON keeps the
// order of items; YAML and JSON keep it within tenants, SVMs and VMs. A VM
// takes one line in every format, so that a VM that moved is one changed line.
// [Read] reads what Write wrote as equal items.
func Write(w io.Writer, f Format, items []Item) error {
	bw := bufio.NewWriter(w)
	var err error
	switch f {
	case NDJSON:
		err = writeNDJSON(bw, items)
	case JSON:
		err = writeJSON(bw, items)
	case YAML:
		err = writeYAML(bw, items)
	default:
		return fmt.Errorf("an inventory is written as yaml, json or ndjson, not as %v", f)
	}
	if err != nil {
		return err
	}
	return bw.Flush()
}

func writeNDJSON(w *bufio.Writer, items []Item) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, item := range items {
		if item.Err != nil {
			continue
		}
		if err := enc.Encode(item); err != nil {
			return err
		}
	}
	return nil
}

// A section is a list of the document forms.
type section struct {
	name    string
	records [][]byte // JSON
}

// sectionsOf encodes items and sorts them into the lists that are not empty.
func sectionsOf(items []Item) ([]section, error) {
	all := []section{{name: "tenants"}, {name: "svms"}, {name: "vms"}}
	for _, item := range items {
		var record any
		var to *section
		switch {
		case item.Tenant != nil:
			record, to = item.Tenant, &all[0]
		case item.SVM != nil:
			record, to = item.SVM, &all[1]
		case item.VM != nil:
			record, to = item.VM, &all[2]
		default:
			continue
		}
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(record); err != nil {
			return nil, err
		}
		to.records = append(to.records, bytes.TrimSpace(b.Bytes()))
	}
	present := all[:0]
	for _, s := range all {
		if len(s.records) > 0 {
			present = append(present, s)
		}
	}
	return present, nil
}

func writeJSON(w *bufio.Writer, items []Item) error {
	sections, err := sectionsOf(items)
	if err != nil {
		return err
	}
	w.WriteString("{")
	for i, s := range sections {
		if i > 0 {
			w.WriteString(",")
		}
		fmt.Fprintf(w, "\n%q: [\n", s.name)
		for k, record := range s.records {
			if k > 0 {
				w.WriteString(",\n")
			}
			w.Write(record)
		}
		w.WriteString("\n]")
	}
	_, err = w.WriteString("}\n")
	return err
}

func writeYAML(w *bufio.Writer, items []Item) error {
	sections, err := sectionsOf(items)
	if err != nil {
		return err
	}
	if len(sections) == 0 {
		_, err = w.WriteString("vms: []\n")
		return err
	}
	doc := &yaml.Node{Kind: yaml.MappingNode}
	for _, s := range sections {
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, record := range s.records {
			j := newJSONText(bufio.NewReader(bytes.NewReader(record)), 1)
			v := j.value(maxDepth)
			if j.err != nil {
				return j.err
			}
			list.Content = append(list.Content, yamlNode(v, s.name == "vms"))
		}
		doc.Content = append(doc.Content, yamlNode(value{kind: kindText, text: s.name}, false), list)
	}
	dumper, err := yaml.NewDumper(w, yaml.WithLineWidth(-1))
	if err != nil {
		return err
	}
	if err := dumper.Dump(doc); err != nil {
		return err
	}
	return dumper.Close()
}

// yamlNode turns v into a node, all of it on one line if flow is set; what is
// nested in a record always is.
func yamlNode(v value, flow bool) *yaml.Node {
	n := &yaml.Node{}
	if flow {
		n.Style = yaml.FlowStyle
	}
	switch v.kind {
	case kindObject:
		n.Kind = yaml.MappingNode
		for i, name := range v.keys {
			n.Content = append(n.Content, yamlNode(value{kind: kindText, text: name}, false), yamlNode(v.items[i], true))
		}
	case kindList:
		n.Kind = yaml.SequenceNode
		for _, item := range v.items {
			n.Content = append(n.Content, yamlNode(item, true))
		}
	case kindText:
		n.SetString(v.text)
		n.Style &^= yaml.LiteralStyle // so that a record stays on its line
	default:
		n.Kind, n.Value = yaml.ScalarNode, v.text
	}
	return n
}
