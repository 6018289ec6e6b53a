package wal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// stride is how many bytes a test of every byte goes on by: what is for one
// goroutine need not be tried as often under the race detector.
func stride() int {
	if testing.Short() {
		return 13
	}
	return 1
}

// start opens the log of a disk and replays it.
func start(d *disk, from uint64) (l *Log, payloads []string, err error) {
	l, err = Open("d", Options{Files: d, SegmentBytes: 8000, step: 2048})
	if err != nil {
		return nil, nil, err
	}
	err = l.Replay(from, func(_ uint64, _ int64, payload []byte) error {
		payloads = append(payloads, string(payload))
		return nil
	})
	if err != nil {
		return nil, payloads, errors.Join(err, l.Close())
	}
	return l, payloads, nil
}

func mustStart(t *testing.T, d *disk, from uint64, want ...string) *Log {
	t.Helper()
	l, payloads, err := start(d, from)
	if err != nil || !slices.Equal(payloads, want) {
		t.Fatalf("Replay(%d) gives %q, %v; want %q", from, payloads, err, want)
	}
	return l
}

func add(l *Log, payload string) error {
	return l.AppendInPlace(append(make([]byte, FrameHeader), payload...))
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func rotate(l *Log) error {
	_, err := l.Rotate()
	return err
}

// threeSegments returns a disk with a log in which only the last segment is open,
// what is in it by segment, and where in the last one frames begin.
func threeSegments(t *testing.T) (d *disk, payloads [3][]string, at []int64) {
	t.Helper()
	d = newDisk()
	l := mustStart(t, d, 1)
	for segment := range payloads {
		if segment > 0 {
			must(t, rotate(l))
		}
		for i := range 3 {
			payload := fmt.Sprintf("segment %d frame %d%s", segment, i, strings.Repeat(".", 50*i))
			at = append(at, l.size)
			must(t, add(l, payload))
			payloads[segment] = append(payloads[segment], payload)
		}
	}
	return d, payloads, append(at[6:], l.size)
}

func TestSegments(t *testing.T) {
	d := newDisk()
	l := mustStart(t, d, 0)
	for range 2 { // the second has nothing to do
		if n, err := l.Rotate(); n != 1 || err != nil {
			t.Errorf("Rotate of an empty log = %d, %v; want 1", n, err)
		}
	}
	must(t, add(l, "one"), add(l, ""), add(l, "two"))
	if n, err := l.Rotate(); n != 2 || err != nil {
		t.Errorf("Rotate = %d, %v; want 2", n, err)
	}
	must(t, add(l, "three"), rotate(l), add(l, "four"), l.Close(), l.Close())
	if got := l.Segments(); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("Segments = %d", got)
	}
	l = mustStart(t, d, 2, "three", "four")
	sum := int64(0)
	for n, want := range map[uint64]int{1: 14 + 15 + 15 + 12, 2: 14 + 17 + 12, 3: 14 + 16 + 12} {
		if got := len(d.names[l.path(n)].live); got != want {
			t.Errorf("segment %d has %d bytes, want %d", n, got, want)
		}
		sum += int64(want)
	}
	if got := l.Bytes(0); got != sum {
		t.Errorf("Bytes(0) = %d, want %d", got, sum)
	}
	// A sealed segment is never written to again.
	must(t, add(l, "five"))
	if got := l.Segments(); !slices.Equal(got, []uint64{1, 2, 3, 4}) {
		t.Errorf("Segments after a restart and an Append = %d", got)
	}
	if got := l.Bytes(4); got != 14+16 {
		t.Errorf("Bytes(4) = %d, want 30", got)
	}
	if err := l.Remove(5); err == nil || !strings.Contains(err.Error(), l.path(4)) {
		t.Errorf("the present segment is removed: %v", err)
	}
	must(t, l.Remove(3), l.Remove(3), l.Remove(1), l.Close())
	if got := l.Segments(); !slices.Equal(got, []uint64{3, 4}) {
		t.Errorf("Segments after Remove(3) = %d", got)
	}
	d.crash()
	if got := len(d.names); got != 2 {
		t.Errorf("%d files are there after a power failure, want 2", got)
	}
	mustStart(t, d, 3, "four", "five")
	mustStart(t, d, 4, "five")
}

// What somebody else has put in the place of the next segment is not overwritten.
func TestSegmentOfSomebodyElseIsKept(t *testing.T) {
	d := newDisk()
	l := mustStart(t, d, 1)
	must(t, add(l, "one"))
	d.put(l.path(2), []byte("not mine"))
	if err := rotate(l); !errors.Is(err, fs.ErrExist) || !errors.Is(err, ErrNotWritten) || string(d.names[l.path(2)].live) != "not mine" {
		t.Errorf("Rotate = %v", err)
	}
}

func TestLongSegmentIsFollowedByAnother(t *testing.T) {
	d := newDisk()
	l := mustStart(t, d, 1)
	var want []string
	for i := range 100 {
		want = append(want, strings.Repeat("x", 40*i))
		must(t, add(l, want[i]))
	}
	want = want[1:] // an empty payload is not appended
	if n := len(l.Segments()); n < 15 || n > 25 {
		t.Errorf("200 kB in segments of 8,000 bytes are %d", n)
	}
	mustStart(t, d, 1, want...)
	must(t, l.Close())
	mustStart(t, d, 1, want...)
}

// A file that grows costs several times as much to sync.
func TestFramesReplaceZeros(t *testing.T) {
	d := newDisk()
	l := mustStart(t, d, 1)
	d.grows = 0
	for range 150 {
		must(t, add(l, "frames of 44 bytes, in all 6,600"))
	}
	if d.grows != 4 {
		t.Errorf("the segment grew %d times, want 4: it grows by 2,048 bytes", d.grows)
	}
	must(t, rotate(l))
	d.grows = 0
	for range 3 {
		must(t, add(l, strings.Repeat("x", 600)))
	}
	if d.grows != 3 {
		t.Errorf("with frames of 600 bytes the segment grew %d times, want 3: room would not pay", d.grows)
	}
}

func TestStateMayBeReadAtAnyTime(t *testing.T) {
	d := newDisk()
	l := mustStart(t, d, 1)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for last := int64(0); ; {
			select {
			case <-stop:
				return
			default:
			}
			n := l.Bytes(1)
			if n < last || l.Fault() != nil || len(l.Segments()) == 0 {
				t.Errorf("Bytes = %d after %d, Fault = %v, Segments = %d", n, last, l.Fault(), l.Segments())
				return
			}
			last = n
		}
	}()
	for i := range 300 {
		must(t, add(l, "payload"))
		if i%7 == 0 {
			must(t, rotate(l))
		}
	}
	close(stop)
	<-done
	must(t, l.Close())
}

func TestRestartsWithoutAppendsMakeNoFiles(t *testing.T) {
	d := newDisk()
	for range 3 {
		l := mustStart(t, d, 7)
		must(t, l.Close())
	}
	if len(d.names) != 1 {
		t.Errorf("%d files", len(d.names))
	}
}

func TestNothingIsWrittenBeforeReplayOrAfterClose(t *testing.T) {
	d := newDisk()
	l, err := Open("d", Options{Files: d})
	must(t, err)
	for _, when := range []string{"before Replay", "after Close"} {
		for what, err := range map[string]error{"Append": add(l, "x"), "Rotate": rotate(l), "Remove": l.Remove(1)} {
			if !errors.Is(err, ErrNotWritten) {
				t.Errorf("%s %s: %v", what, when, err)
			}
		}
		must(t, l.Close())
	}
	if err := l.Replay(0, nil); err == nil {
		t.Error("Replay after Close")
	}
	if len(d.names) != 0 {
		t.Errorf("%d files were made", len(d.names))
	}
	l = mustStart(t, d, 0)
	if err := l.Replay(0, nil); err == nil {
		t.Error("Replay twice")
	}
}

func TestPayloadBeyondTheLimitIsRefused(t *testing.T) {
	l := mustStart(t, newDisk(), 0)
	huge, err := syscall.Mmap(-1, 0, FrameHeader+MaxFrame+1, syscall.PROT_READ, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	must(t, err) // never touched, so it takes no memory
	defer syscall.Munmap(huge)
	if err := l.AppendInPlace(huge); !errors.Is(err, ErrNotWritten) || !strings.Contains(err.Error(), "in parts") {
		t.Errorf("AppendInPlace = %v", err)
	}
	must(t, add(l, "x"))
}

// A crash may leave any part of the last frame, and zeros or nothing behind it.
func TestTornTailKeepsAllEarlierFrames(t *testing.T) {
	t.Parallel()
	d, payloads, at := threeSegments(t)
	name, earlier := filepath.Join("d", segmentName(3)), slices.Concat(payloads[0], payloads[1])
	content := d.names[name].live
	for cut := 0; cut < int(at[3]); cut += stride() {
		frames := 0
		for frames < 2 && int64(cut) >= at[frames+1] {
			frames++
		}
		want := slices.Concat(earlier, payloads[2][:frames])
		for _, zeros := range []int{0, int(at[3]) - cut, len(content) - cut, 10000} {
			if cut < len(Header) && zeros > len(Header)-cut {
				continue // zeros in place of the line that was synced first
			}
			c := d.clone()
			c.put(name, slices.Concat(content[:cut], make([]byte, zeros)))
			l, got, err := start(c, 1)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("cut at byte %d, then %d zeros: %q, %v; want %q", cut, zeros, got, err, want)
			}
			if part := int64(cut) - max(at[frames], 14); part > 0 != (l.Dropped() > 0) || l.Dropped() > max(0, part) {
				t.Errorf("cut at byte %d, then %d zeros: %d bytes dropped", cut, zeros, l.Dropped())
			}
			must(t, add(l, "and on"))
			c.crash()
			mustStart(t, c, 1, append(want, "and on")...)
		}
	}
}

// A segment that another follows was sealed, so a cut there is no crash.
func TestCutInAnEarlierSegmentIsFound(t *testing.T) {
	t.Parallel()
	d, payloads, _ := threeSegments(t)
	all := slices.Concat(payloads[0], payloads[1], payloads[2])
	for segment := uint64(1); segment <= 2; segment++ {
		name := filepath.Join("d", segmentName(segment))
		content := d.names[name].live
		for cut := 0; cut < len(content); cut += stride() {
			for _, zeros := range []int{0, len(content) - cut, 5000} {
				if zeros > 0 && isZero(content[cut:]) {
					continue
				}
				c := d.clone()
				c.put(name, slices.Concat(content[:cut], make([]byte, zeros)))
				_, got, err := start(c, 1)
				if err == nil || !strings.Contains(err.Error(), name) || !slices.Equal(got, all[:len(got)]) {
					t.Fatalf("segment %d cut at byte %d, then %d zeros: %q, %v", segment, cut, zeros, got, err)
				}
			}
		}
	}
}

// headBytes returns where the header line and the headers of frames are.
func headBytes(content []byte) map[int]bool {
	heads := map[int]bool{}
	mark := func(from, n int) {
		for i := range n {
			heads[from+i] = true
		}
	}
	mark(0, len(Header))
	f := ReadFrames(bytes.NewReader(content), int64(len(content)), int64(len(Header)))
	for {
		at, _, err := f.Next()
		if err != nil {
			return heads
		}
		mark(int(at), FrameHeader)
	}
}

// Wherever a bit flips: an error that names the place, or all but what can not be
// told from a crash. Never a payload that was not written, never a hole.
func TestFlippedBitIsFoundAndNeverReplayed(t *testing.T) {
	t.Parallel()
	d, payloads, at := threeSegments(t)
	all := slices.Concat(payloads[0], payloads[1], payloads[2])
	for name, file := range d.names {
		last, heads := name == filepath.Join("d", segmentName(3)), headBytes(file.live)
		for i := 0; i < len(file.live); i += stride() {
			for bit := range 8 {
				if bit != i%8 && !heads[i] { // of headers every bit
					continue
				}
				c := d.clone()
				damaged := c.names[name]
				damaged.live[i] ^= 1 << bit
				before := slices.Clone(damaged.live)
				_, got, err := start(c, 1)
				if !slices.Equal(got, all[:len(got)]) {
					t.Fatalf("%s, bit %d of byte %d: %q", name, bit, i, got)
				}
				if err == nil {
					if !last || int64(i) < at[2]+FrameHeader || int64(i) < at[3] == (len(got) == 9) || len(got) < 8 {
						t.Fatalf("%s, bit %d of byte %d: not found, %d are left", name, bit, i, len(got))
					}
					continue
				}
				damage := (*DamageError)(nil)
				if !strings.Contains(err.Error(), name) || i >= len(Header) && !errors.As(err, &damage) {
					t.Fatalf("%s, bit %d of byte %d: %v", name, bit, i, err)
				}
				if !slices.Equal(damaged.live, before) {
					t.Fatalf("%s, bit %d of byte %d: the file was changed", name, bit, i)
				}
			}
		}
	}
}

// After a clean stop the last frame is known to have been whole.
func TestDamageBeforeTheSealIsFound(t *testing.T) {
	d := newDisk()
	l := mustStart(t, d, 1)
	must(t, add(l, "first"), add(l, "the last write"), l.Close())
	name := l.path(1)
	for i := len(Header); i < len(d.names[name].live)-FrameHeader; i++ {
		c := d.clone()
		c.names[name].live[i] ^= 1
		if _, _, err := start(c, 1); err == nil || !strings.Contains(err.Error(), name+" is damaged: the frame at byte ") {
			t.Fatalf("with byte %d damaged: %v", i, err)
		}
	}
}

func TestFramesBehindASealAreDamage(t *testing.T) {
	d := newDisk()
	l := mustStart(t, d, 1)
	must(t, add(l, "first"), l.Close())
	d.put(l.path(1), AppendFrame(d.names[l.path(1)].live, []byte("appended by somebody")))
	if _, got, err := start(d, 1); !isDamage(err, 14+17+12) || len(got) != 1 {
		t.Errorf("%q, %v", got, err)
	}
}

func TestMissingSegmentIsNamed(t *testing.T) {
	d, payloads, _ := threeSegments(t)
	for _, tt := range []struct{ from, without, named uint64 }{{1, 1, 1}, {0, 1, 1}, {1, 2, 2}, {2, 2, 2}} {
		c := d.clone()
		delete(c.names, filepath.Join("d", segmentName(tt.without)))
		want := filepath.Join("d", segmentName(tt.named)) + " is missing"
		if _, got, err := start(c, tt.from); err == nil || !strings.Contains(err.Error(), want) || len(got) > 0 {
			t.Errorf("from %d without %d: %q, %v; want %q", tt.from, tt.without, got, err, want)
		}
	}
	// What is not asked for may be missing.
	c := d.clone()
	delete(c.names, filepath.Join("d", segmentName(1)))
	c.put("d/log-3", nil)
	c.put("d/log-000000000000000G", nil)
	c.put("d/snapshot-0000000000000007", nil)
	mustStart(t, c, 2, slices.Concat(payloads[1], payloads[2])...)
	mustStart(t, c, 4)
}

func TestForeignSegmentsAreRefusedAndKept(t *testing.T) {
	d, _, _ := threeSegments(t)
	for content, want := range map[string]string{
		"x":                                "is not a log of this release: it starts with",
		"svmgate log 2\nframes to come":    "was written by a newer release",
		"svmgate snapshot 1\n":             "is not a log of this release",
		strings.Repeat("\x00", 100):        "is not a log of this release",
		"svmgate log 1" + "\x00" + "\x01x": "is not a log of this release",
	} {
		for segment := uint64(1); segment <= 3; segment++ {
			c := d.clone()
			name := filepath.Join("d", segmentName(segment))
			c.put(name, []byte(content))
			if _, _, err := start(c, 1); err == nil || !strings.Contains(err.Error(), name+" "+want) {
				t.Errorf("%q as segment %d: %v; want %q", content, segment, err, want)
			}
			if string(c.names[name].live) != content {
				t.Errorf("%q as segment %d was changed", content, segment)
			}
		}
	}
}

func TestErrorsOfTheCallerNameThePlace(t *testing.T) {
	d, _, at := threeSegments(t)
	l, err := Open("d", Options{Files: d})
	must(t, err)
	err = l.Replay(3, func(segment uint64, offset int64, payload []byte) error {
		if segment == 3 && offset == at[1] && string(payload[:9]) == "segment 2" {
			return syscall.EBADMSG
		}
		return nil
	})
	if want := fmt.Sprintf("%s: frame at byte %d", l.path(3), at[1]); !errors.Is(err, syscall.EBADMSG) || !strings.Contains(err.Error(), want) {
		t.Errorf("Replay = %v; want %q", err, want)
	}
}

// The same on a real file system, with the files' rights.
func TestOperatingSystem(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of no directory: %v", err)
	}
	var want []string
	for i := range 4 {
		l, err := Open(dir, Options{SegmentBytes: 3 << 20})
		must(t, err)
		var got []string
		must(t, l.Replay(1, func(_ uint64, _ int64, payload []byte) error {
			got = append(got, string(payload))
			return nil
		}))
		if !slices.Equal(got, want) {
			t.Fatalf("opening %d: %d payloads, want %d", i, len(got), len(want))
		}
		for n := range 20 {
			want = append(want, strings.Repeat("some bytes ", 1+n*2000))
			must(t, add(l, want[len(want)-1]))
		}
		must(t, l.Close(), os.Chmod(l.path(1), 0o644))
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) < 5 {
		t.Errorf("%d segments", len(entries))
	}
	l, err := Open(dir, Options{})
	must(t, err)
	if err := l.Replay(1, func(uint64, int64, []byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, n := range l.Segments() {
		if info, err := os.Stat(l.path(n)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of segment %d: %v, %v; want 0600", n, info.Mode(), err)
		}
	}
	must(t, l.Remove(uint64(len(entries))), l.Close())
	if got := len(l.Segments()); got > 1 {
		t.Errorf("%d segments after Remove", got)
	}
}
