package store

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// Whatever is written in whatever parts is in the file then, past the page cache or
// through it, and if the file system refuses at the first block what it had promised.
func TestSteadyWritesWhatItIsGiven(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 3*steadyBytes)
	for i := range want {
		want[i] = byte(rng.Uint32())
	}
	for _, way := range []string{"as the file system likes", "through the cache", "changing its mind"} {
		for _, size := range []int{0, 1, diskBlock, steadyBytes - 1, steadyBytes, steadyBytes + 1, 2*steadyBytes + diskBlock, 3*steadyBytes - 17} {
			path := filepath.Join(t.TempDir(), "file")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			s := newSteady(f)
			switch way {
			case "through the cache":
				if s.direct {
					err = s.setIndirect()
				}
			case "changing its mind": // at an odd address the system refuses
				s.buf = make([]byte, steadyBytes+1)[1:1]
			}
			if err != nil {
				t.Fatal(err)
			}
			for rest := want[:size]; len(rest) > 0 && err == nil; {
				n := min(1+rng.IntN(2*copyPiece), len(rest))
				var written int
				if written, err = s.Write(rest[:n]); written != n && err == nil {
					t.Fatalf("%d of %d bytes are written, and no error", written, n)
				}
				rest = rest[n:]
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.end(); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want[:size]) {
				t.Errorf("%s: %d bytes are written as %d others", way, size, len(got))
			}
		}
	}
}

// What the file system says reaches the caller.
func TestSteadyFails(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	s := newSteady(f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Write(make([]byte, 2*steadyBytes)); err == nil {
		t.Error("a closed file takes what is written")
	}
	if err := s.end(); err == nil {
		t.Error("a closed file ends well")
	}
}
