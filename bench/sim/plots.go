package sim

import (
	"maps"
	"math"
	"slices"
)

// Colours of the page. They are told apart by eyes that see no red or green, too (Okabe
// and Ito, "Color Universal Design", 2002).
const (
	blue      = "#0060b0"
	vermilion = "#d55e00"
	limitRed  = "#a32020"
)

var colours = map[string]string{
	Ours.Name: blue, Plain.Name: "#009e73", Two.Name: "#e69f00", Random.Name: "#cc79a7", Fewest.Name: "#56b4e9", Stale.Name: vermilion,
}

// plots returns what is worth seeing of a scenario.
func (s *Study) plots() (list []*Plot) {
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
func (s *Study) busiestPlot() *Plot {
	p := &Plot{
		Title:   "The busiest SVM, second by second",
		Caption: "Each policy's median seed. The upright axis is logarithmic.",
		x:       axis{name: "seconds", most: shown}, y: axis{name: "× fair share", least: 0.5, most: 2, log: true},
	}
	for i, policy := range s.Policies {
		busiest := s.typical(i).Busiest
		line := Line{Name: policy.Name, Colour: colours[policy.Name], Bold: i == 0}
		for second, load := range busiest[:min(shown, len(busiest))] {
			line.points = append(line.points, point{float64(second + 1), load})
			p.y.most = max(p.y.most, load*1.15)
		}
		p.x.most = float64(min(shown, len(busiest)))
		p.Lines = append(p.Lines, line)
	}
	p.Lines = append(p.Lines, s.limit(p.x.most))
	return p
}

// loadsPlot has the loads of all SVMs in their order.
func (s *Study) loadsPlot() *Plot {
	p := &Plot{
		Title:   "All SVMs, once everybody is connected",
		Caption: "From the least to the most loaded. A level line at 1 would be perfect; what is beyond an edge is drawn at it.",
		x:       axis{name: "% of the SVMs", most: 100}, y: axis{name: "× fair share", least: 0.6, most: 1.6},
	}
	for i, policy := range s.Policies {
		line := Line{Name: policy.Name, Colour: colours[policy.Name], Bold: i == 0}
		loads := slices.Sorted(slices.Values(s.typical(i).Loads))
		for n, load := range loads {
			line.points = append(line.points, point{100 * float64(n) / float64(len(loads)-1), load})
		}
		p.Lines = append(p.Lines, line)
	}
	p.Lines = append(p.Lines, s.limit(100))
	return p
}

// limit is a line at the bound of the first figure.
func (s *Study) limit(to float64) Line {
	f := s.Figures[0]
	return Line{Name: "bound " + f.Say(), Colour: limitRed, Dashed: true, points: []point{{0, f.Limit}, {to, f.Limit}}}
}

func windowsPlot(r *Result) *Plot {
	p := &Plot{
		Title:   "New connections of an SVM",
		Caption: "The busiest and the average, in each stretch of 30 seconds, of the median seed.",
		x:       axis{name: "seconds since the SVMs failed"}, y: axis{name: "connections a second"},
	}
	most, mean := Line{Name: "busiest SVM", Colour: vermilion}, Line{Name: "average", Colour: blue, Bold: true}
	for i, w := range r.Windows {
		from := float64(i) * stretch.Seconds()
		to := from + stretch.Seconds()
		most.points = append(most.points, point{from, w.most}, point{to, w.most})
		mean.points = append(mean.points, point{from, w.mean}, point{to, w.mean})
		p.x.most, p.y.most = to, max(p.y.most, w.most*1.1)
	}
	p.Lines = []Line{mean, most}
	return p
}

func retryPlot(r *Result) *Plot {
	p := &Plot{
		Title:   "Retry-After",
		Caption: "How long agents were told to wait that were not admitted yet; one that waits twice counts twice.",
		x:       axis{name: "seconds", most: 1}, y: axis{name: "agents", most: 1},
	}
	last := 0
	for seconds := range maps.Keys(r.Retry) {
		last = max(last, seconds)
	}
	width := math.Ceil(float64(last+1) / 45)
	p.bars = make([]bar, int(float64(last)/width)+1)
	for i := range p.bars {
		p.bars[i].from, p.bars[i].to = float64(i)*width, float64(i+1)*width
		p.x.most = p.bars[i].to
	}
	for seconds, n := range r.Retry {
		b := &p.bars[int(float64(seconds)/width)]
		b.y += float64(n)
		p.y.most = max(p.y.most, b.y*1.05)
	}
	return p
}
