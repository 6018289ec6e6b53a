package plan

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/svmgate/svmgate/bench"
)

// flat has round figures: 100 µs for every question, however it comes.
func flat() *Costs {
	c := Assumed()
	for p := range c.Questions {
		c.Questions[p] = Curve{Points: []Point{{1, 100, 0}}, From: "a test"}
	}
	for v, value := range map[*Value]float64{
		&c.BaseBytes: 10 << 20, &c.VMBytes: 100, &c.ConnectionBytes: 10 << 10, &c.TLSConnectionBytes: 20 << 10,
		&c.IdleGossip: 1000, &c.UpdateGossip: 500, &c.ReportGossip: 100, &c.Spread: 1.1,
	} {
		*v = Value{value, false, "a test"}
	}
	return c
}

// Every figure of a plan, against the same computed by hand.
func TestPlan(t *testing.T) {
	in := Defaults()
	in.Agents, in.Processors, in.Load, in.New, in.Updates = 1_200_000, 2, 0.5, 0.5, 10
	in.FailedSVMs, in.FailedGateways, in.Waiting, in.Closed = 4, 1, 0.1, 0.8
	p, err := Make(in, flat())
	if err != nil {
		t.Fatal(err)
	}
	// 99 % have an SVM, of these a tenth waits for 60 s and the others ask every 300 s.
	steady := 1_200_000 * (0.99*0.9/300 + 0.01/30 + 0.99*0.1/60)
	const live = 1 // 4,000 in a second, 5,000 by a processor
	connections := (1_200_000*0.99*0.1 + steady*0.2*75) / live
	for key, want := range map[string]float64{
		"steadyRate": steady, "peakRate": max(steady, 1_200_000/300.), "processorRate": 5000, "questionCost": 100,
		"processors": max(steady, 4000) / 5000, "gateways": 2 * live, "steadyProcessors": steady * 100e-6,
		"connections": connections, "memory": (10<<20 + 1_200_000*100 + connections*(20<<10)) / (1 << 20),
		"memoryLimit": 1.5 * (10<<20 + 1_200_000*100 + connections*(20<<10)) / (1 << 20),
		"svms":        1320 + 4, "agentsOfSVM": 1_200_000. / 1324,
		"gossip":    (1*(1000+10*500) + 1324./60*100) * 8 / 1000,
		"rehomeAll": 300, "rehomeOne": math.Ceil(1_200_000. / 1324), "deactivation": 330,
	} {
		if got, ok := p.Figure(key); !ok || math.Abs(got.Value-want) > 1e-6*want {
			t.Errorf("%s is %v (%s); want %v", key, got.Value, got.How, want)
		}
	}
	for _, f := range p.Needed {
		if f.Source != Computed || f.How == "" || strings.Contains(f.How, "%!") {
			t.Errorf("%s does not say how it was computed: %q", f.Key, f.How)
		}
	}
	if len(p.Warnings) != 2 || !strings.Contains(p.Warnings[0], "118,800 agents that wait") || !strings.Contains(p.Warnings[1], "connections") {
		t.Errorf("it warns of %q; want of those that wait, and the connections", p.Warnings)
	}
}

// What comes from where is told.
func TestSources(t *testing.T) {
	in := Defaults()
	in.Agents = 5000
	costs := flat()
	costs.Questions[freshFull] = Curve{Points: []Point{{100, 300, 900}, {200, 250, 1900}}, Measured: true, From: "full.json"}
	p, err := Make(in, costs)
	if err != nil {
		t.Fatal(err)
	}
	p.Say("interval")
	for key, want := range map[string]string{
		"agents": Given, "interval": Given, "tls": Assume, "newTLSCost": Measured, "vmMemory": Assume, "gateways": Computed,
	} {
		if f, _ := p.Figure(key); f.Source != want {
			t.Errorf("%s is %q, want %q", key, f.Source, want)
		}
	}
	if f, _ := p.Figure("newTLSCost"); f.How != "full.json, 300 µs at 100/s, 250 µs at 200/s of one processor" {
		t.Errorf("the cost is of %q", f.How)
	}
	if _, ok := p.Figure("keptCost"); ok {
		t.Error("it tells the cost of what nobody does")
	}
	// 60 % busy is far beyond what was measured: 0.6 ÷ 250 µs.
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "up to 200 questions a second at one processor, and the plan has 2,400") {
		t.Errorf("it warns of %q", p.Warnings)
	}
	if f, _ := p.Figure("p99"); f.Value != 1.9 {
		t.Errorf("p99 is %v ms, want that of the highest rate measured", f.Value)
	}
}

func TestCurve(t *testing.T) {
	c := Curve{Points: []Point{{1000, 20, 300}, {3000, 10, 700}}}
	for rate, want := range map[float64]float64{0: 20, 1000: 20, 1500: 17.5, 2000: 15, 3000: 10, 9000: 10} {
		if got := c.At(rate); got != want {
			t.Errorf("at %v a question costs %v, want %v", rate, got, want)
		}
	}
	if got := c.p99At(2000); got != 500 {
		t.Errorf("p99 at 2,000 is %v", got)
	}
}

func TestBadInput(t *testing.T) {
	for _, tt := range []struct {
		field string
		spoil func(*Input)
	}{
		{"Agents", func(in *Input) { in.Agents = 0 }},
		{"Interval", func(in *Input) { in.Interval = 0 }},
		{"Wait", func(in *Input) { in.Wait = -1 }},
		{"TLS", func(in *Input) { in.TLS = 1.1 }},
		{"Waiting", func(in *Input) { in.Waiting = math.NaN() }},
		{"Load", func(in *Input) { in.Load = 1 }},
		{"Updates", func(in *Input) { in.Updates = math.NaN() }},
		{"Processors", func(in *Input) { in.Processors = 0 }},
		{"SVMCapacity", func(in *Input) { in.SVMCapacity = 0 }},
		{"FailedGateways", func(in *Input) { in.FailedGateways = -1 }},
	} {
		in := Defaults()
		in.Agents = 10
		tt.spoil(&in)
		var bad *InputError
		if _, err := Make(in, Assumed()); !errors.As(err, &bad) || bad.Field != tt.field {
			t.Errorf("%s: %v", tt.field, err)
		}
	}
}

// More of anything never needs less.
func TestMoreNeedsMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := Defaults()
		in.Agents = rapid.IntRange(1, 20_000_000).Draw(t, "agents")
		in.Interval = time.Duration(rapid.IntRange(1, 3600).Draw(t, "interval")) * time.Second
		in.Reconnect = time.Duration(rapid.IntRange(1, 3600).Draw(t, "reconnect")) * time.Second
		in.WithoutSVM, in.Waiting = part(t, "without"), part(t, "waiting")
		in.TLS, in.New, in.Resumed = part(t, "tls"), part(t, "new"), part(t, "resumed")
		in.Load = min(0.05+0.9*part(t, "load"), 0.95)
		costs := Assumed()
		costs.Questions[kept] = Curve{Points: []Point{{100, 30, 1}, {5000, 15, 1}, {20000, 12, 1}}}
		before, err := Make(in, costs)
		if err != nil {
			t.Fatal(err)
		}
		more := in
		switch rapid.IntRange(0, 3).Draw(t, "what") {
		case 0:
			more.Agents += rapid.IntRange(1, 1_000_000).Draw(t, "more agents")
		case 1:
			more.FailedGateways++
		case 2:
			more.Load *= 0.9
			more.Load = max(more.Load, 0.05)
		case 3:
			more.Reconnect = max(more.Reconnect/2, time.Second)
		}
		after, err := Make(more, costs)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"peakRate", "processors", "gateways", "svms"} {
			a, _ := before.Figure(key)
			b, _ := after.Figure(key)
			if math.IsNaN(b.Value) || b.Value < a.Value*(1-1e-9) {
				t.Fatalf("%s was %v (%s) and is %v (%s)", key, a.Value, a.How, b.Value, b.How)
			}
		}
	})
}

func part(t *rapid.T, label string) float64 {
	return float64(rapid.IntRange(0, 100).Draw(t, label)) / 100
}

// A result of svmgate bench becomes a curve, and tells what a VM takes.
func TestLearn(t *testing.T) {
	step := func(rate, micros float64) bench.Step {
		return bench.Step{
			Asked: rate, RateAchieved: rate, Scheduled: 1000, Answered: 1000,
			Kinds:   map[string]bench.KindResult{"ask": {Scheduled: 1000, Answered: 1000}},
			Latency: bench.Percentiles{P99: 800},
			Server: &bench.ServerUse{
				Gateways: 1, Processors: 2, CPUMicrosecondsPerRequest: micros, ResidentBytes: 40<<20 + 64*17<<10 + 200*1e6, VMs: 1_000_000, Connections: 64,
			},
		}
	}
	result := func(spoil func(*bench.Step)) Source {
		r := &bench.Result{Asked: bench.Asked{Profile: kept}, Steps: []bench.Step{step(8000, 20), step(2000, 30), step(2010, 32)}}
		for i := range r.Steps {
			spoil(&r.Steps[i])
		}
		return Source{"run.json", r}
	}
	c, err := Learn([]Source{result(func(*bench.Step) {})})
	if err != nil {
		t.Fatal(err)
	}
	curve := c.Questions[kept]
	want := []Point{{1002.5, 31, 800}, {4000, 20, 800}}
	if !curve.Measured || len(curve.Points) != 2 || curve.Points[0] != want[0] || curve.Points[1] != want[1] {
		t.Errorf("the curve is %+v, want %+v", curve, want)
	}
	if v := c.VMBytes; !v.Measured || math.Abs(v.Value-200) > 1e-6 || v.From != "run.json, with 1,000,000 VMs" {
		t.Errorf("a VM takes %+v", v)
	}
	if c.Questions[freshFull].Measured {
		t.Error("it knows of handshakes")
	}
	for want, spoil := range map[string]func(*bench.Step){
		"give svmgate bench --ops":  func(s *bench.Step) { s.Server = nil },
		"do not hold their rates":   func(s *bench.Step) { s.RateAchieved /= 2 },
		"ask other things":          func(s *bench.Step) { s.Kinds["ask"] = bench.KindResult{Answered: 10} },
		"change the table":          func(s *bench.Step) { s.Updates = 10 },
		"too short to tell the pro": func(s *bench.Step) { s.Server.CPUMicrosecondsPerRequest = 0 },
	} {
		if _, err := Learn([]Source{result(spoil)}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "run.json") {
			t.Errorf("want an error that says %q: %v", want, err)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1", 0.5: "0.5", 1234567: "1,234,567", 999.4: "999", 12.345: "12.3", 0.012345: "0.0123", 100: "100", 1000: "1,000"} {
		if got := Number(v); got != want {
			t.Errorf("Number(%v) = %q, want %q", v, got, want)
		}
	}
}
