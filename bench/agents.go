package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/svmgate/svmgate/store"
)

// maxAgentsFile bounds a file of agents, in bytes.
const maxAgentsFile = 4 << 30

// biosField finds BIOS IDs in inventories, as YAML, JSON or NDJSON.
var biosField = regexp.MustCompile(`\bbiosId"?\s*:\s*["']?(\{[^}"'\s]*\}|[^"'{},\s]+)`)

// ReadAgents reads BIOS IDs: from an inventory all that follow "biosId:", from
// any other text the first word of each line, as in a plain list or a CSV file
// with its header.
func ReadAgents(r io.Reader) ([]store.BIOSID, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAgentsFile+1))
	if err != nil {
		return nil, fmt.Errorf("bench: read agents: %w", err)
	}
	if len(text) > maxAgentsFile {
		return nil, fmt.Errorf("bench: agents: the file has more than %d bytes", maxAgentsFile)
	}
	var ids []store.BIOSID
	fields := biosField.FindAllSubmatch(text, -1)
	for _, field := range fields {
		id, err := store.ParseBIOSID(field[1])
		if err != nil {
			return nil, fmt.Errorf("bench: agents: biosId %q: %w", field[1], err)
		}
		ids = append(ids, id)
	}
	for n := 1; len(text) > 0 && len(fields) == 0; n++ {
		var line []byte
		line, text, _ = bytes.Cut(text, []byte("\n"))
		words := bytes.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\r' })
		if len(words) == 0 || n == 1 && string(words[0]) == "biosId" {
			continue
		}
		id, err := store.ParseBIOSID(words[0])
		if err != nil {
			return nil, fmt.Errorf("bench: agents: line %d: %.60q: %w", n, words[0], err)
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, errors.New("bench: agents: the file names no BIOS ID")
	}
	return ids, nil
}
