package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// tableIn opens what is in a data directory.
func tableIn(t *testing.T, dir string) *store.Table {
	t.Helper()
	d, err := store.OpenDir(dir)
	check(t, err)
	table, err := store.Open(store.Config{Journal: d})
	check(t, err)
	t.Cleanup(func() { check(t, table.Close()) })
	return table
}

func TestRestoreIntoADirectory(t *testing.T) {
	_, backup := backedUp(t)
	text, err := os.ReadFile(backup)
	check(t, err)
	for name, how := range map[string]func(dir string) result{
		"--data": func(dir string) result { return execute(nil, "restore", backup, "--data", dir) },
		"the environment": func(dir string) result {
			t.Setenv("SVMGATE_DATA", dir)
			return execute(nil, "restore", backup)
		},
		"a file of settings": func(dir string) result {
			unset(t, "SVMGATE_DATA")
			return execute(nil, "restore", backup, "--config", file(t, "c.yaml", "data: "+dir+"\nadmin-addr: nonsense\n"))
		},
		"the default": func(dir string) result {
			t.Chdir(filepath.Dir(dir))
			r := execute(nil, "restore", backup)
			check(t, os.Rename("svmgate-data", dir))
			return r
		},
		"standard input": func(dir string) result { return execute(bytes.NewReader(text), "restore", "-", "--data", dir) },
		"an empty directory": func(dir string) result {
			check(t, os.Mkdir(dir, 0o700))
			return execute(nil, "restore", backup, "--data", dir)
		},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		r := how(dir)
		if r.err != nil || !strings.Contains(r.out, " records (") || r.errOut != "" {
			t.Fatalf("%s: %q, %q, %v", name, r.out, r.errOut, r.err)
		}
		if s := tableIn(t, dir).Stats(); s.Tenants != 2 || s.SVMs != 2 || s.VMs != 2 || s.Accounts != 1 {
			t.Errorf("%s: %+v, want all of the sample", name, s)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	g, backup := backedUp(t)
	text, err := os.ReadFile(backup)
	check(t, err)
	flipped := bytes.Clone(text)
	flipped[len(text)/2] ^= 0x10
	with := func(name, text string) string {
		dir := t.TempDir()
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		return dir
	}
	used := filepath.Join(t.TempDir(), "data")
	tableIn(t, used)
	absent := filepath.Join(t.TempDir(), "data")
	tests := []struct {
		name string
		args []string
		exit int
		says string
	}{
		{"a directory with a file", []string{backup, "--data", with("notes", "mine")}, 1, "is not restored into"},
		{"a directory that is open", []string{backup, "--data", used}, 1, "is not restored into"},
		{"a file for a directory", []string{backup, "--data", backup}, 1, "is not restored into"},
		{"a damaged file", []string{file(t, "b", string(flipped)), "--data", absent}, 1, "byte "},
		{"half a file", []string{file(t, "b", string(text[:len(text)/2])), "--data", absent}, 1, "byte "},
		{"all but a byte", []string{file(t, "b", string(text[:len(text)-1])), "--data", absent}, 1, "byte "},
		{"another file", []string{file(t, "b", sample), "--data", absent}, 1, "is not"},
		{"an empty file", []string{file(t, "b", ""), "--data", absent}, 1, "is not"},
		{"no file", []string{"nowhere", "--data", absent}, 1, "no such file"},
		{"no name", nil, 2, "FILE is missing"},
		{"in memory", []string{backup, "--data", ":memory:"}, 2, "keeps nothing"},
		{"no directory", []string{backup, "--data", ""}, 2, "data"},
		{"a config that is not there", []string{backup, "--config", "nowhere"}, 2, "nowhere"},
		{"sure of what nobody asks", []string{backup, "--data", absent, "--yes"}, 2, "--as-new"},
		{"a gateway that is not asked", []string{backup, "--data", absent, "--server", g.server}, 2, "--as-new"},
		{"a directory that is not filled", []string{backup, "--data", absent, "--as-new"}, 2, "--data"},
		{"xml", []string{backup, "--data", absent, "--output", "xml"}, 2, "table or json"},
	}
	for _, tt := range tests {
		if r := execute(nil, append([]string{"restore"}, tt.args...)...); r.exit() != tt.exit || !strings.Contains(r.err.Error(), tt.says) || r.out != "" {
			t.Errorf("%s: exit %d, %q, %v; want %d with %q", tt.name, r.exit(), r.out, r.err, tt.exit, tt.says)
		}
		if left, err := os.ReadDir(absent); len(left) > 0 {
			t.Errorf("%s: left behind %v, %v", tt.name, left, err)
		}
	}
}

func TestRestoreAsNew(t *testing.T) {
	g, backup := backedUp(t)
	g.must("svm", "forget", "svm-2")
	g.must("tenant", "deactivate", "acme")
	r := g.run("restore", backup, "--as-new")
	if r.exit() != 2 || !strings.Contains(r.err.Error(), "--yes") || !strings.Contains(r.errOut, "tenant 2") {
		t.Errorf("where nobody can be asked: exit %d, %q, %v; want 2 after showing what there is", r.exit(), r.errOut, r.err)
	}
	if s := g.table.Stats(); s.SVMs != 1 {
		t.Errorf("%+v, want nothing changed", s)
	}
	wantAll(t, "restore", g.must("restore", backup, "--as-new", "--yes"), "restored: ", "tenant 2", "svm-config 2")
	if s := g.table.Stats(); s.SVMs != 2 || s.VMs != 2 || s.Tenants != 2 {
		t.Errorf("%+v, want all of the sample", s)
	}
	if acme, _ := g.table.TenantByName("acme"); acme.Status != store.Active {
		t.Errorf("acme is %v, want it active as it was", acme.Status)
	}
	var s summary
	check(t, json.Unmarshal([]byte(g.must("restore", backup, "--as-new", "--yes", "--output", "json")), &s))
	if s.Kinds["tenant"] != 2 || s.Records < 10 {
		t.Errorf("%+v, want the summary", s)
	}
	damaged := file(t, "b", sample)
	for _, args := range [][]string{{damaged, "--as-new"}, {damaged, "--as-new", "--yes"}} {
		if r := g.run(append([]string{"restore"}, args...)...); r.exit() != 1 || !strings.Contains(r.err.Error(), "is not") && !strings.Contains(r.err.Error(), "invalid_backup") {
			t.Errorf("%v: exit %d, %v; want 1", args, r.exit(), r.err)
		}
	}
}
