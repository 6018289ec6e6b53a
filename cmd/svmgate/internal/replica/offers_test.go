package replica

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cluster"
	"github.com/svmgate/svmgate/store"
)

func offersIn(t *testing.T, dir string) (paths []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "offers-*"))
	check(t, err)
	return paths
}

// What was written down comes into another table once, and then is gone.
func TestOffers(t *testing.T) {
	dir := t.TempDir()
	was := newTable(t, store.Config{Node: "a"})
	createTenant(t, was, 1, "acme")
	if n, err := SaveOffers(was.Table, dir, time.Now().Add(time.Hour), time.Now()); n != 0 || err != nil || len(offersIn(t, dir)) != 0 {
		t.Errorf("of nothing new: %d, %v, %q", n, err, offersIn(t, dir))
	}
	n, err := SaveOffers(was.Table, dir, time.Now().Add(-time.Hour), time.Now())
	if err != nil || n != 2 {
		t.Fatalf("%d offers, %v; want settings and activation", n, err)
	}
	createTenant(t, was, 2, "globex")
	_, err = SaveOffers(was.Table, dir, time.Now().Add(-time.Hour), time.Now().Add(time.Second))
	check(t, err)
	info, err := os.Stat(offersIn(t, dir)[0])
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600: there are hashes of passwords in it", info.Mode())
	}
	is := newTable(t, store.Config{Node: "a"})
	check(t, TakeOffers(is.Table, dir, slog.New(slog.DiscardHandler)))
	for _, name := range []string{"acme", "globex"} {
		if tenant, ok := is.TenantByName(name); !ok || tenant.Status != store.Active {
			t.Errorf("%s: %+v, %v", name, tenant, ok)
		}
	}
	if left := offersIn(t, dir); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// Damaged offers stop nothing; they stay for whoever looks after them.
func TestDamagedOffers(t *testing.T) {
	dir := t.TempDir()
	was := newTable(t, store.Config{Node: "a"})
	createTenant(t, was, 1, "acme")
	_, err := SaveOffers(was.Table, dir, time.Time{}, time.Now())
	check(t, err)
	path := offersIn(t, dir)[0]
	text, err := os.ReadFile(path)
	check(t, err)
	text[len(text)/2] ^= 1
	check(t, os.WriteFile(path, text, 0o600))
	var log bytes.Buffer
	is := newTable(t, store.Config{Node: "a"})
	check(t, TakeOffers(is.Table, dir, slog.New(slog.NewTextHandler(&log, nil))))
	if _, err := os.Stat(path); err != nil || !strings.Contains(log.String(), path) {
		t.Errorf("%v, log %q; want the file to stay and its name", err, &log)
	}
	if err := TakeOffers(is.Table, filepath.Join(dir, "none"), slog.New(slog.DiscardHandler)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

// An empty table has nothing that others have deleted, however long its gateway
// was away: a crash after a table was set aside does not set the next aside, too.
func TestEmptyTableIsNeverStale(t *testing.T) {
	dir := t.TempDir()
	table := newTable(t, store.Config{Node: "a"})
	check(t, saveState(dir, cluster.State{Exchanged: time.Now(), Peers: []cluster.Peer{{Name: "b"}}}))
	s, err := lastState(dir, table.Table)
	if err != nil || !s.Exchanged.IsZero() || len(s.Peers) != 1 {
		t.Errorf("empty: %+v, %v; want peers only", s, err)
	}
	createTenant(t, table, 1, "acme")
	if s, err := lastState(dir, table.Table); err != nil || s.Exchanged.IsZero() {
		t.Errorf("not empty: %+v, %v; want when it was last heard", s, err)
	}
}

// Between setting a table aside and catching up, a gateway may crash: the next one
// knows from what is left that it is not the first of all.
func TestStartsAnew(t *testing.T) {
	dir, met := t.TempDir(), []cluster.Peer{{Name: "b"}}
	empty, full := newTable(t, store.Config{Node: "a"}), newTable(t, store.Config{Node: "a"})
	createTenant(t, full, 1, "acme")
	is := func(cfg Config, peers []cluster.Peer, want bool) {
		t.Helper()
		if got, err := startsAnew(cfg, peers); got != want || err != nil {
			t.Errorf("%v, %v; want %v", got, err, want)
		}
	}
	is(Config{Table: empty.Table, Dir: dir}, nil, false)
	is(Config{Table: empty.Table, Dir: dir}, met, true)
	is(Config{Table: empty.Table}, nil, false)
	is(Config{Table: full.Table, Dir: dir}, met, false)
	is(Config{Table: empty.Table, Anew: true}, nil, true)
	_, err := SaveOffers(full.Table, dir, time.Time{}, time.Now())
	check(t, err)
	is(Config{Table: empty.Table, Dir: dir}, nil, true)
}
