package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// filled makes a data directory with a snapshot and a log behind it, and closes it.
func filled(t *testing.T, dir, name string) (want picture) {
	t.Helper()
	x := open(t, Config{Journal: openDir(t, dir)})
	x.must(t, furnish)
	if err := x.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.tenant(t, name)
	want = x.lasting()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	return want
}

// mustHave opens a data directory, compares, and closes it.
func mustHave(t *testing.T, dir string, want picture) {
	t.Helper()
	x := open(t, Config{Journal: openDir(t, dir)})
	if diff := diff(want, x.lasting()); diff != "" {
		t.Errorf("%s differs:\n%s", dir, diff)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
}

func emptyPicture(t *testing.T) picture { return open(t, Config{}).lasting() }

func asidesIn(t *testing.T, dir string) (asides []string) {
	t.Helper()
	names, err := readNames(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, asidePrefix) {
			asides = append(asides, name)
		}
	}
	return asides
}

func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	if path, err := SetAside(dir); path != "" || err != nil {
		t.Errorf("of an empty directory: %q, %v", path, err)
	}
	for _, name := range []string{"own", asidePrefix + "of somebody else"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var paths []string
	var wants []picture
	for _, name := range []string{"first", "second", "third"} {
		want := filled(t, dir, name)
		path, err := SetAside(dir)
		if err != nil {
			t.Fatal(err)
		}
		paths, wants = append(paths, path), append(wants, want)
		mustHave(t, dir, emptyPicture(t))
	}
	if exists(paths[0]) {
		t.Error("the oldest of three is still there")
	}
	mustHave(t, paths[1], wants[1])
	mustHave(t, paths[2], wants[2])
	if names, _ := readNames(dir); !slices.Contains(names, "own") || !slices.Contains(names, asidePrefix+"of somebody else") {
		t.Errorf("files of others are gone: %v", names)
	}
}

func TestSetAsideOfADirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	openDir(t, dir)
	if _, err := SetAside(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("SetAside = %v, want an error", err)
	}
	if _, err := SetAside(filepath.Join(dir, "not there")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("SetAside of nothing = %v", err)
	}
}

// Wherever it is cut short, the directory is what it was, or is set aside by who
// comes next: a start, or SetAside again.
func TestSetAsideThatWasCutShort(t *testing.T) {
	const files = 5 // the mark, two segments, a snapshot; and a step before all
	for step := range files {
		for _, next := range []string{"start", "SetAside"} {
			dir := t.TempDir()
			want := filled(t, dir, "initech")
			names, _ := readNames(dir)
			names = slices.DeleteFunc(names, func(name string) bool { return !isOurs(name) })
			if len(names) != files-1 || names[0] != formatName {
				t.Fatalf("files: %v", names)
			}
			unfinished := filepath.Join(dir, newAside(nil)+partial)
			if err := os.Mkdir(unfinished, 0o700); err != nil {
				t.Fatal(err)
			}
			for _, name := range names[:step] {
				if err := os.Rename(filepath.Join(dir, name), filepath.Join(unfinished, name)); err != nil {
					t.Fatal(err)
				}
			}
			aside := strings.TrimSuffix(unfinished, partial)
			if next == "SetAside" {
				path, err := SetAside(dir)
				if err != nil || path != aside {
					t.Fatalf("step %d: SetAside = %q, %v; want %q", step, path, err, aside)
				}
			}
			if next == "start" && step == 0 {
				mustHave(t, dir, want)
				continue
			}
			mustHave(t, dir, emptyPicture(t))
			mustHave(t, aside, want)
			if got := asidesIn(t, dir); len(got) != 1 {
				t.Errorf("step %d: %v", step, got)
			}
		}
	}
}

// All was moved but the name, and then somebody else began the directory anew.
func TestSetAsideBehindOneThatLacksItsName(t *testing.T) {
	dir := t.TempDir()
	first := filled(t, dir, "first")
	path, err := SetAside(dir)
	if err != nil {
		t.Fatal(err)
	}
	second := filled(t, dir, "second")
	if err := os.Rename(path, path+partial); err != nil {
		t.Fatal(err)
	}
	next, err := SetAside(dir)
	if err != nil || next == path {
		t.Fatalf("SetAside = %q, %v", next, err)
	}
	mustHave(t, path, first)
	mustHave(t, next, second)
	mustHave(t, dir, emptyPicture(t))
}

// The mark goes first: where SetAside fails in its midst, nobody takes the rest for
// a table.
func TestSetAsideMovesTheMarkFirst(t *testing.T) {
	dir := t.TempDir()
	want := filled(t, dir, "initech")
	unfinished := filepath.Join(dir, newAside(nil)+partial)
	names, _ := readNames(dir)
	for _, name := range names {
		if !isOurs(name) || name == formatName {
			continue
		}
		obstacle := filepath.Join(unfinished, name, "obstacle")
		if err := os.MkdirAll(obstacle, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := SetAside(dir); err == nil {
			t.Fatalf("%s was moved over a directory", name)
		}
		if exists(filepath.Join(dir, formatName)) || !exists(filepath.Join(unfinished, formatName)) {
			t.Fatal("the mark is still there")
		}
		if _, err := OpenDir(dir); err == nil {
			t.Fatal("what is left is taken for a data directory")
		}
		if err := os.RemoveAll(filepath.Join(unfinished, name)); err != nil {
			t.Fatal(err)
		}
	}
	path, err := SetAside(dir)
	if err != nil {
		t.Fatal(err)
	}
	mustHave(t, path, want)
	mustHave(t, dir, emptyPicture(t))
}
