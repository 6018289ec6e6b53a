// Package plot draws plots as SVG, for pages that lean on nothing outside of
// themselves. What it draws is small: a few lines or bars over two axes.
package plot

import (
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Colours that are told apart by eyes that see no red or green, too (Okabe and Ito,
// "Color Universal Design", 2002).
const (
	Blue      = "#0060b0"
	Green     = "#009e73"
	Orange    = "#e69f00"
	Purple    = "#cc79a7"
	Sky       = "#56b4e9"
	Vermilion = "#d55e00"

	LimitRed = "#a32020" // of bounds
)

//go:embed plot.css
var style string

// Style is the style sheet that plots want.
var Style = template.CSS(style) //nolint:gosec // it is our own

// A Plot is a picture on a page: lines or bars over two axes.
type Plot struct {
	Title, Caption string

	X, Y  Axis
	Lines []Line // and their legend; the first is on top
	Bars  []Bar
}

// A Line is a line of a plot, and its entry in the legend.
type Line struct {
	Name, Colour string
	Bold, Dashed bool
	Points       []Point
}

// A Point is where a line goes.
type Point struct{ X, Y float64 }

// A Bar stands on the horizontal axis.
type Bar struct{ From, To, Y float64 }

// An Axis goes from Least to Most. A logarithmic one starts above 0.
type Axis struct {
	Name        string
	Least, Most float64
	Log         bool

	// Ticks are values to mark with words of their own; if nil, round values are.
	Ticks []Tick
}

// A Tick is a marked value of an axis.
type Tick struct {
	At   float64
	Word string
}

// Where things are, in the units of the picture.
const (
	plotWidth, plotHeight = 480.0, 270.0
	plotLeft, plotRight   = 56.0, 468.0
	plotTop, plotBottom   = 10.0, 226.0
)

// at is how far along the axis a value is, from 0 to 1; what is beyond its ends is there.
func (a *Axis) at(v float64) float64 {
	from, to := a.Least, a.Most
	if a.Log {
		v, from, to = math.Log(max(v, from)), math.Log(from), math.Log(to)
	}
	return min(max((v-from)/(to-from), 0), 1)
}

// marks are what is marked.
func (a *Axis) marks() []Tick {
	if a.Ticks != nil {
		return a.Ticks
	}
	var list []Tick
	for _, v := range a.ticks() {
		list = append(list, Tick{v, label(v)})
	}
	return list
}

// ticks are round values, some four to seven of them.
func (a *Axis) ticks() (list []float64) {
	if a.Log {
		for decade := 0.01; decade <= a.Most; decade *= 10 {
			for _, v := range []float64{1, 2, 5} {
				if v *= decade; v >= a.Least*0.999 && v <= a.Most*1.001 {
					list = append(list, v)
				}
			}
		}
		return list
	}
	step := math.Pow(10, math.Floor(math.Log10((a.Most-a.Least)/4)))
	for _, times := range []float64{5, 2} {
		if (a.Most-a.Least)/(step*times) >= 3.5 {
			step *= times
			break
		}
	}
	for n := math.Ceil(a.Least/step - 1e-9); n*step <= a.Most*1.0001; n++ {
		list = append(list, n*step)
	}
	return list
}

// SVG draws the plot.
func (p *Plot) SVG() template.HTML {
	var s strings.Builder
	x := func(v float64) float64 { return plotLeft + p.X.at(v)*(plotRight-plotLeft) }
	y := func(v float64) float64 { return plotBottom - p.Y.at(v)*(plotBottom-plotTop) }
	fmt.Fprintf(&s, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, template.HTMLEscapeString(p.Title))
	for _, t := range p.Y.marks() {
		v := t.At
		fmt.Fprintf(&s, `<path class="grid" d="M%.1f %.1fH%.1f"/>`, plotLeft, y(v), plotRight)
		fmt.Fprintf(&s, `<text class="end" x="%.1f" y="%.1f">%s</text>`, plotLeft-6, y(v)+4, template.HTMLEscapeString(t.Word))
	}
	for _, t := range p.X.marks() {
		v := t.At
		fmt.Fprintf(&s, `<path class="axis" d="M%.1f %.1fv4"/>`, x(v), plotBottom)
		fmt.Fprintf(&s, `<text class="mid" x="%.1f" y="%.1f">%s</text>`, x(v), plotBottom+17, template.HTMLEscapeString(t.Word))
	}
	for _, b := range p.Bars {
		fmt.Fprintf(&s, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%g to %g: %g</title></rect>`,
			x(b.From)+0.5, y(b.Y), max(0.5, x(b.To)-x(b.From)-1), plotBottom-y(b.Y), b.From, b.To, b.Y)
	}
	for _, l := range slices.Backward(p.Lines) { // the first is on top
		l.draw(&s, x, y)
	}
	fmt.Fprintf(&s, `<path class="axis" d="M%.1f %.1fV%.1fH%.1f"/>`, plotLeft, plotTop, plotBottom, plotRight)
	fmt.Fprintf(&s, `<text class="mid" x="%.1f" y="%.1f">%s</text>`, (plotLeft+plotRight)/2, plotHeight-7, template.HTMLEscapeString(p.X.Name))
	fmt.Fprintf(&s, `<text class="mid" transform="translate(11 %.1f) rotate(-90)">%s</text></svg>`, (plotTop+plotBottom)/2, template.HTMLEscapeString(p.Y.Name))
	return template.HTML(s.String()) //nolint:gosec // numbers, and text that is escaped
}

func (l *Line) draw(s *strings.Builder, x, y func(float64) float64) {
	var path strings.Builder
	for i, p := range l.Points {
		fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], x(p.X), y(p.Y))
	}
	width, dashes := 1.5, "none"
	if l.Bold {
		width = 3
	}
	if l.Dashed {
		dashes = "5 4"
	}
	fmt.Fprintf(s, `<path class="line" d="%s" stroke="%s" stroke-width="%g" stroke-dasharray="%s"><title>%s</title></path>`,
		path.String(), l.Colour, width, dashes, template.HTMLEscapeString(l.Name))
}

// label writes a tick's value, with a mark at thousands.
func label(v float64) string {
	text := strconv.FormatFloat(math.Abs(math.Round(v*1000)/1000), 'f', -1, 64) // no axis goes below 0
	if v >= 10_000 {
		text = text[:len(text)-3] + "\u202f" + text[len(text)-3:]
	}
	return text
}
