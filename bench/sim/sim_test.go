package sim

import (
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds  = flag.Int("sim.seeds", 0, "runs of each scenario and policy, in full; 0: a short form, one or two of each in small worlds")
	only   = flag.String("sim.only", "", "scenarios to play, by name, separated by commas; empty: all")
	ours   = flag.Bool("sim.ours", false, "play the policy that is held to the bounds, and no other")
	report = flag.String("sim.report", "", "file to write the report to, as HTML")
)

// TestSim plays the scenarios and holds the figures to their bounds; in the short form,
// in small worlds, the first of each scenario.
func TestSim(t *testing.T) {
	lab := NewLab(t.TempDir())
	begin := time.Now()
	var studies []Study
	for _, s := range Scenarios() {
		if *only != "" && !strings.Contains(","+*only+",", ","+s.Name+",") {
			continue
		}
		t.Run(s.Name, func(t *testing.T) { studies = append(studies, study(t, lab, s)) })
	}
	if *report == "" || t.Failed() && len(studies) == 0 {
		return
	}
	page, err := Report(studies, max(2, *seeds), time.Since(begin))
	if err == nil {
		err = os.WriteFile(*report, page, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func study(t *testing.T, lab *Lab, s Scenario) Study {
	n := *seeds
	if n == 0 {
		n, s.World = 2, s.World.tenth()
	}
	if *ours {
		s.Policies = s.Policies[:1]
	}
	out := Study{Scenario: s}
	begin := time.Now()
	for i, p := range s.Policies {
		if i > 0 && *seeds == 0 {
			n = 1
		}
		var runs []Result
		for seed := range n {
			runs = append(runs, play(t, lab, &s, p, uint64(seed+1)))
		}
		out.Runs = append(out.Runs, runs)
	}
	t.Logf("%s: %.1f s", s.Title, time.Since(begin).Seconds())
	for i, v := range out.Verdicts() {
		t.Log(v)
		if !v.Holds && (i == 0 || *seeds > 0) {
			t.Errorf("%s: %s, want %s", v.Name, v.Unit.Format(v.Worst), v.Say())
		}
	}
	return out
}

// play plays a scenario once.
func play(t *testing.T, lab *Lab, s *Scenario, p Policy, seed uint64) (out Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var err error
		if out, err = lab.Play(s, p, seed); err != nil {
			t.Fatal(err)
		}
	})
	return out
}

// TestSameSeedSameFigures shows that chance has no part in a run but by its seed.
func TestSameSeedSameFigures(t *testing.T) {
	lab := NewLab(t.TempDir())
	for _, s := range []Scenario{storm, cappedByFour, rehoming} {
		s.World = s.World.tenth()
		one, two, other := play(t, lab, &s, Ours, 1), play(t, lab, &s, Ours, 1), play(t, lab, &s, Ours, 2)
		if !reflect.DeepEqual(one, two) {
			t.Errorf("%s: seed 1 gives %v, and then %v", s.Name, one.Figures, two.Figures)
		}
		if reflect.DeepEqual(one, other) {
			t.Errorf("%s: seeds 1 and 2 both give %v", s.Name, one.Figures)
		}
	}
}
