package store

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store/internal/wal"
)

var flips = flag.Int("store.flips", 200, "how many bits TestFlippedBitIsFoundOrMadeUpFor flips")

// A history is a data directory with two snapshots and several segments, and the
// table as it was after every change.
type history struct {
	files  map[string]string
	tables []string // after the changes in the log, as records
	newest uint64   // number of the newest snapshot
	last   string   // name of the last segment, which has no seal
	ends   []int    // of its frames
}

// newHistory makes a directory that nobody has closed, behind whose last frame
// room is left, as a crash leaves it.
func newHistory(t *testing.T) *history {
	t.Helper()
	dir, h := t.TempDir(), &history{}
	x := open(t, Config{Journal: quick(t, dir, 150)})
	change := func(n int) {
		x.must(t, func(tx *Tx) error {
			_, tenant := tx.PutTenant(Tenant{
				ID: TenantID{byte(n%3 + 1)}, Name: fmt.Sprint("tenant ", n),
				Administration: Administration{Artifacts: "a"}, // last, so that no frame ends with zeros
			})
			if n%2 == 0 || n >= 100 { // small, to be cut everywhere
				return tenant
			}
			_, vm := tx.PutVM(VM{BIOS: BIOSID{byte(n%5 + 1)}, ID: VMID{1}, Tenant: TenantID{byte(n%3 + 1)}, Name: fmt.Sprint("vm ", n)})
			return errors.Join(tenant, vm)
		})
		h.tables = append(h.tables, x.written())
	}
	h.tables = append(h.tables, x.written())
	for n := range 7 {
		if n == 2 || n == 4 {
			if err := x.Snapshot(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		change(n)
	}
	h.newest = x.journal.(*Dir).newestNumber()
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	x = open(t, Config{Journal: quick(t, dir, 0)})
	for n := range 4 {
		change(100 + n)
	}
	h.files = contents(t, dir)
	for name := range h.files {
		if strings.HasPrefix(name, "log-") {
			h.last = max(h.last, name)
		}
	}
	text := strings.TrimRight(h.files[h.last], "\x00")
	frames := wal.ReadFrames(strings.NewReader(text), int64(len(text)), int64(len(wal.Header)))
	for {
		at, payload, err := frames.Next()
		if err != nil {
			break
		}
		h.ends = append(h.ends, int(at)+wal.FrameHeader+len(payload))
	}
	if len(h.ends) != 4 {
		t.Fatalf("the last segment has %d frames, want 4", len(h.ends))
	}
	h.files[h.last] = h.files[h.last][:h.ends[3]] + strings.Repeat("\x00", 40)
	return h
}

// written is the records of a table that last.
func (x tester) written() string {
	var b strings.Builder
	for _, r := range x.all() {
		if lasts(r) {
			fmt.Fprintf(&b, "%v %x %x\n", r.Key, r.Version, r.Value)
		}
	}
	return b.String()
}

// An outcome is what comes of a directory.
type outcome struct {
	table   string
	err     error
	damages []Damage
	sum     Summary
}

// try opens a directory with the given files, and verifies it before. Every few
// times it starts again: what was found is what a start finds from now on.
func try(t testing.TB, dir string, files map[string]string, again bool) (o outcome) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	names, err := readNames(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names { // faster than a new directory
		if _, ok := files[name]; !ok {
			os.Remove(filepath.Join(dir, name))
		}
	}
	writeFiles(t, dir, files)
	if o.sum, err = Verify(dir, nil, func(d Damage) { o.damages = append(o.damages, d) }); err != nil {
		t.Fatalf("Verify = %v", err)
	}
	d, err := openDirWith(dir, wal.Options{Files: &testDisk{}})
	if err != nil {
		o.err = err
		return o
	}
	defer d.Close()
	table, err := Open(Config{Journal: d})
	if err != nil {
		o.err = err
		return o
	}
	o.table = tester{table}.written()
	if err := table.Close(); err != nil || !again {
		o.err = err
		return o
	}
	second := try(t, dir, contents(t, dir), false)
	if second.err != nil || second.table != o.table {
		t.Fatalf("a second start: %v, and\n%s\nthe first\n%s", second.err, second.table, o.table)
	}
	return o
}

// A log that is cut anywhere has all changes before the one that is cut.
func TestLogIsCutAtEveryByte(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	dir := filepath.Join(t.TempDir(), "d")
	step := 1
	if testing.Short() {
		step = 7
	}
	for i, tail := range []string{"", "\x00\x00\x00", strings.Repeat("\x00", 600)} {
		for cut := h.ends[0]; cut <= h.ends[3]; cut += step + 8*i {
			whole := slices.IndexFunc(h.ends, func(end int) bool { return end > cut })
			if whole < 0 {
				whole = len(h.ends)
			}
			files := mapsWith(h.files, h.last, h.files[h.last][:cut]+tail)
			o := try(t, dir, files, cut%4 == 0)
			want := h.tables[len(h.tables)-1-len(h.ends)+whole]
			if o.err != nil || o.table != want {
				t.Fatalf("cut at byte %d of %d, then %d zeros: %v, and\n%s\nwant\n%s", cut, h.ends[3], len(tail), o.err, o.table, want)
			}
			if len(o.damages) > 0 {
				t.Fatalf("cut at byte %d: Verify reports %v; a crash is no damage", cut, o.damages)
			}
			if torn := len(bytes.TrimRight([]byte(h.files[h.last][h.ends[max(whole-1, 0)]:cut]), "\x00")); int(o.sum.Cut) != torn {
				t.Fatalf("cut at byte %d: Verify says that %d bytes are cut, want %d", cut, o.sum.Cut, torn)
			}
		}
	}
}

// A segment that others follow ends in a seal: no byte of it can be cut unseen.
func TestSealedSegmentThatIsCutIsAnError(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	dir := filepath.Join(t.TempDir(), "d")
	name := wal.SegmentName(h.newest)
	text, step := h.files[name], 3
	if *flips > 1000 {
		step = 1
	}
	for cut := 0; cut < len(text); cut += step {
		o := try(t, dir, mapsWith(h.files, name, text[:cut]), false)
		if o.err == nil || !strings.Contains(o.err.Error(), name) {
			t.Fatalf("cut at byte %d of %d: %v, want an error that names %s", cut, len(text), o.err, name)
		}
		if len(o.damages) == 0 {
			t.Fatalf("cut at byte %d of %d: Verify reports nothing", cut, len(text))
		}
	}
}

func mapsWith(files map[string]string, name, text string) map[string]string {
	out := map[string]string{}
	for n, t := range files {
		out[n] = t
	}
	out[name] = text
	return out
}

// Of a directory in which one bit was flipped all is served, or nothing; and
// Verify tells which file it was. Nobody can tell a bit of a log's last frame from
// a crash: if that is the seal nothing is lost, otherwise the change in it is
// missing; and Verify counts it as cut.
func TestFlippedBitIsFoundOrMadeUpFor(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	sealed := *h
	sealed.files = mapsWith(h.files, h.last, h.files[h.last][:h.ends[3]]+string(wal.AppendFrame(nil, nil)))
	dir := filepath.Join(t.TempDir(), "d")
	r := rand.New(rand.NewPCG(1, 2))
	cases := *flips
	if testing.Short() {
		cases = min(cases, 100)
	}
	counts := map[string]int{}
	for n := range cases {
		h, doubt := h, h.ends[2] // from where on damage looks like a crash
		if n%2 == 1 {
			h, doubt = &sealed, h.ends[3]
		}
		names := []string{}
		for name, text := range h.files {
			if text != "" {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		name := names[r.IntN(len(names))]
		at, bit := r.IntN(len(h.files[name])), r.IntN(8)
		text := []byte(h.files[name])
		text[at] ^= 1 << bit
		o := try(t, dir, mapsWith(h.files, name, string(text)), n%4 == 0)
		what := fmt.Sprintf("flip %d: bit %d of byte %d of %s", n, bit, at, name)
		counts[o.check(t, what, h, name, h.last == name && at >= doubt, h.last == name && at >= doubt && at < h.ends[3])]++
	}
	t.Log(counts)
}

// check judges what came of a bit of the named file. In the end of a log it may
// count as cut, and in its last frame cost the last change.
func (o *outcome) check(t *testing.T, what string, h *history, name string, inEnd, inLast bool) string {
	t.Helper()
	seen := inEnd && o.sum.Cut > 0
	for _, d := range o.damages {
		if filepath.Base(d.File) != name {
			t.Errorf("%s: Verify reports %v", what, d)
		}
		seen = true
	}
	if !seen {
		t.Errorf("%s: Verify reports nothing", what)
	}
	now, before := h.tables[len(h.tables)-1], h.tables[len(h.tables)-2]
	switch {
	case o.err != nil && strings.Contains(o.err.Error(), name):
		return "refused"
	case o.err != nil:
		t.Errorf("%s: %v; want an error that names the file", what, o.err)
	case o.table == now:
		return "made up for"
	case o.table == before && inLast:
		return "last change dropped"
	default:
		t.Errorf("%s: a wrong table:\n%s\nwant\n%s", what, o.table, now)
	}
	return "wrong"
}

// Two snapshots are two chances, not three.
func TestBothSnapshotsDamagedIsAnError(t *testing.T) {
	h := newHistory(t)
	dir := filepath.Join(t.TempDir(), "d")
	harm := func(files map[string]string, name string) {
		text := []byte(files[name])
		text[len(text)/2] ^= 1
		files[name] = string(text)
	}
	var snapshots []string
	for name := range h.files {
		if strings.HasPrefix(name, "snapshot-") {
			snapshots = append(snapshots, name)
		}
	}
	slices.Sort(snapshots)
	files := mapsWith(h.files, "", "")
	delete(files, "")
	harm(files, snapshots[1])
	if o := try(t, dir, files, true); o.err != nil || o.table != h.tables[len(h.tables)-1] {
		t.Errorf("the newer damaged: %v, %s", o.err, o.table)
	}
	harm(files, snapshots[0])
	o := try(t, dir, files, true)
	if o.err == nil || !strings.Contains(o.err.Error(), snapshots[0]) || !strings.Contains(o.err.Error(), snapshots[1]) ||
		!strings.Contains(o.err.Error(), "restore a backup") {
		t.Errorf("both damaged: %v, want an error that names both and what to do", o.err)
	}
}

// Of one file that is missing the others make up, or the start fails and names
// it. Only the last segment leaves no gap: that of a log without a seal before it
// can not be missing.
func TestMissingFiles(t *testing.T) {
	h := newHistory(t)
	dir := filepath.Join(t.TempDir(), "d")
	for name := range h.files {
		if name == h.last {
			continue
		}
		files := mapsWith(h.files, name, "")
		delete(files, name)
		o := try(t, dir, files, true)
		served := o.err == nil && o.table == h.tables[len(h.tables)-1]
		named := o.err != nil && strings.Contains(o.err.Error(), name)
		needed := name == formatName || strings.HasPrefix(name, "log-") && name >= wal.SegmentName(h.newest)
		if needed && !named || !needed && !served {
			t.Errorf("without %s: %v, and\n%s", name, o.err, o.table)
		}
		found := slices.ContainsFunc(o.damages, func(d Damage) bool { return filepath.Base(d.File) == name && d.Reason == "is missing" })
		if want := name != lockName && !strings.HasPrefix(name, "snapshot-"); found != want {
			t.Errorf("without %s Verify reports %v", name, o.damages)
		}
	}
}
