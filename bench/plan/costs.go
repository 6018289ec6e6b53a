package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/svmgate/svmgate/bench"
)

// Costs are what a gateway costs.
type Costs struct {
	// Questions has a curve for each way to be connected.
	Questions map[bench.Profile]Curve

	// BaseBytes is what a gateway with an empty table takes; VMBytes what each VM
	// adds; ConnectionBytes what an open connection adds, without and with TLS.
	BaseBytes, VMBytes, ConnectionBytes, TLSConnectionBytes Value

	// IdleGossip is what a gateway sends each other one in a second when nothing
	// goes on; UpdateGossip what each gateway sends each other for a change of the
	// table, wherever it is made; ReportGossip what each sends for a report of an
	// SVM, in all: bytes.
	IdleGossip, UpdateGossip, ReportGossip Value

	// Spread is the load of the busiest SVM by that of the average one.
	Spread Value
}

// A Value is a cost, and where it comes from.
type Value struct {
	Value    float64
	Measured bool   // else it is assumed
	From     string // the file, or why this value is assumed
}

// A Curve is the processor time of a question over the rate of questions at one
// processor.
type Curve struct {
	Points   []Point // by Rate; at least one
	Measured bool
	From     string
}

// A Point is a measured one.
type Point struct {
	Rate   float64 // questions a second at one processor
	Micros float64 // of processor time for each
	P99    int64   // microseconds; 0 where it is not known
}

// At returns what a question costs at a rate, in microseconds.
func (c *Curve) At(rate float64) float64 {
	return c.between(rate, func(p *Point) float64 { return p.Micros })
}

// p99At returns the 99th percentile of latencies at a rate, in microseconds, or 0.
func (c *Curve) p99At(rate float64) float64 {
	for i := range c.Points {
		if c.Points[i].P99 == 0 {
			return 0
		}
	}
	return c.between(rate, func(p *Point) float64 { return float64(p.P99) })
}

func (c *Curve) between(rate float64, of func(*Point) float64) float64 {
	i, _ := slices.BinarySearchFunc(c.Points, rate, func(p Point, rate float64) int { return cmp.Compare(p.Rate, rate) })
	switch {
	case i == 0:
		return of(&c.Points[0])
	case i == len(c.Points):
		return of(&c.Points[i-1])
	}
	a, b := &c.Points[i-1], &c.Points[i]
	return of(a) + (of(b)-of(a))*(rate-a.Rate)/(b.Rate-a.Rate)
}

// Ways to be connected.
var (
	kept        = bench.Profile{Connections: "keepAlive", TLS: "none"}
	keptTLS     = bench.Profile{Connections: "keepAlive", TLS: "full"}
	fresh       = bench.Profile{Connections: "new", TLS: "none"}
	freshFull   = bench.Profile{Connections: "new", TLS: "full"}
	freshResume = bench.Profile{Connections: "new", TLS: "resumed"}
)

// Assumed returns costs of which nothing is measured here: those of the reference
// machine of docs/capacity.md.
func Assumed() *Costs {
	const reference = "reference machine, docs/capacity.md"
	curve := func(micros float64) Curve {
		return Curve{Points: []Point{{Rate: 1, Micros: micros}}, From: reference}
	}
	value := func(v float64) Value { return Value{Value: v, From: reference} }
	return &Costs{
		Questions: map[bench.Profile]Curve{
			kept: curve(20), keptTLS: curve(21), fresh: curve(80), freshFull: curve(610), freshResume: curve(600),
		},
		BaseBytes: value(40 << 20), VMBytes: value(130), ConnectionBytes: value(17 << 10), TLSConnectionBytes: value(39 << 10),
		IdleGossip: value(2500), UpdateGossip: value(480), ReportGossip: value(125),
		Spread: Value{Value: 1.1, From: "the most by make sim, docs/selection.md"},
	}
}

// A Source is a result and the name of its file.
type Source struct {
	Name   string
	Result *bench.Result
}

// Learn returns the costs that results of svmgate bench tell, and [Assumed] ones for the
// rest. A result that has no step from which anything can be learnt is an error that
// says what it lacks. Two results of the same profile make one curve.
func Learn(sources []Source) (*Costs, error) {
	c := Assumed()
	for i := range sources {
		s := &sources[i]
		points, err := pointsOf(s)
		if err != nil {
			return nil, err
		}
		profile := s.Result.Asked.Profile
		if profile == (bench.Profile{Connections: "keepAlive", TLS: "resumed"}) {
			profile = keptTLS // a connection that is kept costs the same either way
		}
		curve := c.Questions[profile]
		if !curve.Measured {
			curve = Curve{Measured: true, From: s.Name}
		} else if curve.From != s.Name {
			curve.From += ", " + s.Name
		}
		curve.Points = merged(append(curve.Points, points...))
		c.Questions[profile] = curve
		c.learnMemory(s)
	}
	return c, nil
}

// largeTable is how many VMs a table must have for its memory to tell what a VM costs.
const largeTable = 100_000

// learnMemory takes what a VM costs from the largest table that was measured.
func (c *Costs) learnMemory(s *Source) {
	for i := range s.Result.Steps {
		u := s.Result.Steps[i].Server
		if u == nil || u.Gateways < 1 || u.VMs < largeTable {
			continue
		}
		connections := float64(u.Connections) * c.connectionBytes(s.Result.Asked.Profile)
		each := (u.ResidentBytes-connections)/float64(u.Gateways) - c.BaseBytes.Value
		if v := each / float64(u.VMs); v > 0 && (!c.VMBytes.Measured || v > c.VMBytes.Value) {
			c.VMBytes = Value{v, true, fmt.Sprintf("%s, with %s VMs", s.Name, whole(float64(u.VMs)))}
		}
	}
}

func (c *Costs) connectionBytes(p bench.Profile) float64 {
	if p.TLS == "none" {
		return c.ConnectionBytes.Value
	}
	return c.TLSConnectionBytes.Value
}

// pointsOf returns what the steps of a result tell of the cost of a question: those
// that asked nothing else, and held their rate.
func pointsOf(s *Source) (points []Point, err error) {
	why := "it has no step"
	for i := range s.Result.Steps {
		step := &s.Result.Steps[i]
		u := step.Server
		switch {
		case len(step.Kinds) > 0 && step.Kinds["ask"].Answered != step.Answered:
			why = "its steps ask other things than single questions"
		case step.Updates > 0:
			why = "its steps change the table"
		case u == nil || u.Gateways < 1 || u.Processors < 1:
			why = "it does not know what the gateway used: give svmgate bench --ops"
		case step.Answered == 0 || step.RateAchieved < 0.95*step.Asked || float64(step.Answered) < 0.99*float64(step.Scheduled):
			why = "its steps do not hold their rates"
		case u.CPUMicrosecondsPerRequest <= 0:
			why = "its steps are too short to tell the processor time"
		default:
			points = append(points, Point{
				Rate: step.RateAchieved / float64(u.Processors), Micros: u.CPUMicrosecondsPerRequest, P99: step.Latency.P99,
			})
		}
	}
	if len(points) == 0 {
		return nil, fmt.Errorf("plan: %s can not be used: %s", s.Name, why)
	}
	return points, nil
}

// merged sorts points, and makes one of those whose rates are alike: the mean.
func merged(points []Point) []Point {
	slices.SortFunc(points, func(a, b Point) int { return cmp.Compare(a.Rate, b.Rate) })
	var out []Point
	for from := 0; from < len(points); {
		to := from + 1
		for to < len(points) && points[to].Rate < 1.02*points[from].Rate {
			to++
		}
		var sum Point
		for _, p := range points[from:to] {
			sum.Rate += p.Rate
			sum.Micros += p.Micros
			sum.P99 += p.P99
		}
		n := to - from
		out = append(out, Point{sum.Rate / float64(n), sum.Micros / float64(n), sum.P99 / int64(n)})
		from = to
	}
	return out
}
