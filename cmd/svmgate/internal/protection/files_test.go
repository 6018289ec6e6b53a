package protection

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
)

func newFiles(t *testing.T, dir string, b *Book) *Files {
	t.Helper()
	f, err := NewFiles(dir, b)
	check(t, err)
	return f
}

// read returns all of a report; empty if it is not there.
func read(t *testing.T, r Report, err error) string {
	t.Helper()
	if errors.Is(err, ErrNoReport) {
		return ""
	}
	check(t, err)
	text, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	check(t, err)
	check(t, r.Close())
	return string(text)
}

func (f *Files) text(t *testing.T, id uuid.UUID) string {
	t.Helper()
	r, err := f.Open(id)
	return read(t, r, err)
}

func TestFiles(t *testing.T) {
	b := march(t)
	want := b.report(t, Query{Tenant: &acme})
	for name, dir := range map[string]string{"disk": filepath.Join(t.TempDir(), "reports"), "memory": ""} {
		t.Run(name, func(t *testing.T) {
			f, id, other := newFiles(t, dir, b), uuid.New(), uuid.New()
			check(t, f.Make(t.Context(), id, Query{Tenant: &acme}))
			check(t, f.Make(t.Context(), other, Query{To: at("2020-01-01T00:00:00Z")}))
			if got := f.text(t, id); got != want {
				t.Errorf("it is %q, want %q", got, want)
			}
			if r, err := f.Open(other); err != nil || r.Size() != 0 {
				t.Errorf("an empty one: %v, %v", r, err)
			}
			if _, err := f.Open(uuid.New()); !errors.Is(err, ErrNoReport) {
				t.Errorf("of nobody: %v", err)
			}
			if ids, bytes := f.Kept(); len(ids) != 2 || bytes != int64(len(want)) {
				t.Errorf("%d are kept, of %d bytes", len(ids), bytes)
			}
			reader, err := f.Open(id)
			check(t, err)
			check(t, f.Remove(id))
			check(t, f.Remove(id))
			if got := read(t, reader, nil); got != want || f.text(t, id) != "" {
				t.Error("who had begun to read could not go on, or it is still there")
			}
			if ids, bytes := f.Kept(); len(ids) != 1 || bytes != 0 || f.count != 1 {
				t.Errorf("after one was removed %d are kept, of %d bytes", len(ids), bytes)
			}
		})
	}
}

// A report outlives its process, but not what the process had begun.
func TestFilesAfterARestart(t *testing.T) {
	dir, b, id := t.TempDir(), march(t), uuid.New()
	check(t, newFiles(t, dir, b).Make(t.Context(), id, Query{}))
	about, err := os.Stat(filepath.Join(dir, id.String()+".csv"))
	if err != nil || about.Mode() != 0o600 {
		t.Fatalf("it is %v, %v; want a file of mode 0600", about, err)
	}
	half, old, foreign := uuid.NewString()+".csv.part", uuid.New(), "notes.txt"
	for _, name := range []string{half, old.String() + ".csv", foreign} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600))
	}
	yesterday := time.Now().Add(-KeepReports)
	check(t, os.Chtimes(filepath.Join(dir, old.String()+".csv"), yesterday, yesterday))
	f := newFiles(t, dir, b)
	if got, want := f.text(t, id), b.report(t, Query{}); got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
	entries, err := os.ReadDir(dir)
	check(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if got := strings.Join(names, " "); got != id.String()+".csv "+foreign || f.text(t, old) != "" {
		t.Errorf("there are %s", got)
	}
	if ids, bytes := f.Kept(); len(ids) != 1 || bytes != about.Size() {
		t.Errorf("%d are kept, of %d bytes", len(ids), bytes)
	}
}

func TestReportsAreKeptForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, id := newFiles(t, "", newBook(t, newTable(t, 0))), uuid.New()
		var work sync.WaitGroup
		defer work.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		work.Go(func() { f.Run(ctx) })
		check(t, f.Make(ctx, id, Query{}))
		time.Sleep(KeepReports - time.Second)
		if _, err := f.Open(id); err != nil {
			t.Errorf("after less than a day: %v", err)
		}
		time.Sleep(sweepEvery + time.Second)
		if _, err := f.Open(id); !errors.Is(err, ErrNoReport) {
			t.Errorf("after a day: %v", err)
		}
	})
}

func TestNoRoom(t *testing.T) {
	dir, b := t.TempDir(), march(t)
	whole := int64(len(b.report(t, Query{})))
	for name, dir := range map[string]string{"disk": dir, "memory": ""} {
		f, id := newFiles(t, dir, b), uuid.New()
		f.most = 2*whole - 1
		check(t, f.Make(t.Context(), uuid.New(), Query{}))
		if err := f.Make(t.Context(), id, Query{}); !errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), "bytes") || f.text(t, id) != "" {
			t.Errorf("%s: more bytes than may be: %v", name, err)
		}
		f.most = 2 * whole
		check(t, f.Make(t.Context(), uuid.New(), Query{}))
		f.count = MaxReports
		if err := f.Make(t.Context(), uuid.New(), Query{}); !errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), "10000 are kept") {
			t.Errorf("%s: more than may be: %v", name, err)
		}
		f.count = 2
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := f.Make(gone, uuid.New(), Query{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: one that nobody wants any more: %v", name, err)
		}
		if _, bytes := f.Kept(); bytes != 2*whole || f.count != 2 {
			t.Errorf("%s: %d are kept, of %d bytes, want 2 of %d", name, f.count, bytes, 2*whole)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.part")); err != nil || len(left) != 0 {
		t.Errorf("%v were left, %v", left, err)
	}
	check(t, os.RemoveAll(dir))
	if err := newGone(t, b).Make(t.Context(), uuid.New(), Query{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is gone: %v", err)
	}
}

// newGone are files whose directory is not there any more.
func newGone(t *testing.T, b *Book) *Files {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "reports")
	f := newFiles(t, dir, b)
	check(t, os.Remove(dir))
	return f
}

// Another gateway reads the same, whole or anywhere, in pieces that are bounded.
func TestDistant(t *testing.T) {
	f, id := newFiles(t, "", march(t)), uuid.New()
	text := []byte(strings.Repeat("0123456789abcdef", 40_000)) // more than three pieces
	f.keep(id, &keptReport{made: time.Now(), size: int64(len(text)), text: text})
	asked := 0
	ask := func(question []byte) ([]byte, error) {
		answer, err := f.Answer(question)
		if asked++; len(answer) > MaxPiece+answerHead {
			t.Errorf("an answer has %d bytes", len(answer))
		}
		return answer, err
	}
	r, err := OpenDistant(ask, id)
	if got := read(t, r, err); got != string(text) || asked != 1+4 {
		t.Errorf("%d bytes were read in %d questions, want %d in 5", len(got), asked, len(text))
	}
	for _, span := range [][2]int{{0, 0}, {0, 1}, {len(text) - 1, 5}, {len(text), 1}, {MaxPiece - 1, 2}, {5, 2*MaxPiece + 3}} {
		p := make([]byte, span[1])
		n, err := r.ReadAt(p, int64(span[0]))
		want := text[span[0]:min(len(text), span[0]+span[1])]
		if !bytes.Equal(p[:n], want) || (err == nil) != (n == len(p)) {
			t.Errorf("%d bytes from %d: %d, %v", span[1], span[0], n, err)
		}
	}
	if _, err := OpenDistant(ask, uuid.New()); !errors.Is(err, ErrNoReport) {
		t.Errorf("a report of nobody: %v", err)
	}
	if _, err := OpenDistant(func([]byte) ([]byte, error) { return nil, io.ErrClosedPipe }, id); !errors.Is(err, ErrAway) || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("a gateway that is away: %v", err)
	}
	greedy := binary.BigEndian.AppendUint32(append(id[:], make([]byte, 8)...), 1<<30)
	if answer, err := ask(greedy); err != nil || len(answer) != answerHead+MaxPiece {
		t.Errorf("who asks for more than a piece gets %d bytes, %v", len(answer), err)
	}
	check(t, f.Remove(id))
	f.keep(id, &keptReport{made: time.Now(), size: 5, text: text[:5]})
	if n, err := r.ReadAt(make([]byte, 5), 0); err == nil {
		t.Errorf("%d bytes were read of a report that is another by now", n)
	}
	check(t, f.Remove(id))
	if _, err := r.ReadAt(make([]byte, 5), 0); err == nil {
		t.Error("what was not read yet is still there")
	}
}

// FuzzAnswer: whatever gateways say, none reads or allocates more than a piece.
func FuzzAnswer(f *testing.F) {
	id := uuid.UUID{1}
	files := &Files{kept: map[uuid.UUID]*keptReport{id: {size: 3, text: []byte("abc")}}}
	f.Add(append(id[:], 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9), []byte{pieceThere, 0, 0, 0, 0, 0, 0, 0, 2, 'x', 'y'})
	f.Add([]byte{}, []byte{pieceGone})
	f.Add(append(id[:], bytes.Repeat([]byte{255}, 12)...), append([]byte{pieceThere}, bytes.Repeat([]byte{255}, 20)...))
	f.Fuzz(func(t *testing.T, question, answer []byte) {
		if got, err := files.Answer(question); err == nil && len(got) > answerHead+3 {
			t.Errorf("the answer to %x is %x", question, got)
		}
		r, err := OpenDistant(func([]byte) ([]byte, error) { return answer, nil }, id)
		if err != nil {
			return
		}
		p := make([]byte, 100)
		if n, err := r.ReadAt(p, 0); n > len(p) || err == nil && int64(n) > r.Size() {
			t.Errorf("of a report of %d bytes %d were read, %v", r.Size(), n, err)
		}
	})
}
