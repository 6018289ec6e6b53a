package store

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (d *dictionary) equal(o *dictionary) string {
	return cmp.Diff(d, o, cmp.AllowUnexported(dictionary{}), cmp.FilterPath(func(p cmp.Path) bool {
		switch p.String() {
		case "scratch", "last", "again", "lastPath":
			return true
		}
		return false
	}, cmp.Ignore()))
}

func TestDictionariesReadBackAsWritten(t *testing.T) {
	for _, d := range []*dictionary{newDictionary(), sampleDictionary()} {
		got, err := readDictionary(d.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := d.equal(got); diff != "" {
			t.Errorf("(-wrote +read)\n%s", diff)
		}
	}
}

// A dictionary that was cut or that numbers a thing twice is refused.
func TestDamagedDictionariesAreRefused(t *testing.T) {
	whole := sampleDictionary().append(nil)
	for n := range whole {
		if _, err := readDictionary(whole[:n]); err == nil {
			t.Errorf("the first %d of %d bytes pass for a dictionary", n, len(whole))
		}
	}
	e := func(lists ...[]byte) []byte { return bytes.Join(append([][]byte{{dictionaryFormat}}, lists...), nil) }
	none, id := []byte{0}, append([]byte{1}, make([]byte, 16)...)
	for name, b := range map[string][]byte{
		"of another format":       {dictionaryFormat + 1, 0, 0, 0, 0, 0, 0},
		"bytes behind its end":    append(bytes.Clone(whole), 0),
		"no tenant as a tenant":   e(id, none, none, none, none, none),
		"the empty name":          e(none, []byte{1, 0}, none, none, none, none),
		"a name twice":            e(none, []byte{2, 1, 'a', 1, 'a'}, none, none, none, none),
		"the empty path":          e(none, none, []byte{1, 0, 0, 0}, none, none, none),
		"a path of no names":      e(none, none, []byte{1, 1, 0, 0}, none, none, none),
		"a version twice":         e(none, none, none, []byte{2, 1, 1}, none, none),
		"no version as a version": e(none, none, none, []byte{1, 0}, none, none),
		"a text of no version":    e(none, none, none, none, append([]byte{1, 4}, "12.0"...), none),
		"a node twice":            e(none, none, none, none, none, []byte{2, 7, 7}),
		"more than it has":        e([]byte{0xff, 0xff, 0xff, 0x7f}, none, none, none, none, none),
	} {
		if _, err := readDictionary(b); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := readDictionary(e(none, none, none, none, none, none)); err != nil {
		t.Errorf("an empty dictionary is refused: %v", err)
	}
}

// FuzzDictionary reads dictionaries from anywhere: what can be read is written
// and read again as the same.
func FuzzDictionary(f *testing.F) {
	f.Add(sampleDictionary().append(nil))
	f.Add(newDictionary().append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := readDictionary(b[:min(len(b), 1<<12)])
		if err != nil {
			return
		}
		again, err := readDictionary(d.append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := d.equal(again); diff != "" {
			t.Errorf("(-read +again)\n%s", diff)
		}
		for i := range d.paths {
			if n, ok := d.knownPath(d.pathOf(uint64(i))); !ok || int(n) != i {
				t.Errorf("path %d has number %d", i, n)
			}
		}
	})
}
