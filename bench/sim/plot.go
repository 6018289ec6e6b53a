package sim

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Size of a plot on the page, in points.
const plotWidth, plotHeight = 440, 270

// colours of policies. They are told apart by eyes that see no red or green, too
// (Okabe and Ito, "Color Universal Design", 2002).
var colours = map[string]color.RGBA{
	Ours.Name:   {0, 90, 160, 255},
	Plain.Name:  {0, 158, 115, 255},
	Two.Name:    {230, 159, 0, 255},
	Random.Name: {204, 121, 167, 255},
	Fewest.Name: {86, 180, 233, 255},
	Stale.Name:  {213, 94, 0, 255},
}

var (
	ink   = color.RGBA{70, 76, 84, 255}
	faint = color.RGBA{226, 229, 233, 255}
	limit = color.RGBA{176, 32, 32, 255}
)

// newPlot returns a plot in the style of the page.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.Padding = 8
	style(&p.Title.TextStyle, 12)
	p.Title.TextStyle.Font.Weight = 2
	style(&p.Legend.TextStyle, 9)
	p.Legend.Padding, p.Legend.ThumbnailWidth = 1, 16
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		style(&axis.Label.TextStyle, 9)
		style(&axis.Tick.Label, 9)
		axis.LineStyle = draw.LineStyle{Color: ink, Width: 0.6}
		axis.Tick.LineStyle = axis.LineStyle
		axis.Tick.Length, axis.Padding, axis.Label.Padding = 3, 0, 4
	}
	g := plotter.NewGrid()
	g.Vertical.Width, g.Horizontal.Color = 0, faint
	p.Add(g)
	return p
}

func style(t *draw.TextStyle, size font.Length) {
	t.Font.Variant, t.Font.Size, t.Color = "Sans", size, ink
}

// render returns a plot as SVG that stands in a page.
func render(p *plot.Plot) (template.HTML, error) {
	canvas := vgsvg.New(plotWidth, plotHeight)
	p.Draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return "", fmt.Errorf("sim: plot %q: %w", p.Title.Text, err)
	}
	_, svg, _ := strings.Cut(out.String(), "<svg")
	return template.HTML("<svg role=\"img\"" + svg), nil //nolint:gosec // what the plotter drew
}

// addLine adds a line with an entry in the legend.
func addLine(p *plot.Plot, name string, c color.Color, width vg.Length, points plotter.XYs) {
	line := &plotter.Line{XYs: points, LineStyle: draw.LineStyle{Color: c, Width: width}}
	p.Add(line)
	if name != "" {
		p.Legend.Add(name, line)
	}
}

// addLimit adds a dashed line at a bound, across the plot.
func addLimit(p *plot.Plot, name string, at, from, to float64) {
	line := &plotter.Line{
		XYs:       plotter.XYs{{X: from, Y: at}, {X: to, Y: at}},
		LineStyle: draw.LineStyle{Color: limit, Width: 1, Dashes: []vg.Length{4, 3}},
	}
	p.Add(line)
	p.Legend.Add(name, line)
}
