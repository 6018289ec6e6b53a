package sim

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A Study is a scenario that was played with every one of its policies.
type Study struct {
	Scenario
	Runs [][]Result // by policy, then by seed
}

// A Verdict is what a figure came to over all seeds.
type Verdict struct {
	Figure
	Median, Worst float64 // Worst is the farthest on the wrong side of the bound; without one, the greatest
	Seed          int     // of the worst, from 1
	Holds         bool
}

// Verdict sums up a figure of a policy.
func (s *Study) Verdict(policy, figure int) Verdict {
	v := Verdict{Figure: s.Figures[figure]}
	var values []float64
	for _, r := range s.Runs[policy] {
		values = append(values, r.Figures[figure])
	}
	v.Worst = slices.Max(values)
	if v.Bound == AtLeast {
		v.Worst = slices.Min(values)
	}
	v.Seed = 1 + slices.Index(values, v.Worst)
	v.Median, v.Holds = median(values), v.holds(v.Worst)
	return v
}

// Verdicts are those of the policy that is held to the bounds.
func (s *Study) Verdicts() (list []Verdict) {
	for i := range s.Figures {
		list = append(list, s.Verdict(0, i))
	}
	return list
}

// typical returns the run of a policy that is in the middle by its first figure: that
// which is plotted.
func (s *Study) typical(policy int) *Result {
	runs := s.Runs[policy]
	order := make([]int, len(runs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(math.Copysign(1, runs[a].Figures[0]-runs[b].Figures[0]))
	})
	return &runs[order[len(order)/2]]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Format writes a value in the unit.
func (u Unit) Format(v float64) string {
	switch u {
	case Percent:
		return trim(v*100, 2) + " %"
	case Number:
		return trim(v, 0)
	case Seconds:
		return trim(v, 0) + " s"
	default:
		if v >= 10 {
			return strconv.FormatFloat(v, 'f', 1, 64)
		}
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

// trim writes a number with at most so many digits behind the point.
func trim(v float64, digits int) string {
	text := strconv.FormatFloat(v, 'f', digits, 64)
	if digits > 0 {
		text = strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// Say writes the bound, such as "≤ 1.15".
func (f Figure) Say() string {
	limit := f.Unit.Format(f.Limit)
	if f.Unit == Times {
		limit = trim(f.Limit, 3)
	}
	switch f.Bound {
	case AtMost:
		return "≤ " + limit
	case AtLeast:
		return "≥ " + limit
	default:
		return ""
	}
}

// String writes the verdict on one line.
func (v Verdict) String() string {
	mark := "  "
	switch {
	case v.Bound != Told && v.Holds:
		mark = "ok"
	case v.Bound != Told:
		mark = "NO"
	}
	return fmt.Sprintf("%s %-56s %9s  median %9s  worst %9s (seed %d)",
		mark, v.Name, v.Say(), v.Unit.Format(v.Median), v.Unit.Format(v.Worst), v.Seed)
}
