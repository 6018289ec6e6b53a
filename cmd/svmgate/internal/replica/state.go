package replica

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/store"
)

const stateName = "cluster.json"

// readState returns what a gateway knew of its peers when it last ran: nothing if
// there is no file. One that can not be read stops the start: without it, nobody
// would notice that the gateway was away for too long.
func readState(dir string) (s cluster.State, err error) {
	path := filepath.Join(dir, stateName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %w: if this gateway was away for less than tombstone-keep, remove the file, "+
			"otherwise start with an empty directory", path, err)
	}
	return s, nil
}

// lastState is readState for a table. An empty one has nothing that peers have
// deleted: it does not matter when its gateway was last heard.
func lastState(dir string, t *store.Table) (cluster.State, error) {
	s, err := readState(dir)
	if isEmpty(t) {
		s.Exchanged = time.Time{}
	}
	return s, err
}

func saveState(dir string, s cluster.State) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, stateName), append(text, '\n'))
}
