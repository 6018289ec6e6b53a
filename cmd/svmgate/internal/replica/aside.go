package replica

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// An Aside is a table that was set aside: what this gateway wrote to it since it
// last compared tables with a peer is to be brought in as new.
type Aside struct {
	// Dir is the directory, inside the data directory, where the files are now.
	Dir string `json:"dir"`
	// Since is when tables were last compared.
	Since time.Time `json:"since"`
	// Moved says that all files are in Dir.
	Moved bool `json:"moved"`
}

const (
	asideName   = "set-aside.json"
	asidePrefix = "stale-"
)

// SetAside moves everything in a data directory that nobody has open to a directory
// inside it. A directory is not renamed: it may be a volume of its own. What a crash
// interrupts, [FindAside] ends.
func SetAside(data string, since, now time.Time) (Aside, error) {
	a := Aside{Dir: asidePrefix + now.UTC().Format("20060102T150405.000Z"), Since: since}
	if err := a.save(data); err != nil {
		return a, err
	}
	return a, a.move(data)
}

// FindAside returns what was set aside in a data directory and is not yet brought
// in. Call it before the directory is opened.
func FindAside(data string) (a Aside, found bool, err error) {
	text, err := os.ReadFile(filepath.Join(data, asideName))
	if errors.Is(err, fs.ErrNotExist) {
		return a, false, nil
	}
	if err != nil {
		return a, false, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&a); err != nil || !strings.HasPrefix(a.Dir, asidePrefix) || a.Dir != filepath.Base(a.Dir) {
		return a, false, fmt.Errorf("%s is damaged: remove it, and what the directory beside it has is not brought in",
			filepath.Join(data, asideName))
	}
	if !a.Moved {
		err = a.move(data)
	}
	return a, err == nil, err
}

// Done forgets that there is something to bring in. The files stay.
func (a Aside) Done(data string) error {
	if err := os.Remove(filepath.Join(data, asideName)); err != nil {
		return err
	}
	return syncDir(data)
}

// move moves the files of a table, and nothing else that may be there.
func (a *Aside) move(data string) error {
	lock, err := lockDir(data)
	if err != nil {
		return err
	}
	defer lock.Close()
	to := filepath.Join(data, a.Dir)
	if err = os.Mkdir(to, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name != "journal" && name != stateName && !strings.HasPrefix(name, "log-") && !strings.HasPrefix(name, "snapshot-") {
			continue
		}
		if err := os.Rename(filepath.Join(data, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	if err := errors.Join(syncDir(to), syncDir(data)); err != nil {
		return err
	}
	a.Moved = true
	return a.save(data)
}

// lockDir keeps out whoever would open the table meanwhile.
func lockDir(data string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(data, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("data directory %s is in use by another process: %w", data, err)
	}
	return lock, nil
}

func (a *Aside) save(data string) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(data, asideName), append(text, '\n'))
}
