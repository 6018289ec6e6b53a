package sim

import (
	"fmt"
	"html/template"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A Plot is a picture and what it shows.
type Plot struct {
	SVG     template.HTML
	Caption string
}

// plots returns what is worth seeing of a scenario.
func (s *Study) plots() (list []Plot, err error) {
	add := func(p *plot.Plot, caption string) {
		svg, drawn := render(p)
		if drawn != nil {
			err = drawn
			return
		}
		list = append(list, Plot{svg, caption})
	}
	if len(s.Policies) > 1 && s.Name != tenants.Name {
		add(s.busiestPlot(), "The busiest SVM, second by second, of each policy's median seed; the upright axis is logarithmic.")
		add(s.loadsPlot(), "All SVMs once the storm is over, from the least to the most loaded. A level line at 1 would be perfect.")
	}
	if r := s.typical(0); r.Windows != nil {
		add(windowsPlot(r), "New connections of an SVM: the busiest and the average, in each 30 seconds.")
		add(retryPlot(r), "What agents that were not admitted yet were told to wait.")
	}
	return list, err
}

// busiestPlot has the first minutes of the busiest SVM by policy.
func (s *Study) busiestPlot() *plot.Plot {
	p := newPlot("Busiest SVM over time", "seconds", "× fair share")
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(logTicks())
	p.Y.Min, p.X.Max = 0.5, 120
	for i, policy := range slices.Backward(s.Policies) {
		var points plotter.XYs
		for second, load := range s.typical(i).Busiest {
			if second <= 120 {
				points = append(points, plotter.XY{X: float64(second), Y: max(0.5, load)})
				p.X.Max = min(120, float64(second))
				p.Y.Max = max(p.Y.Max, load*1.1)
			}
		}
		addLine(p, policy.Name, colours[policy.Name], widthOf(i), points)
	}
	addLimit(p, "bound "+s.Figures[0].Say(), s.Figures[0].Limit, 0, p.X.Max)
	p.Legend.Top = true
	return p
}

func widthOf(policy int) vg.Length {
	if policy == 0 {
		return 2.2
	}
	return 1.2
}

func logTicks() (list []plot.Tick) {
	for _, v := range []float64{0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 30, 50, 70, 100, 200, 400} {
		list = append(list, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', -1, 64)})
	}
	return list
}

// loadsPlot has the loads of all SVMs in their order.
func (s *Study) loadsPlot() *plot.Plot {
	p := newPlot("Spread of load", "part of the SVMs, from the least loaded", "× fair share")
	p.Y.Min, p.Y.Max, p.X.Min, p.X.Max = 0.5, 1.5, 0, 1
	for i, policy := range slices.Backward(s.Policies) {
		loads := slices.Sorted(slices.Values(s.typical(i).Loads))
		points := make(plotter.XYs, 0, len(loads))
		for n, load := range loads {
			points = append(points, plotter.XY{X: float64(n) / float64(len(loads)-1), Y: min(1.5, max(0.5, load))})
		}
		addLine(p, policy.Name, colours[policy.Name], widthOf(i), points)
	}
	addLimit(p, "bound "+s.Figures[0].Say(), s.Figures[0].Limit, 0, 1)
	p.Legend.Top, p.Legend.Left = true, true
	return p
}

func windowsPlot(r *Result) *plot.Plot {
	p := newPlot("Connections of an SVM while a million agents live on", "seconds since the failure", "connections a second")
	var most, mean plotter.XYs
	for i, w := range r.Windows {
		at := float64(i) * stretch.Seconds()
		for _, x := range []float64{at, at + stretch.Seconds()} {
			most, mean = append(most, plotter.XY{X: x, Y: w.most}), append(mean, plotter.XY{X: x, Y: w.mean})
		}
		p.Y.Max = max(p.Y.Max, w.most*1.35)
		p.X.Max = at + stretch.Seconds()
	}
	p.Y.Min = 0
	addLine(p, "busiest SVM", colours[Stale.Name], 1.6, most)
	addLine(p, "average", colours[Ours.Name], 2.2, mean)
	p.Legend.Top = true
	return p
}

func retryPlot(r *Result) *plot.Plot {
	p := newPlot("Retry-After", "seconds", "agents")
	most := 1
	for seconds := range maps.Keys(r.Retry) {
		most = max(most, seconds)
	}
	width := math.Ceil(float64(most+1) / 40)
	bars := make([]float64, int(float64(most)/width)+1)
	for seconds, n := range r.Retry {
		bars[int(float64(seconds)/width)] += float64(n)
	}
	bins := make([]plotter.HistogramBin, len(bars))
	for i, n := range bars {
		bins[i] = plotter.HistogramBin{Min: float64(i) * width, Max: float64(i+1) * width, Weight: n}
	}
	p.Add(&plotter.Histogram{
		Bins: bins, Width: width, FillColor: colours[Ours.Name], LineStyle: draw.LineStyle{Color: faint, Width: 0.5},
	})
	p.Y.Min, p.X.Min = 0, 0
	return p
}

// duration writes how long something took, for people.
func duration(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}
