package journals

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var flips = flag.Int("flips", 5000, "number of bits that TestBitFlips flips, one at a time")

// TestBitFlips flips one random bit of what is in use of the files, thousands of
// times: after a clean stop, where all must be there or an error; and as a crash
// leaves the files, where damage to the very last append may look like its cut.
// With small files most of the log is in those that are full; else, as with
// files of the usual size, all of it is in the newest.
func TestBitFlips(t *testing.T) {
	n := *flips
	if testing.Short() {
		n = min(n, 200)
	}
	const appends, oneFile = 150, 1 << 18
	for _, e := range underTest {
		for _, tt := range []struct {
			name     string
			segments int
			cleanly  bool
		}{
			{name: "stopped cleanly", segments: oneFile, cleanly: true},
			{name: "crashed", segments: oneFile},
			{name: "crashed, small files", segments: smallFiles},
		} {
			t.Run(e.Name+"/"+tt.name, func(t *testing.T) {
				dir := t.TempDir()
				w := begin(t, e, dir, tt.segments)
				w.appendMany(t, appends)
				img, must := imageOf(t, dir), appends-1
				if err := w.journal.Close(); err != nil {
					t.Fatal(err)
				}
				if tt.cleanly {
					img, must = imageOf(t, dir), appends
				}
				logs, others := flipBits(t, e, img, tt.segments, n, must)
				logs.report(t, e, tt.name+", a bit of a log flipped")
				others.report(t, e, tt.name+", a bit of another file flipped")
			})
		}
	}
}

func flipBits(t *testing.T, e Engine, img image, segments, n, must int) (logs, others tally) {
	var names []string
	total := 0
	for name, b := range img {
		names = append(names, name)
		total += used(b)
	}
	slices.Sort(names)
	rng := rand.New(rand.NewPCG(1, 2))
	dir := filepath.Join(scratch(t), "restored")
	img.restore(t, dir)
	if c := read(e, dir, segments, nil); judge(c, must) != whole {
		t.Fatalf("without a flip: %s, %v", judge(c, must), c.err)
	}
	_ = os.RemoveAll(dir)
	for range n {
		at := rng.IntN(total)
		name := ""
		for _, name = range names {
			if at < used(img[name]) {
				break
			}
			at -= used(img[name])
		}
		bit := byte(1) << rng.IntN(8)
		img[name][at] ^= bit
		img.restore(t, dir)
		img[name][at] ^= bit
		c := read(e, dir, segments, nil)
		counted := &others
		if slices.Contains(img.logs(e), name) {
			counted = &logs
		}
		counted.add(judge(c, must), c, fmt.Sprintf("%s byte %d", name, at))
		_ = os.RemoveAll(dir)
	}
	return logs, others
}
