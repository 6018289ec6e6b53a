package journals

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// TestTornTail cuts the newest file at every byte of its last three appends, as a
// crash may leave it: once shorter, once as long as before with zeros behind the
// cut, as in a file whose room was taken in advance. All earlier appends must be
// there, or an error; nothing by halves; and what is then appended must be there
// after the next opening.
func TestTornTail(t *testing.T) {
	for _, e := range underTest {
		t.Run(e.Name, func(t *testing.T) {
			dir := t.TempDir()
			w := begin(t, e, dir, smallFiles)
			defer w.journal.Close()
			const appends = 21
			var ends [appends + 1]int // of the newest file after so many appends
			for k := range appends {
				w.appendMany(t, 1)
				img := imageOf(t, dir)
				ends[k+1] = used(img[img.newest(t, e)])
			}
			img := imageOf(t, dir)
			restored := filepath.Join(scratch(t), "restored")
			var shorter, zeroed tally
			if c := readTorn(t, e, img, restored, appends, func(b []byte) []byte { return b }); judge(c, appends) != whole {
				t.Fatalf("without a cut: %s, %v", judge(c, appends), c.err)
			}
			stride := 1
			if testing.Short() {
				stride = 97
			}
			for cut := ends[appends-3]; cut < ends[appends]; cut += stride {
				kept := 0 // appends that the cut leaves whole
				for kept < appends && ends[kept+1] <= cut {
					kept++
				}
				c := readTorn(t, e, img, restored, kept, func(b []byte) []byte { return b[:cut] })
				shorter.add(judge(c, kept), c, fmt.Sprint("byte ", cut))
				c = readTorn(t, e, img, restored, kept, func(b []byte) []byte {
					clear(b[cut:])
					return b
				})
				zeroed.add(judge(c, kept), c, fmt.Sprint("byte ", cut))
			}
			shorter.report(t, e, "cut")
			zeroed.report(t, e, "zeros from")
		})
	}
}

// readTorn reads an image with its newest file cut, appends to it, and reads it
// again. What it returns is what was read first, with the error of the second
// reading if that missed something.
func readTorn(t *testing.T, e Engine, img image, dir string, kept int, cut func([]byte) []byte) contents {
	t.Helper()
	name, torn := img.newest(t, e), maps.Clone(img)
	torn[name] = cut(slices.Clone(img[name]))
	torn.restore(t, dir)
	defer os.RemoveAll(dir)
	const added = 1 << 20
	first := read(e, dir, smallFiles, func(j store.Journal) error {
		return j.Append([]store.Record{numbered(added)})
	})
	if judge(first, kept) != whole {
		return first
	}
	second := read(e, dir, smallFiles, nil)
	if second.crash != nil || second.wrong > 0 {
		return second
	}
	if second.err != nil || !second.has[added] || len(second.has) != len(first.has)+1 {
		first.crash = fmt.Sprintf("after one more append: %d records and then %d: %v", len(first.has), len(second.has), second.err)
	}
	return first
}
