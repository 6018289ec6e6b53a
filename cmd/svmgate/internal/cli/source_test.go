package cli

import (
	"io"
	"os"
	"strings"
	"testing"
)

// TestSourceHasItsSize opens what has a size and what has none.
func TestSourceHasItsSize(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	pipe, w, err := os.Pipe()
	check(t, err)
	defer pipe.Close()
	go func() {
		_, _ = io.WriteString(w, sample)
		_ = w.Close()
	}()
	for name, stdin := range map[string]io.Reader{
		file(t, "sample.yaml", sample): strings.NewReader("not read"), "-": pipe, os.DevNull: nil,
	} {
		s, err := openSource(stdin, name)
		check(t, err)
		text, err := io.ReadAll(s)
		check(t, err)
		want := sample
		if name == os.DevNull {
			want = ""
		}
		if string(text) != want || s.size != int64(len(want)) {
			t.Errorf("%s: size %d of %d bytes %q, want %d", name, s.size, len(text), text, len(want))
		}
		check(t, s.Close())
	}
	left, err := os.ReadDir(temp)
	check(t, err)
	if len(left) != 0 {
		t.Errorf("%v is left in the temporary folder, want nothing", left)
	}
}
