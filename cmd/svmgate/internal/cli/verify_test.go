package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// damagedDir is a data directory with bits flipped in the middle of its largest
// file.
func damagedDir(t *testing.T) string {
	t.Helper()
	_, backup := backedUp(t)
	dir := filepath.Join(t.TempDir(), "data")
	if r := execute(nil, "restore", backup, "--data", dir); r.err != nil {
		t.Fatal(r.err)
	}
	largest, size := "", int64(0)
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, e := range entries {
		info, err := e.Info()
		check(t, err)
		if info.Size() > size {
			largest, size = filepath.Join(dir, e.Name()), info.Size()
		}
	}
	text, err := os.ReadFile(largest)
	check(t, err)
	for i := size / 2; i < size/2+4; i++ {
		text[i] ^= 0xff
	}
	check(t, os.WriteFile(largest, text, 0o600))
	return dir
}

func TestVerify(t *testing.T) {
	_, backup := backedUp(t)
	dir := filepath.Join(t.TempDir(), "data")
	if r := execute(nil, "restore", backup, "--data", dir); r.err != nil {
		t.Fatal(r.err)
	}
	for _, state := range []string{"at rest", "open"} {
		if state == "open" {
			tableIn(t, dir)
		}
		r := execute(nil, "store", "verify", dir)
		if want := regexp.MustCompile(`data: \d+ files, \d+ bytes, \d+ records \(.*tenant 2.*\), 0 damages\n$`); r.err != nil || !want.MatchString(r.out) || strings.Count(r.out, "\n") != 1 {
			t.Errorf("%s: %q, %v; want one line that counts", state, r.out, r.err)
		}
		var v struct {
			Sound   *bool
			Files   int
			Bytes   int64
			Kinds   map[string]int64
			Damages []store.Damage
		}
		r = execute(nil, "store", "verify", dir, "--output", "json")
		check(t, json.Unmarshal([]byte(r.out), &v))
		if r.err != nil || v.Sound == nil || !*v.Sound || v.Files == 0 || v.Bytes == 0 || v.Kinds["tenant"] != 2 || v.Damages == nil || len(v.Damages) > 0 {
			t.Errorf("%s: %s, %v; want it sound", state, r.out, r.err)
		}
	}
}

func TestVerifyNamesDamage(t *testing.T) {
	dir := damagedDir(t)
	r := execute(nil, "store", "verify", dir)
	lines := strings.Split(strings.TrimSuffix(r.out, "\n"), "\n")
	if r.exit() != 1 || len(lines) < 2 || !strings.Contains(r.err.Error(), "damaged place") {
		t.Fatalf("exit %d, %q, %v; want 1 and a line for each place", r.exit(), r.out, r.err)
	}
	for _, line := range lines[:len(lines)-1] {
		if !regexp.MustCompile(`^\S+: byte \d+: .+`).MatchString(line) {
			t.Errorf("%q, want FILE: byte N: …", line)
		}
	}
	if last := lines[len(lines)-1]; !regexp.MustCompile(` [1-9]\d* damages?$`).MatchString(last) {
		t.Errorf("%q, want it to count the damages", last)
	}
	r = execute(nil, "store", "verify", dir, "--output", "json")
	var v struct {
		Sound   bool
		Damages []store.Damage
	}
	check(t, json.Unmarshal([]byte(r.out), &v))
	if r.exit() != 1 || v.Sound || len(v.Damages) != len(lines)-1 || v.Damages[0].Reason == "" || v.Damages[0].File == "" {
		t.Errorf("exit %d, %s; want 1 with the same damages", r.exit(), r.out)
	}
}

func TestVerifyOfWhatIsNoDirectory(t *testing.T) {
	for _, tt := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"/nowhere/data"}, 1, "/nowhere/data can not be read"},
		{[]string{file(t, "f", "x")}, 1, "can not be read"},
		{nil, 2, "DIR is missing"},
		{[]string{"a", "b"}, 2, "too many"},
		{[]string{"a", "--output", "xml"}, 2, "table or json"},
	} {
		r := execute(nil, append([]string{"store", "verify"}, tt.args...)...)
		if r.exit() != tt.exit || !strings.Contains(r.err.Error(), tt.says) {
			t.Errorf("%v: exit %d, %v; want %d with %q", tt.args, r.exit(), r.err, tt.exit, tt.says)
		}
	}
}
