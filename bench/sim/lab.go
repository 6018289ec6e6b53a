package sim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/svmgate/svmgate/store"
)

// A Lab makes the tables of worlds. Reading a million VMs from a snapshot takes half a
// second, where writing them takes ten: so each kind of world is written once.
type Lab struct {
	dir   string
	made  map[string]string // directories, by what is in them
	count int
}

// NewLab returns a lab that keeps its files in dir.
func NewLab(dir string) *Lab { return &Lab{dir: dir, made: map[string]string{}} }

// epoch is when a bubble of testing/synctest begins: versions are not to come from its
// future.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// table returns a table with the world's tenants and VMs, and a function that removes
// it.
func (l *Lab) table(w *World, cfg store.Config, rule store.Load) (t *store.Table, remove func() error, err error) {
	key := fmt.Sprint(w.Tenants, w.Hosts, rule)
	base, ok := l.made[key]
	if !ok {
		base = filepath.Join(l.dir, fmt.Sprintf("world-%d", len(l.made)))
		if err := l.write(base, w, rule); err != nil {
			return nil, nil, err
		}
		l.made[key] = base
	}
	l.count++
	dir := filepath.Join(l.dir, fmt.Sprintf("table-%d", l.count))
	if err := os.CopyFS(dir, os.DirFS(base)); err != nil {
		return nil, nil, fmt.Errorf("sim: %w", err)
	}
	if t, err = open(dir, cfg); err != nil {
		return nil, nil, err
	}
	return t, func() error { return errors.Join(t.Close(), os.RemoveAll(dir)) }, nil
}

// write makes a data directory with the tenants and VMs of a world in a snapshot.
func (l *Lab) write(dir string, w *World, rule store.Load) error {
	t, err := store.Open(store.Config{Clock: func() time.Time { return epoch }})
	if err != nil {
		return err
	}
	defer t.Close()
	if err := w.load(t, rule); err != nil {
		return err
	}
	var backup bytes.Buffer
	if err := t.Backup(context.Background(), &backup); err != nil {
		return err
	}
	_, err = store.Restore(dir, bytes.NewReader(backup.Bytes()), int64(backup.Len()), nil)
	return err
}

func open(dir string, cfg store.Config) (*store.Table, error) {
	journal, err := store.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	cfg.Journal = journal
	return store.Open(cfg)
}

// Play plays a scenario with a policy. It is to be called in a bubble of
// testing/synctest.
func (l *Lab) Play(s *Scenario, p Policy, seed uint64) (Result, error) {
	r, err := l.start(s.World, p, seed)
	defer r.close()
	if err != nil {
		return Result{}, err
	}
	out := s.play(r)
	out.Busiest = r.busiest
	return out, nil
}
