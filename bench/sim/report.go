package sim

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"runtime"
	"time"

	"github.com/svmgate/svmgate/bench/plot"
)

//go:embed report.html
var page string

var pageTemplate = template.Must(template.New("report").Parse(page))

// Report writes a page about studies of so many seeds each, that took so long to play.
// It leans on nothing outside of itself.
func Report(studies []Study, seeds int, took time.Duration) ([]byte, error) {
	type part struct {
		*Study
		Verdicts []Verdict
		Compared [][]Verdict // by figure, then by policy; nil if there is nothing to compare
		Plots    []*plot.Plot
	}
	about := struct {
		Parts           []part
		Seeds           int
		Took, Go        string
		Bounds, Missing int
		Compares        bool
		Style           template.CSS
	}{Seeds: seeds, Took: duration(took), Go: runtime.Version(), Style: plot.Style}
	for i := range studies {
		s := &studies[i]
		p := part{Study: s, Verdicts: s.Verdicts(), Plots: s.plots()}
		for f, v := range p.Verdicts {
			if v.Bound != Told {
				about.Bounds++
				if !v.Holds {
					about.Missing++
				}
			}
			if len(s.Policies) > 1 {
				p.Compared, about.Compares = append(p.Compared, s.compare(f)), true
			}
		}
		about.Parts = append(about.Parts, p)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, &about); err != nil {
		return nil, fmt.Errorf("sim: report: %w", err)
	}
	return out.Bytes(), nil
}

// compare returns what a figure came to under each policy.
func (s *Study) compare(figure int) (row []Verdict) {
	for policy := range s.Policies {
		row = append(row, s.Verdict(policy, figure))
	}
	return row
}

// duration writes how long something took, for people.
func duration(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.0f s", d.Seconds())
	}
	return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
}
