package replica

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func key(b byte, n int) []byte { return slices.Repeat([]byte{b}, n) }

func line(k []byte) string { return base64.StdEncoding.EncodeToString(k) + "\n" }

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cluster.key")
	check(t, os.WriteFile(path, []byte(text), mode))
	check(t, os.Chmod(path, mode)) // whatever the umask
	return path
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadKeys(t *testing.T) {
	path := write(t, "# comment\n\n"+line(key(1, 32))+"  "+line(key(2, 16))+strings.TrimSpace(line(key(3, 24))), 0o600)
	got, err := ReadKeys(path)
	if want := [][]byte{key(1, 32), key(2, 16), key(3, 24)}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%x, %v; want %x", got, err, want)
	}
	check(t, saveKeys(path, got[1:]))
	again, err := ReadKeys(path)
	if err != nil || !reflect.DeepEqual(again, got[1:]) {
		t.Errorf("after saving: %x, %v; want %x", again, err, got[1:])
	}
}

// What is wrong with a key file is said, and no key with it.
func TestReadKeysRefuses(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString(key(7, 20))
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		says       string
	}{
		{"nothing", "# none\n", 0o600, "has no key"},
		{"readable by others", line(key(1, 32)), 0o640, "chmod 600"},
		{"wrong length", secret + "\n", 0o600, "line 1 is not a key"},
		{"not base64", line(key(1, 32)) + strings.Repeat("?", 44), 0o600, "line 2 is not a key"},
		{"twice", line(key(1, 32)) + line(key(1, 32)), 0o600, "line 2 has a key that stands there"},
		{"too many", func() (s string) {
			for i := range byte(maxKeys + 1) {
				s += line(key(i, 16))
			}
			return s
		}(), 0o600, "more than 16 keys"},
		{"too long", "#" + strings.Repeat("x", maxKeyFile), 0o600, "bytes"},
	} {
		_, err := ReadKeys(write(t, tt.text, tt.mode))
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.says)
		}
	}
	if _, err := ReadKeys(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
	if _, err := ReadKeys(t.TempDir()); err == nil {
		t.Error("a directory is read")
	}
}
