package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/svmgate/svmgate/store"
)

// A Keeper keeps what is to outlast [Sinks].
type Keeper interface {
	Load() ([]byte, error) // nothing if nothing was saved
	Save([]byte) error     // all of it or nothing
}

// A File keeps it in a file, for its owner only.
type File string

// Load implements [Keeper].
func (f File) Load() ([]byte, error) {
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// Save implements [Keeper]. It is on disk when it returns.
func (f File) Save(text []byte) (err error) {
	unfinished := string(f) + ".partial"
	file, err := os.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(unfinished, string(f))
	}
	if err != nil {
		return errors.Join(err, os.Remove(unfinished))
	}
	dir, err := os.Open(filepath.Dir(string(f)))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Memory keeps it for as long as the process lasts.
type Memory struct{ text []byte }

// Load implements [Keeper].
func (m *Memory) Load() ([]byte, error) { return m.text, nil }

// Save implements [Keeper].
func (m *Memory) Save(text []byte) error { m.text = text; return nil }

// kept is what is kept of a sink.
type kept struct {
	Cursor    version `json:"cursor"`
	Newest    version `json:"newest"`
	Waiting   int     `json:"waiting"` // between them
	Delivered uint64  `json:"delivered"`
	Dropped   uint64  `json:"dropped"`
	Refused   uint64  `json:"refused"`
}

func (k *kept) position() position {
	return position{k.Cursor.Version, k.Newest.Version, k.Delivered, k.Dropped, k.Refused}
}

type keptAll struct {
	Sinks map[string]kept `json:"sinks"`
}

// A version is one as text, so that no reader of JSON rounds it.
type version struct{ store.Version }

func (v version) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%016x-%016x", v.Clock, v.Node), nil
}

func (v *version) UnmarshalText(text []byte) error {
	if n, err := fmt.Sscanf(string(text), "%016x-%016x", &v.Clock, &v.Node); n != 2 || err != nil || len(text) != 33 {
		return fmt.Errorf("%q is no version", text)
	}
	return nil
}

// load reads what was kept. If that can not be read, all sinks are new.
func (s *Sinks) load() map[string]kept {
	if s.cfg.Keep == nil {
		return nil
	}
	var all keptAll
	text, err := s.cfg.Keep.Load()
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		s.cfg.Log.Error("what was kept of the sinks of events can not be read: they begin with the next event", "reason", err.Error())
		return nil
	}
	return all.Sinks
}

// save keeps where the sinks are, if that has changed. Sinks that are not there any more
// are forgotten: one that comes back is new.
func (s *Sinks) save(changed bool) {
	if s.cfg.Keep == nil {
		return
	}
	all := keptAll{map[string]kept{}}
	changed = changed || s.unkept != nil
	for _, one := range s.sinks {
		k, c := one.keep()
		all.Sinks[one.target.Name()] = k
		changed = changed || c
	}
	if !changed {
		return
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		err = s.cfg.Keep.Save(append(text, '\n'))
	}
	if err != nil && s.unkept == nil {
		s.cfg.Log.Error("where the sinks of events are can not be kept: after a restart they deliver again what they did since",
			"reason", err.Error())
	}
	s.unkept = err
}

func (s *sink) keep() (kept, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.changed
	s.changed = false
	return kept{version{s.cursor}, version{s.newest}, max(len(s.queue), s.expected), s.delivered, s.dropped, s.refused}, changed
}
