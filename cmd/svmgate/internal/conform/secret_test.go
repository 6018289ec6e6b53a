package conform

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// passwordsAreNowhere looks through all that the gateways wrote, logs and data, for
// the password that tenants were created with.
func (w *world) passwordsAreNowhere(t *testing.T) {
	t.Helper()
	for _, g := range w.gateways {
		err := filepath.WalkDir(g.dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if form := tells(text); form != "" {
				t.Errorf("%s contains a password, as %q", name, form)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// tells returns the form in which a password stands in a text.
func tells(text []byte) string {
	for _, form := range []string{password, password64, base64.RawURLEncoding.EncodeToString([]byte(password))} {
		if bytes.Contains(text, []byte(form)) {
			return form
		}
	}
	return ""
}

func TestTells(t *testing.T) {
	if b, err := base64.StdEncoding.DecodeString(password64); err != nil || string(b) != password {
		t.Errorf("%s is %q, want %q", password64, b, password)
	}
	for text, want := range map[string]string{"x" + password: password, password64: password64, "nothing": ""} {
		if got := tells([]byte(text)); got != want {
			t.Errorf("tells(%q) = %q, want %q", text, got, want)
		}
	}
}
