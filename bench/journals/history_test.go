package journals

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// smallFiles is the size of files in tests that want many.
const smallFiles = 64 << 10

// numbered returns record i of the history that the tests write. What it holds
// follows from i, so that a reader can tell a record that is wrong from one that
// is not there. Its kind is of no release: those are kept whatever their value is.
func numbered(i int) store.Record {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	r := store.Record{
		Key:     store.Key{Kind: 200},
		Version: store.Version{Clock: uint64(i) + 1, Node: 7},
		Value:   make([]byte, 40+rng.IntN(80)),
	}
	binary.BigEndian.PutUint64(r.Key.ID[:], uint64(i)+1)
	for n := range r.Value {
		r.Value[n] = byte(rng.Uint32())
	}
	return r
}

// groupSize is the number of records of append k of the history.
func groupSize(k int) int { return []int{1, 4, 2, 9, 1, 30}[k%6] }

// group returns the records of append k, of which the first has the number from.
func group(k, from int) (records []store.Record) {
	for i := range groupSize(k) {
		records = append(records, numbered(from+i))
	}
	return records
}

// A writer appends the history to a journal.
type writer struct {
	journal store.Journal
	groups  int
	records int
}

func (w *writer) append() error {
	records := group(w.groups, w.records)
	if err := w.journal.Append(records); err != nil {
		return err
	}
	w.groups++
	w.records += len(records)
	return nil
}

// begin opens a new journal for writing.
func begin(t testing.TB, e Engine, dir string, segments int) *writer {
	t.Helper()
	j, err := e.Open(dir, segments)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Replay(func(r store.Record) error { return fmt.Errorf("new, and has %s", r.Key) }); err != nil {
		t.Fatal(err)
	}
	return &writer{journal: j}
}

func (w *writer) appendMany(t testing.TB, groups int) {
	t.Helper()
	for range groups {
		if err := w.append(); err != nil {
			t.Fatal(err)
		}
	}
}

// What a journal gives back.
type contents struct {
	has   map[int]bool
	wrong int   // records that nobody wrote
	err   error // of opening or replaying
	crash any   // a panic
}

// read opens the journal in dir and replays it; then, if it can be written, use
// may do more with it.
func read(e Engine, dir string, segments int, use func(store.Journal) error) contents {
	done := make(chan contents, 1)
	go func() {
		c := contents{has: map[int]bool{}}
		defer func() {
			c.crash = recover()
			done <- c
		}()
		debug.SetPanicOnFault(true) // a damaged file that is mapped
		j, err := e.Open(dir, segments)
		if err != nil {
			c.err = err
			return
		}
		defer j.Close()
		c.err = j.Replay(func(r store.Record) error {
			i := int(binary.BigEndian.Uint64(r.Key.ID[:])) - 1
			if want := numbered(i); r.Key != want.Key || r.Version != want.Version || !bytes.Equal(r.Value, want.Value) {
				c.wrong++
			}
			c.has[i] = true
			return nil
		})
		if c.err == nil && use != nil {
			c.err = use(j)
		}
	}()
	select {
	case c := <-done:
		return c
	case <-time.After(20 * time.Second):
		return contents{crash: "hangs"}
	}
}

// An outcome is what became of a history.
type outcome string

const (
	whole   outcome = "all there"
	partial outcome = "HALF AN APPEND"
	lost    outcome = "LOST SILENTLY"
	wrong   outcome = "WRONG RECORD"
	refused outcome = "named error"
	crashed outcome = "PANIC"
)

// judge compares what was read with the first groups appends, which must be
// there, and at most one append more, which may be.
func judge(c contents, groups int) outcome {
	switch {
	case c.crash != nil:
		return crashed
	case c.wrong > 0:
		return wrong
	case c.err != nil:
		return refused
	}
	i := 0
	for k := range groups {
		for range groupSize(k) {
			if !c.has[i] {
				return lost
			}
			i++
		}
	}
	switch more := len(c.has) - i; {
	case more == 0, more == groupSize(groups):
		return whole
	default:
		return partial
	}
}

// A tally counts outcomes, and keeps an example of each.
type tally struct {
	n        map[outcome]int
	examples map[outcome]string
}

func (t *tally) add(o outcome, c contents, where string) {
	if t.n == nil {
		t.n, t.examples = map[outcome]int{}, map[outcome]string{}
	}
	if t.n[o]++; t.n[o] == 1 {
		t.examples[o] = fmt.Sprintf("%s: %v %v", where, c.err, c.crash)
	}
}

// report logs the tally; outcomes that are not allowed fail the test if the
// engine is the project's own.
func (t *tally) report(tb testing.TB, e Engine, what string) {
	tb.Helper()
	for _, o := range []outcome{whole, refused, partial, lost, wrong, crashed} {
		if t.n[o] == 0 {
			continue
		}
		line := fmt.Sprintf("%s: %s: %d × %s", e.Name, what, t.n[o], o)
		if o != whole {
			line += ", the first at " + t.examples[o]
		}
		if o != whole && o != refused && e.Name == Engines[0].Name {
			tb.Error(line)
		} else {
			tb.Log(line)
		}
	}
}

// An image is the files of a directory by name.
type image map[string][]byte

func imageOf(t testing.TB, dir string) image {
	t.Helper()
	img := image{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		img[name], err = os.ReadFile(filepath.Join(dir, name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// scratch returns a directory for images: in memory if possible, because thousands
// of them are written, and nobody cuts the power.
func scratch(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journals-*") //nolint:usetesting // t.TempDir is on a disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// restore makes the directory and writes the image into it.
func (img image) restore(t testing.TB, dir string) {
	t.Helper()
	err := os.Mkdir(dir, 0o700)
	for name, b := range img {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// newest returns the name of the newest log file.
func (img image) newest(t testing.TB, e Engine) string {
	t.Helper()
	names := img.logs(e)
	if len(names) == 0 {
		t.Fatalf("%s: no file is called %s", e.Name, e.Logs)
	}
	return names[len(names)-1]
}

func (img image) logs(e Engine) (names []string) {
	for name := range img {
		if ok, _ := filepath.Match(e.Logs, name); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// used returns how much of a file is in use: room that was taken in advance is
// zeros.
func used(b []byte) int { return len(bytes.TrimRight(b, "\x00")) }
