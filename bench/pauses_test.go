package bench

import (
	"math"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Of a second, 100 ms in one piece are a tenth of all requests: the percentiles say so,
// as those of the latency would, and do not count the pause as one of five hundred.
func TestAPauseCountsForAllThatItHeldUp(t *testing.T) {
	p := pauses{next: beat, late: histogram(3)}
	for now := beat; now <= time.Second; now += beat {
		if now > 400*time.Millisecond && now < 500*time.Millisecond {
			continue
		}
		p.woke(now)
	}
	got := percentiles(p.late)
	if got.Count != 500 {
		t.Errorf("%d beats in a second, want 500", got.Count)
	}
	for name, pair := range map[string][2]int64{"p90": {got.P90, 1}, "p99": {got.P99, 90_000}, "max": {got.Max, 98_000}} {
		if math.Abs(float64(pair[0]-pair[1])) > float64(pair[1])/20 {
			t.Errorf("%s = %d µs, want %d", name, pair[0], pair[1])
		}
	}
}

// A step has the pauses of its own time.
func TestStepsHavePauses(t *testing.T) {
	cfg := serve(t, func(http.ResponseWriter, *http.Request) {})
	cfg.Rates, cfg.Duration = at(100, 100), 100*time.Millisecond
	for i, s := range must(t, cfg).Steps {
		if n := s.Pauses.Count; float64(n) < 45 || float64(n) > s.Seconds*500+500 {
			t.Errorf("step %d of %.3f s: %d beats of the generator, want one each 2 ms", i, s.Seconds, n)
		}
	}
}

// Who misses a limit on a machine that itself pauses for half of it is told so;
// nobody is who kept it, or whose machine does not.
func TestDoubt(t *testing.T) {
	step := func(p99, pauses int64) Step {
		return Step{Purpose: "rate", Scheduled: 100, Latency: Percentiles{Count: 100, P99: p99}, Pauses: Percentiles{Count: 100, P99: pauses}}
	}
	for _, tt := range []struct {
		name        string
		p99, pauses int64
		doubt       bool
	}{
		{"missed on a machine that pauses as long", 9000, 8000, true},
		{"missed by chance", 9000, 2500, true},
		{"missed on a quiet machine", 9000, 2499, false},
		{"kept in spite of pauses", 5000, 4500, false},
	} {
		s := step(tt.p99, tt.pauses)
		v := s.judge(0, Limits{P99: Millis(5 * time.Millisecond)})[0]
		if (v.Doubt != "") != tt.doubt || strings.Contains(v.String(), "in doubt: the generator's own pauses have p99 ") != tt.doubt {
			t.Errorf("%s: %v", tt.name, v)
		}
		never := -1.0
		s.RecoverySeconds = &never
		v = s.judgeRate(0, Limits{Recovery: Millis(time.Second)}, nil)[0]
		if (v.Doubt != "") != (tt.pauses >= 2500) {
			t.Errorf("recovery, %s: %v", tt.name, v)
		}
	}
	res := &Result{Steps: []Step{step(9000, 8000), step(9000, 10)}}
	res.Verdicts = res.judge(Limits{P99: Millis(5 * time.Millisecond)})
	page, err := res.Page()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 of 2 limits missed, 1 in doubt", "(in doubt: the generator&#39;s own pauses have p99 8ms)", "<td>8ms</td>"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}
