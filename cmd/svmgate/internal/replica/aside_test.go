package replica

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

var asideAt = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// filled is a data directory with a table, a state, and a file of somebody else.
func filled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	d, err := store.OpenDir(dir)
	check(t, err)
	table, err := store.Open(store.Config{Journal: d})
	check(t, err)
	check(t, table.Update(func(tx *store.Tx) error {
		_, err := tx.PutTenant(store.Tenant{ID: store.TenantID{1}, Name: "acme", Discovery: store.DefaultDiscovery()})
		return err
	}))
	check(t, table.Close())
	check(t, os.WriteFile(filepath.Join(dir, stateName), []byte("{}"), 0o600))
	check(t, os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600))
	return dir
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestSetAside(t *testing.T) {
	dir := filled(t)
	since := asideAt.Add(-time.Hour)
	a, err := SetAside(dir, since, asideAt)
	check(t, err)
	if got, want := names(t, dir), []string{"lock", "notes", "set-aside.json", "stale-20261122T100000.000Z"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	found, ok, err := FindAside(dir)
	if err != nil || !ok || found != a || !found.Since.Equal(since) {
		t.Errorf("found %+v, %v, %v; want %+v", found, ok, err, a)
	}
	d, err := store.OpenDir(filepath.Join(dir, a.Dir))
	check(t, err)
	table, err := store.Open(store.Config{Journal: d})
	check(t, err)
	if _, ok := table.TenantByName("acme"); !ok {
		t.Error("the table that was set aside has no tenant")
	}
	check(t, table.Close())
	check(t, a.Done(dir))
	if _, ok, err := FindAside(dir); ok || err != nil {
		t.Errorf("after Done: %v, %v", ok, err)
	}
}

// A crash while files are moved leaves some here and some there; the next start
// moves the rest before it opens the table.
func TestSetAsideIsEnded(t *testing.T) {
	dir := filled(t)
	a := Aside{Dir: "stale-x", Since: asideAt}
	check(t, a.save(dir))
	check(t, os.Mkdir(filepath.Join(dir, a.Dir), 0o700))
	check(t, os.Rename(filepath.Join(dir, "journal"), filepath.Join(dir, a.Dir, "journal")))
	found, ok, err := FindAside(dir)
	if err != nil || !ok || !found.Moved {
		t.Fatalf("%+v, %v, %v", found, ok, err)
	}
	if got, want := names(t, dir), []string{"lock", "notes", "set-aside.json", "stale-x"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	if got := names(t, filepath.Join(dir, a.Dir)); !slices.Contains(got, "journal") || !slices.Contains(got, stateName) || len(got) < 3 {
		t.Errorf("moved: %q", got)
	}
	// Once that is done, what is written in its place is not moved.
	d, err := store.OpenDir(dir)
	check(t, err)
	check(t, d.Close())
	_, _, err = FindAside(dir)
	check(t, err)
	if got := names(t, dir); !slices.Contains(got, "journal") {
		t.Errorf("the new table was moved, too: %q", got)
	}
}

func TestDirectoryInUseIsNotSetAside(t *testing.T) {
	dir := filled(t)
	d, err := store.OpenDir(dir)
	check(t, err)
	defer d.Close()
	if _, err := SetAside(dir, asideAt, asideAt); err == nil {
		t.Error("the directory of a running gateway was set aside")
	}
	if got := names(t, dir); !slices.Contains(got, "journal") {
		t.Errorf("left: %q", got)
	}
}

func TestDamagedAside(t *testing.T) {
	for _, text := range []string{"{", `{"dir":"../elsewhere"}`, `{"dir":"stale-/../.."}`} {
		dir := filled(t)
		check(t, os.WriteFile(filepath.Join(dir, asideName), []byte(text), 0o600))
		if _, ok, err := FindAside(dir); ok || err == nil {
			t.Errorf("%s: %v, %v; want an error", text, ok, err)
		}
	}
}
