package sim

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// studyOf is a study of one figure, whose runs gave the values.
func studyOf(f Figure, values ...float64) Study {
	s := Study{Scenario: Scenario{Name: "one", Title: "One", Policies: justUs, Figures: []Figure{f}}, Runs: make([][]Result, 1)}
	for _, v := range values {
		s.Runs[0] = append(s.Runs[0], Result{Figures: []float64{v}})
	}
	return s
}

func TestTheWorstSeedMustHoldTheBound(t *testing.T) {
	tests := []struct {
		name          string
		bound         Bound
		median, worst float64
		seed          int
		holds         bool
	}{
		{"at most: the greatest counts", AtMost, 2, 4, 3, false},
		{"at least: the least counts", AtLeast, 2, 1, 2, false},
		{"told: nothing can be wrong", Told, 2, 4, 3, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := studyOf(Figure{"x", Number, tt.bound, 3}, 2, 1, 4)
			v := s.Verdict(0, 0)
			if v.Median != tt.median || v.Worst != tt.worst || v.Seed != tt.seed || v.Holds != tt.holds {
				t.Errorf("got median %v, worst %v of seed %d, holds %v; want %v, %v, %d, %v",
					v.Median, v.Worst, v.Seed, v.Holds, tt.median, tt.worst, tt.seed, tt.holds)
			}
		})
	}
}

func TestReportNamesWhatIsMissed(t *testing.T) {
	good := studyOf(Figure{"busiest, × fair share", Times, AtMost, 1.1}, 1.05, 1.07)
	bad := studyOf(Figure{"above the cap", Percent, AtMost, 0}, 0, 0.0125)
	page, err := Report([]Study{good, bad}, 2, 90*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1 of 2 bounds missed", "1.070", "✗ missed", "1.25 %", "1 min 30 s"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if page, _ = Report([]Study{good}, 2, time.Second); !bytes.Contains(page, []byte("all 1 bounds hold")) {
		t.Error("the page does not say that all bounds hold")
	}
}

// TestWindowsLeaveOutSVMsThatAreDown shows what an average is of.
func TestWindowsLeaveOutSVMsThatAreDown(t *testing.T) {
	r := &run{svms: []svm{{up: true}, {up: false}, {up: true}}}
	r.rates = &rates{seconds: [][]uint16{{4, 9, 2}, {2, 9, 0}, {1, 0, 0}}}
	got := r.windows(2 * time.Second)
	if len(got) != 1 || got[0] != (window{most: 3, mean: 2}) {
		t.Errorf("got %v, want one window, in which the busiest got 3 a second and the average 2", got)
	}
}
