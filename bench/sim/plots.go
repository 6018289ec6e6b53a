package sim

import (
	"maps"
	"math"
	"slices"

	"github.com/svmgate/svmgate/bench/plot"
)

var colours = map[string]string{
	Ours.Name: plot.Blue, Plain.Name: plot.Green, Two.Name: plot.Orange, Random.Name: plot.Purple, Fewest.Name: plot.Sky, Stale.Name: plot.Vermilion,
}

// plots returns what is worth seeing of a scenario.
func (s *Study) plots() (list []*plot.Plot) {
	if len(s.Policies) > 1 && s.Name != tenants.Name {
		list = append(list, s.busiestPlot(), s.loadsPlot())
	}
	if r := s.typical(0); r.Windows != nil {
		list = append(list, windowsPlot(r), retryPlot(r))
	}
	return list
}

// shown is how much of a run the first plot has, in seconds.
const shown = 90

// busiestPlot has the busiest SVM by policy.
func (s *Study) busiestPlot() *plot.Plot {
	p := &plot.Plot{
		Title:   "The busiest SVM, second by second",
		Caption: "Each policy's median seed. The upright axis is logarithmic.",
		X:       plot.Axis{Name: "seconds", Most: shown}, Y: plot.Axis{Name: "× fair share", Least: 0.5, Most: 2, Log: true},
	}
	for i, policy := range s.Policies {
		busiest := s.typical(i).Busiest
		line := plot.Line{Name: policy.Name, Colour: colours[policy.Name], Bold: i == 0}
		for second, load := range busiest[:min(shown, len(busiest))] {
			line.Points = append(line.Points, plot.Point{X: float64(second + 1), Y: load})
			p.Y.Most = max(p.Y.Most, load*1.15)
		}
		p.X.Most = float64(min(shown, len(busiest)))
		p.Lines = append(p.Lines, line)
	}
	p.Lines = append(p.Lines, s.limit(p.X.Most))
	return p
}

// loadsPlot has the loads of all SVMs in their order.
func (s *Study) loadsPlot() *plot.Plot {
	p := &plot.Plot{
		Title:   "All SVMs, once everybody is connected",
		Caption: "From the least to the most loaded. A level line at 1 would be perfect; what is beyond an edge is drawn at it.",
		X:       plot.Axis{Name: "% of the SVMs", Most: 100}, Y: plot.Axis{Name: "× fair share", Least: 0.6, Most: 1.6},
	}
	for i, policy := range s.Policies {
		line := plot.Line{Name: policy.Name, Colour: colours[policy.Name], Bold: i == 0}
		loads := slices.Sorted(slices.Values(s.typical(i).Loads))
		for n, load := range loads {
			line.Points = append(line.Points, plot.Point{X: 100 * float64(n) / float64(len(loads)-1), Y: load})
		}
		p.Lines = append(p.Lines, line)
	}
	p.Lines = append(p.Lines, s.limit(100))
	return p
}

// limit is a line at the bound of the first figure.
func (s *Study) limit(to float64) plot.Line {
	f := s.Figures[0]
	return plot.Line{Name: "bound " + f.Say(), Colour: plot.LimitRed, Dashed: true, Points: []plot.Point{{X: 0, Y: f.Limit}, {X: to, Y: f.Limit}}}
}

func windowsPlot(r *Result) *plot.Plot {
	p := &plot.Plot{
		Title:   "New connections of an SVM",
		Caption: "The busiest and the average, in each stretch of 30 seconds, of the median seed.",
		X:       plot.Axis{Name: "seconds since the SVMs failed"}, Y: plot.Axis{Name: "connections a second"},
	}
	most, mean := plot.Line{Name: "busiest SVM", Colour: plot.Vermilion}, plot.Line{Name: "average", Colour: plot.Blue, Bold: true}
	for i, w := range r.Windows {
		from := float64(i) * stretch.Seconds()
		to := from + stretch.Seconds()
		most.Points = append(most.Points, plot.Point{X: from, Y: w.most}, plot.Point{X: to, Y: w.most})
		mean.Points = append(mean.Points, plot.Point{X: from, Y: w.mean}, plot.Point{X: to, Y: w.mean})
		p.X.Most, p.Y.Most = to, max(p.Y.Most, w.most*1.1)
	}
	p.Lines = []plot.Line{mean, most}
	return p
}

func retryPlot(r *Result) *plot.Plot {
	p := &plot.Plot{
		Title:   "Retry-After",
		Caption: "How long agents were told to wait that were not admitted yet; one that waits twice counts twice.",
		X:       plot.Axis{Name: "seconds", Most: 1}, Y: plot.Axis{Name: "agents", Most: 1},
	}
	last := 0
	for seconds := range maps.Keys(r.Retry) {
		last = max(last, seconds)
	}
	width := math.Ceil(float64(last+1) / 45)
	p.Bars = make([]plot.Bar, int(float64(last)/width)+1)
	for i := range p.Bars {
		p.Bars[i].From, p.Bars[i].To = float64(i)*width, float64(i+1)*width
		p.X.Most = p.Bars[i].To
	}
	for seconds, n := range r.Retry {
		b := &p.Bars[int(float64(seconds)/width)]
		b.Y += float64(n)
		p.Y.Most = max(p.Y.Most, b.Y*1.05)
	}
	return p
}
