package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestTicksAreRoundAndFew(t *testing.T) {
	for _, a := range []Axis{{Most: 90}, {Least: 0.6, Most: 1.6}, {Most: 1}, {Most: 250_000}, {Least: 0.5, Most: 66.7, Log: true}} {
		if n := len(a.ticks()); n < 3 || n > 8 {
			t.Errorf("an axis from %v to %v has the ticks %v, want 3 to 8", a.Least, a.Most, a.ticks())
		}
	}
}

// What is drawn is well formed, whatever the words and numbers are.
func TestSVGIsWellFormed(t *testing.T) {
	p := Plot{
		Title: `a <b> & "c"`,
		X:     Axis{Name: "<x>", Most: 10, Ticks: []Tick{{At: 5, Word: "<5>"}}},
		Y:     Axis{Name: "y", Least: 0.1, Most: 1000, Log: true},
		Lines: []Line{{Name: "a & b", Colour: Blue, Points: []Point{{0, 0}, {5, 50}, {20, 1e9}}}, {Name: "none"}},
		Bars:  []Bar{{From: 1, To: 2, Y: 3}},
	}
	svg := string(p.SVG())
	dec := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
	}
	for _, want := range []string{"&lt;5&gt;", "a &amp; b", `class="bar"`} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %s in %s", want, svg)
		}
	}
}
