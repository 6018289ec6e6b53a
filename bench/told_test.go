package bench

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The percentiles are those of a distribution made by hand.
func TestPercentiles(t *testing.T) {
	t.Parallel()
	sum := newTally()
	for i := range 1000 {
		o := outcome{kind: Ask, due: time.Second, sent: time.Second + time.Millisecond, done: time.Second + 2*time.Millisecond, status: 200}
		if i >= 980 {
			o.done = o.due + 500*time.Millisecond
		}
		part := newTally()
		part.record(&o, 100*time.Millisecond, false)
		sum.add(part)
	}
	k := sum.kinds[Ask]
	got := percentiles(k.latency)
	for name, pair := range map[string][2]int64{
		"p50": {got.P50, 2000}, "p90": {got.P90, 2000}, "p99": {got.P99, 500_000}, "max": {got.Max, 500_000}, "min": {got.Min, 2000},
		"service": {percentiles(sum.service).P50, 1000}, "lag": {percentiles(sum.lag).Max, 1000},
	} {
		if math.Abs(float64(pair[0]-pair[1])) > float64(pair[1])/500 {
			t.Errorf("%s = %d µs, want %d", name, pair[0], pair[1])
		}
	}
	if k.good != 980 || k.answered != 1000 {
		t.Errorf("%d good of %d answered, want 980 of 1000: the others came too late", k.good, k.answered)
	}
	points := curve(k.latency)
	if first, last := points[0], points[len(points)-1]; first.Percentile != 0 || last.Percentile != 100 || last.Microseconds < 499_000 {
		t.Errorf("the curve goes from %v to %v", first, last)
	}
}

func TestRecovery(t *testing.T) {
	for name, tt := range map[string]struct {
		late []int // of 100 requests in each tenth of a second
		want time.Duration
		ok   bool
	}{
		"at once":         {late: make([]int, 30), ok: true},
		"after 0.4 s":     {late: append([]int{100, 50, 0, 2}, make([]int, 20)...), want: 400 * time.Millisecond, ok: true},
		"one in 100":      {late: append([]int{1, 1, 1}, make([]int, 20)...), ok: true},
		"hiccup later":    {late: append(append([]int{9}, make([]int, 12)...), 9, 0), want: 100 * time.Millisecond, ok: true},
		"short of second": {late: []int{9, 0, 0}, want: 100 * time.Millisecond, ok: true},
		"never":           {late: []int{9, 9, 9}, want: 300 * time.Millisecond},
	} {
		var sum *slowness
		for i, n := range tt.late {
			part := &slowness{}
			for k := range 100 {
				part.note(time.Duration(i)*slowSlot, k < n)
			}
			sum = sum.add(part)
		}
		if got, ok := sum.recovery(); got != tt.want || ok != tt.ok {
			t.Errorf("%s: recovery = %v, %v; want %v, %v", name, got, ok, tt.want, tt.ok)
		}
	}
}

func TestVerdicts(t *testing.T) {
	share := 0.005
	step := Step{
		Purpose: "rate", Asked: 100, Offered: 1000, RateAchieved: 970, Scheduled: 1000, Errors: map[string]int{"timeout": 5, "status 503": 5},
		Latency: Percentiles{Count: 990, P99: 5000},
	}
	recovered := 2.5
	over := Step{Purpose: "rate", OfCapacity: 2, Goodput: 85}
	after := Step{Purpose: "rate", OfCapacity: 0.8, RecoverySeconds: &recovered}
	res := Result{Steps: []Step{step, over, after}, Capacity: &Capacity{RequestsPerSecond: 100}, Churn: &Churned{Throughput: 0.9}}
	l := Limits{P99: Millis(5 * time.Millisecond), Errors: &share, Rate: 0.98, Goodput: 0.8, Recovery: Millis(2 * time.Second), Churn: 0.85}
	var got []string
	for _, v := range res.judge(l) {
		got = append(got, fmt.Sprintf("%d %v %v", v.Step, v.Holds, v))
	}
	want := []string{
		"0 true p99 is 5ms, at most 5ms",
		"0 false the share of errors is 1%, not at most 0.5%",
		"0 false the rate is 97%, not at least 98% of what was offered",
		"1 true goodput is 85%, at least 80% of the capacity",
		"2 false recovery is 2.5 s, not at most 2s",
		"-1 true throughput under changes is 90%, at least 85% of that without",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if none := (&Result{Steps: []Step{step}}).judge(Limits{}); len(none) > 0 {
		t.Errorf("without limits: %v", none)
	}
	for name, s := range map[string]Step{
		"of nothing": {}, "of the others when 2 of 100 failed": {Scheduled: 100, Errors: map[string]int{"timeout": 2}, Latency: Percentiles{Count: 98, P99: 1}},
	} {
		if v := s.judge(0, Limits{P99: Millis(time.Second)}); v[0].Holds || v[0].Doubt != "" {
			t.Errorf("the p99 %s: %+v, want that it is missed", name, v[0])
		}
	}
}

// A result is the same once it was written and read; what is none is refused.
func TestResultIsReadAgain(t *testing.T) {
	cfg := serve(t, func(http.ResponseWriter, *http.Request) {})
	share := 0.5
	cfg.Rates, cfg.Count, cfg.Limits = at(1000, 2000), 20, Limits{P99: Millis(time.Second), Errors: &share}
	res := must(t, cfg)
	var text bytes.Buffer
	if err := res.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	again, err := ReadResult(&text)
	if err != nil {
		t.Fatal(err)
	}
	res.Started = again.Started // less its monotonic clock
	if diff := cmp.Diff(res, again); diff != "" {
		t.Error(diff)
	}
	for text, want := range map[string]string{
		"": "no result", "[]": "no result", "{}": "does not say so", `{"tool":"svmgate bench"}`: "no steps",
		`{"tool":"svmgate bench","steps":[{}],"asked":{"withinMilliseconds":-1}}`: "milliseconds",
	} {
		if _, err := ReadResult(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadResult(%s) = %v, want %q", text, err, want)
		}
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	cfg := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	cfg.Rates, cfg.Duration, cfg.Limits = at(300, 600, 900), 120*time.Millisecond, Limits{P99: Millis(time.Minute), Rate: 0.01}
	share := 0.0
	cfg.Limits.Errors = &share
	cfg.Query = "tag=%3Cscript%3E"
	res := must(t, cfg)
	res.Capacity, res.Churn = &Capacity{RequestsPerSecond: 1234}, &Churned{UpdatesPerSecond: 99, Throughput: 0.9}
	res.Steps[0].Server = &ServerUse{Gateways: 1, Version: "<1.2>", VMs: 77}
	page, err := res.Page()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Latency by percentile", "Latency by rate", "Throughput", "Errors", "Latency over time", "processors", "memory", "<svg ", "99.9",
		"6 of 9 limits missed", "✗ missed", "none, for 100% failed", "held up", "capacity 1234", "99 changes", "error: status 418", "&lt;1.2&gt;", "77 VMs", "100% ask",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	for _, no := range []string{"http-equiv", "src=", "href=", "<1.2>", "NaN", "Inf", "ZgotmplZ"} {
		if strings.Contains(string(page), no) {
			t.Errorf("the page has %q", no)
		}
	}
}

func TestParse(t *testing.T) {
	rates, err := ParseRates("2000,80%:60s,1e4", 0)
	if diff := cmp.Diff([]Rate{{PerSecond: 2000}, {OfCapacity: 0.8, Duration: time.Minute}, {PerSecond: 10_000}}, rates); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	rates, err = ParseRates("1000..16000", 5)
	if diff := cmp.Diff(at(1000, 2000, 4000, 8000, 16_000), rates); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for text, want := range map[string]string{
		"": "want requests", "x": "want requests", "-1": "want requests", "NaN": "want requests", "5:": "duration", "5:-1s": "duration", "2..1": "the lesser first", "1..": "want requests",
		"10%..20%": "the lesser first", strings.Repeat("1,", 100) + "1": "more than 100",
	} {
		if _, err := ParseRates(text, 5); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseRates(%.20q) = %v, want %q", text, err, want)
		}
	}
	if _, err := ParseRates("1..2", 1); err == nil {
		t.Error("one step has no two ends")
	}
	mix, err := ParseMix("ask=90,batch=5,poll=5")
	if diff := cmp.Diff(map[string]float64{"ask": 0.9, "batch": 0.05, "poll": 0.05}, mix.named()); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for text, want := range map[string]string{"": "want a kind", "ask": "weight", "ask=-1": "weight", "ask=NaN": "weight", "ask=0": "no kind", "ask=1,ask=1": "twice", "tell=1": "want a kind"} {
		if _, err := ParseMix(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseMix(%q) = %v, want %q", text, err, want)
		}
	}
}
