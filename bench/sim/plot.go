package sim

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Plot is a picture on the page: lines or bars over two axes. The page's style sheet
// has its fonts and thin lines.
type Plot struct {
	Title, Caption string
	Lines          []Line

	x, y axis
	bars []bar
}

// A Line is a line of a plot, and its entry in the legend.
type Line struct {
	Name, Colour string
	Bold, Dashed bool
	points       []point
}

type point struct{ x, y float64 }

type bar struct{ from, to, y float64 }

// An axis goes from least to most.
type axis struct {
	name        string
	least, most float64
	log         bool
}

// Where things are, in the units of the picture.
const (
	plotWidth, plotHeight = 480.0, 270.0
	plotLeft, plotRight   = 56.0, 468.0
	plotTop, plotBottom   = 10.0, 226.0
)

// at is how far along the axis a value is, from 0 to 1; what is beyond its ends is there.
func (a *axis) at(v float64) float64 {
	from, to := a.least, a.most
	if a.log {
		v, from, to = math.Log(max(v, from)), math.Log(from), math.Log(to)
	}
	return min(max((v-from)/(to-from), 0), 1)
}

// ticks are round values, some four to seven of them.
func (a *axis) ticks() (list []float64) {
	if a.log {
		for decade := 0.01; decade <= a.most; decade *= 10 {
			for _, v := range []float64{1, 2, 5} {
				if v *= decade; v >= a.least*0.999 && v <= a.most*1.001 {
					list = append(list, v)
				}
			}
		}
		return list
	}
	step := math.Pow(10, math.Floor(math.Log10((a.most-a.least)/4)))
	for _, times := range []float64{5, 2} {
		if (a.most-a.least)/(step*times) >= 3.5 {
			step *= times
			break
		}
	}
	for n := math.Ceil(a.least/step - 1e-9); n*step <= a.most*1.0001; n++ {
		list = append(list, n*step)
	}
	return list
}

// SVG draws the plot.
func (p *Plot) SVG() template.HTML {
	var s strings.Builder
	x := func(v float64) float64 { return plotLeft + p.x.at(v)*(plotRight-plotLeft) }
	y := func(v float64) float64 { return plotBottom - p.y.at(v)*(plotBottom-plotTop) }
	fmt.Fprintf(&s, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, template.HTMLEscapeString(p.Title))
	for _, v := range p.y.ticks() {
		fmt.Fprintf(&s, `<path class="grid" d="M%.1f %.1fH%.1f"/>`, plotLeft, y(v), plotRight)
		fmt.Fprintf(&s, `<text class="end" x="%.1f" y="%.1f">%s</text>`, plotLeft-6, y(v)+4, label(v))
	}
	for _, v := range p.x.ticks() {
		fmt.Fprintf(&s, `<path class="axis" d="M%.1f %.1fv4"/>`, x(v), plotBottom)
		fmt.Fprintf(&s, `<text class="mid" x="%.1f" y="%.1f">%s</text>`, x(v), plotBottom+17, label(v))
	}
	for _, b := range p.bars {
		fmt.Fprintf(&s, `<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%g to %g: %g</title></rect>`,
			x(b.from)+0.5, y(b.y), max(0.5, x(b.to)-x(b.from)-1), plotBottom-y(b.y), b.from, b.to, b.y)
	}
	for _, l := range slices.Backward(p.Lines) { // the first is on top
		l.draw(&s, x, y)
	}
	fmt.Fprintf(&s, `<path class="axis" d="M%.1f %.1fV%.1fH%.1f"/>`, plotLeft, plotTop, plotBottom, plotRight)
	fmt.Fprintf(&s, `<text class="mid" x="%.1f" y="%.1f">%s</text>`, (plotLeft+plotRight)/2, plotHeight-7, template.HTMLEscapeString(p.x.name))
	fmt.Fprintf(&s, `<text class="mid" transform="translate(11 %.1f) rotate(-90)">%s</text></svg>`, (plotTop+plotBottom)/2, template.HTMLEscapeString(p.y.name))
	return template.HTML(s.String()) //nolint:gosec // numbers, and text that is escaped
}

func (l *Line) draw(s *strings.Builder, x, y func(float64) float64) {
	var path strings.Builder
	for i, p := range l.points {
		fmt.Fprintf(&path, "%c%.1f %.1f", "ML"[min(i, 1)], x(p.x), y(p.y))
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
