package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"
)

func TestWhatArrivesCanBeReadAgain(t *testing.T) {
	for _, size := range []int{0, 1, MaxMemory, MaxMemory + 1, 2*MaxMemory + 5} {
		dir := t.TempDir()
		text := make([]byte, size)
		for i := range text {
			text[i] = byte(i % 251)
		}
		s, err := Read(bytes.NewReader(text), int64(size), dir)
		if err != nil {
			t.Fatalf("%d bytes, as many as may come: %v", size, err)
		}
		for range 2 {
			if got, err := io.ReadAll(s.Open()); err != nil || !bytes.Equal(got, text) {
				t.Errorf("%d bytes: read %d, %v", size, len(got), err)
			}
		}
		if size > 0 {
			last := make([]byte, 1)
			if _, err := s.ReadAt(last, s.Size()-1); err != nil || last[0] != text[size-1] {
				t.Errorf("%d bytes: the last is %d, %v; want %d", size, last, err, text[size-1])
			}
		}
		if (s.file != nil) != (size > MaxMemory) {
			t.Errorf("%d bytes: in a file is %v", size, s.file != nil)
		}
		nothingIn(t, dir) // even now: a process that is killed leaves nothing
		s.Close()
	}
}

func TestTooLarge(t *testing.T) {
	for _, most := range []int64{0, 10, MaxMemory, MaxMemory + 10} {
		dir := t.TempDir()
		if _, err := Read(bytes.NewReader(make([]byte, most+1)), most, dir); !errors.Is(err, ErrTooLarge) {
			t.Errorf("one byte more than %d: %v, want ErrTooLarge", most, err)
		}
		nothingIn(t, dir)
	}
}

func TestWhatBreaksOffIsAnError(t *testing.T) {
	broken := errors.New("connection reset")
	for _, size := range []int{10, MaxMemory + 10} {
		dir := t.TempDir()
		r := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(broken))
		if _, err := Read(r, 1<<30, dir); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: %v, want %v", size, err, broken)
		}
		nothingIn(t, dir)
	}
}

func TestNoPlaceForAFile(t *testing.T) {
	if _, err := Read(bytes.NewReader(make([]byte, MaxMemory+1)), 1<<30, t.TempDir()+"/none"); err == nil {
		t.Error("want an error that says that the temporary file can not be made")
	}
}

func nothingIn(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
