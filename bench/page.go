package bench

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/svmgate/svmgate/bench/plot"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("bench").Funcs(template.FuncMap{
	"micros":  func(n int64) string { return (time.Duration(n) * time.Microsecond).String() },
	"whole":   func(v float64) string { return fmt.Sprintf("%.0f", v) },
	"tenth":   func(v float64) string { return fmt.Sprintf("%.1f", v) },
	"percent": percent,
	"mib":     func(v float64) string { return fmt.Sprintf("%.0f", v/(1<<20)) },
	"add":     func(a, b int) int { return a + b },
}).Parse(page))

// Page writes the result as a page that leans on nothing outside of itself.
func (r *Result) Page() ([]byte, error) {
	about := struct {
		*Result
		Style    template.CSS
		Plots    []*plot.Plot
		Mix      string
		Bad      int
		Doubtful int
		Measured bool // what the gateways used
	}{Result: r, Style: plot.Style, Plots: r.plots(), Mix: r.mixed()}
	for _, v := range r.Verdicts {
		if !v.Holds {
			about.Bad++
		}
		if v.Doubt != "" {
			about.Doubtful++
		}
	}
	for i := range r.Steps {
		about.Measured = about.Measured || r.Steps[i].Server != nil
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, &about); err != nil {
		return nil, fmt.Errorf("bench: page: %w", err)
	}
	return out.Bytes(), nil
}

// mixed names the mix.
func (r *Result) mixed() string {
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(r.Asked.Mix)) {
		words = append(words, fmt.Sprintf("%s %s", percent(r.Asked.Mix[kind]), kind))
	}
	return strings.Join(words, ", ")
}

// lines are the colours of steps in plots that have a line for each; the last
// ones share.
var lines = []string{plot.Blue, plot.Vermilion, plot.Green, plot.Orange, plot.Purple, plot.Sky}

// plots are what is worth seeing.
func (r *Result) plots() []*plot.Plot {
	list := []*plot.Plot{r.curvePlot()}
	if p := r.ratesPlot(); p != nil {
		list = append(list, p)
	}
	list = append(list, r.throughputPlot(), r.errorsPlot(), r.latencyPlot())
	for i := range r.Steps {
		if r.Steps[i].Server != nil {
			return append(list, r.cpuPlot(), r.memoryPlot())
		}
	}
	return list
}

// drawn are the steps that get a line each: those that were asked for, or if
// there are none, of a search, which has no more than the colours.
func (r *Result) drawn() (list []*Step) {
	for i := range r.Steps {
		if r.Steps[i].Purpose != "search" {
			list = append(list, &r.Steps[i])
		}
	}
	for i := len(r.Steps) - 1; i >= 0 && len(list) == 0; i-- {
		list = append(list, &r.Steps[i])
	}
	return list[:min(len(list), len(lines))]
}

// curvePlot has latency by percentile. Its axis gives each nine as much room.
func (r *Result) curvePlot() *plot.Plot {
	p := &plot.Plot{
		Title:   "Latency by percentile",
		Caption: "From when a request was due to its answer. Each mark to the right leaves a tenth of the requests of the one before.",
		X:       plot.Axis{Name: "percentile", Most: 1}, Y: plot.Axis{Name: "milliseconds", Least: 0.1, Most: 1, Log: true},
	}
	nines := func(percentile float64) float64 { return -math.Log10(1 - percentile/100) }
	for i, s := range r.drawn() {
		line := plot.Line{Name: stepName(s), Colour: lines[i], Bold: i == 0}
		for _, at := range s.Curve {
			if at.Percentile == 100 {
				continue // infinitely far away
			}
			x, y := nines(at.Percentile), float64(at.Microseconds)/1000
			line.Points = append(line.Points, plot.Point{X: x, Y: y})
			p.X.Most, p.Y.Most, p.Y.Least = max(p.X.Most, x), max(p.Y.Most, y*1.2), min(p.Y.Least, max(y/1.2, 0.01))
		}
		p.Lines = append(p.Lines, line)
	}
	for i, word := range []string{"0", "90", "99", "99.9", "99.99", "99.999", "99.9999"} {
		if float64(i) <= p.X.Most {
			p.X.Ticks = append(p.X.Ticks, plot.Tick{At: float64(i), Word: word})
		}
	}
	if limit := time.Duration(r.Asked.Limits.P99); limit > 0 {
		ms := limit.Seconds() * 1000
		p.Y.Most, p.Y.Least = max(p.Y.Most, ms*1.2), min(p.Y.Least, ms)
		p.Lines = append(p.Lines, plot.Line{Name: "limit of p99", Colour: plot.LimitRed, Dashed: true, Points: []plot.Point{{X: 0, Y: ms}, {X: p.X.Most, Y: ms}}})
	}
	return p
}

func stepName(s *Step) string {
	name := fmt.Sprintf("%.0f/s", s.Asked)
	if s.OfCapacity > 0 {
		name += fmt.Sprintf(" (%.0f%%)", s.OfCapacity*100)
	}
	if s.Updates > 0 {
		name += " with changes"
	}
	return name
}

// ratesPlot has latency by rate, which is where the capacity shows; nil if there
// are too few rates.
func (r *Result) ratesPlot() *plot.Plot {
	steps := make([]*Step, 0, len(r.Steps))
	for i := range r.Steps {
		steps = append(steps, &r.Steps[i])
	}
	slices.SortStableFunc(steps, func(a, b *Step) int { return int(a.Asked - b.Asked) })
	if len(steps) < 3 || steps[0].Asked == steps[len(steps)-1].Asked {
		return nil
	}
	p := &plot.Plot{
		Title: "Latency by rate", Caption: "All steps, in the order of their rates.",
		X: plot.Axis{Name: "requests a second"}, Y: plot.Axis{Name: "milliseconds", Least: 0.1, Most: 1, Log: true},
	}
	p50, p99 := plot.Line{Name: "p50", Colour: plot.Blue}, plot.Line{Name: "p99", Colour: plot.Vermilion, Bold: true}
	for _, s := range steps {
		for line, v := range map[*plot.Line]int64{&p50: s.Latency.P50, &p99: s.Latency.P99} {
			ms := float64(v) / 1000
			line.Points = append(line.Points, plot.Point{X: s.Asked, Y: ms})
			p.Y.Most, p.Y.Least = max(p.Y.Most, ms*1.2), min(p.Y.Least, max(ms/1.2, 0.01))
		}
		p.X.Most = s.Asked * 1.02
	}
	p.Lines = []plot.Line{p99, p50}
	return p
}

// over is a plot of something over time.
func (r *Result) over(title, caption, unit string, list ...func(m *Moment) (float64, plot.Line)) *plot.Plot {
	p := &plot.Plot{Title: title, Caption: caption, X: plot.Axis{Name: "seconds", Most: 1}, Y: plot.Axis{Name: unit, Most: 1}}
	for _, of := range list {
		var line plot.Line
		for i := range r.Steps {
			for n := range r.Steps[i].Series {
				m := &r.Steps[i].Series[n]
				y, like := of(m)
				line.Name, line.Colour, line.Bold = like.Name, like.Colour, like.Bold
				line.Points = append(line.Points, plot.Point{X: m.At, Y: y})
				p.X.Most, p.Y.Most = max(p.X.Most, m.At), max(p.Y.Most, y*1.1)
			}
		}
		p.Lines = append(p.Lines, line)
	}
	return p
}

func (r *Result) throughputPlot() *plot.Plot {
	p := r.over("Throughput", "Answers, whatever their status, and what was asked for.", "a second",
		func(m *Moment) (float64, plot.Line) {
			return m.Rate, plot.Line{Name: "answered", Colour: plot.Blue, Bold: true}
		})
	asked := plot.Line{Name: "asked", Colour: plot.LimitRed, Dashed: true}
	for i := range r.Steps {
		s := &r.Steps[i]
		asked.Points = append(asked.Points, plot.Point{X: s.At, Y: s.Asked}, plot.Point{X: s.At + s.Seconds, Y: s.Asked})
		p.X.Most, p.Y.Most = max(p.X.Most, s.At+s.Seconds), max(p.Y.Most, s.Asked*1.1)
	}
	p.Lines = append(p.Lines, asked)
	return p
}

func (r *Result) errorsPlot() *plot.Plot {
	return r.over("Errors", "Requests that failed, were refused, or were given up unsent, in each moment.", "requests",
		func(m *Moment) (float64, plot.Line) {
			return float64(m.Errors), plot.Line{Name: "errors", Colour: plot.Vermilion, Bold: true}
		})
}

func (r *Result) latencyPlot() *plot.Plot {
	p := r.over("Latency over time", "Of the answers that came in each moment. The upright axis is logarithmic.", "milliseconds",
		func(m *Moment) (float64, plot.Line) {
			return float64(m.P99) / 1000, plot.Line{Name: "p99", Colour: plot.Vermilion, Bold: true}
		},
		func(m *Moment) (float64, plot.Line) {
			return float64(m.P50) / 1000, plot.Line{Name: "p50", Colour: plot.Blue}
		})
	p.Y.Log, p.Y.Least = true, 0.05
	return p
}

func (r *Result) cpuPlot() *plot.Plot {
	return r.over("The gateways' processors", "How many they kept busy, by their own metrics.", "processors",
		func(m *Moment) (float64, plot.Line) {
			return m.CPU, plot.Line{Name: "busy", Colour: plot.Blue, Bold: true}
		})
}

func (r *Result) memoryPlot() *plot.Plot {
	return r.over("The gateways' memory", "Resident, by their own metrics.", "MiB",
		func(m *Moment) (float64, plot.Line) {
			return m.Resident / (1 << 20), plot.Line{Name: "resident", Colour: plot.Green, Bold: true}
		})
}
