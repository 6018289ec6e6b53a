package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/svmgate/svmgate/bench"
)

// A Plan is what is needed.
type Plan struct {
	// Given is the input; Costs what was measured or assumed; Needed what follows.
	Given  []Figure `json:"given"`
	Costs  []Figure `json:"costs"`
	Needed []Figure `json:"needed"`

	// Warnings say what the plan can not promise.
	Warnings []string `json:"warnings"`
}

// A Figure is one number of a plan.
type Figure struct {
	Key   string  `json:"key"` // for programs
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`

	// Source is given, measured, assumed or computed. How is the arithmetic of a
	// computed figure, and where any other one comes from.
	Source string `json:"source"`
	How    string `json:"how,omitempty"`
}

// Sources of figures.
const (
	Given    = "given"
	Measured = "measured"
	Assume   = "assumed"
	Computed = "computed"
)

// Figure returns a figure by its key.
func (p *Plan) Figure(key string) (Figure, bool) {
	for _, list := range [][]Figure{p.Given, p.Costs, p.Needed} {
		for _, f := range list {
			if f.Key == key {
				return f, true
			}
		}
	}
	return Figure{}, false
}

// idleTimeout is how long a gateway keeps an idle connection.
const idleTimeout = 75 * time.Second

// maxWaiting is how many agents may wait at a gateway that is told nothing else.
const maxWaiting = 10_000

// heapRoom is how much more memory a gateway may take than what lies in it: garbage
// that has not been collected, a snapshot that is written.
const heapRoom = 1.5

// Make returns the plan for an input. An [*InputError] says what is wrong with it.
func Make(in Input, costs *Costs) (*Plan, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	m := &maker{in: in, costs: costs, plan: &Plan{Warnings: []string{}}}
	m.given()
	m.priced()
	m.rates()
	m.gateways()
	m.memory()
	m.gossip()
	m.svms()
	m.times()
	return m.plan, nil
}

// A maker makes one plan, section by section.
type maker struct {
	in    Input
	costs *Costs
	plan  *Plan

	steady, peak float64 // questions a second
	live         int     // gateways that are left in the worst case
	all          int     // gateways
	one          float64 // questions a second of one processor at the load of the plan
	svmCount     int
}

// need adds a computed figure and returns its value.
func (m *maker) need(key, name, unit string, value float64, how string, args ...any) float64 {
	m.plan.Needed = append(m.plan.Needed, Figure{key, name, value, unit, Computed, fmt.Sprintf(how, args...)})
	return value
}

func (m *maker) warn(format string, args ...any) {
	m.plan.Warnings = append(m.plan.Warnings, fmt.Sprintf(format, args...))
}

// rates computes how many questions there are.
func (m *maker) rates() {
	in := &m.in
	n, kinds := float64(in.Agents), []struct {
		part  float64
		every time.Duration
	}{{1 - in.WithoutSVM - in.Waiting*(1-in.WithoutSVM), in.Interval}, {in.WithoutSVM, in.WithoutInterval}, {in.Waiting * (1 - in.WithoutSVM), in.Wait}}
	var terms []string
	for _, k := range kinds {
		if k.part > 0 {
			m.steady += n * k.part / k.every.Seconds()
			terms = append(terms, fmt.Sprintf("%s agents × %s ÷ %s s", whole(n), percent(k.part), Number(k.every.Seconds())))
		}
	}
	m.need("steadyRate", "questions, day by day", "/s", m.steady, "%s", strings.Join(terms, " + "))
	storm := n / in.Reconnect.Seconds()
	m.peak = m.need("peakRate", "questions, at the most", "/s", max(m.steady, storm),
		"the greater of %s, and all %s agents within %s s", Number(m.steady), whole(n), Number(in.Reconnect.Seconds()))
}

// shares returns what part of the questions comes by which way.
func (in *Input) shares() map[bench.Profile]float64 {
	return map[bench.Profile]float64{
		kept: (1 - in.New) * (1 - in.TLS), keptTLS: (1 - in.New) * in.TLS,
		fresh: in.New * (1 - in.TLS), freshFull: in.New * in.TLS * (1 - in.Resumed), freshResume: in.New * in.TLS * in.Resumed,
	}
}

// profiles are in the order in which they are shown.
var profiles = []struct {
	bench.Profile
	key, name string
}{
	{kept, "keptCost", "question, connection kept"},
	{keptTLS, "keptTLSCost", "question, TLS connection kept"},
	{fresh, "newCost", "question, new connection"},
	{freshFull, "newTLSCost", "question, new TLS connection"},
	{freshResume, "resumedCost", "question, TLS resumed"},
}

// cost returns what a question costs on average at a rate at one processor, in
// microseconds, and how that was computed.
func (m *maker) cost(rate float64) (micros float64, how string) {
	var terms []string
	shares := m.in.shares()
	for _, p := range profiles {
		if part := shares[p.Profile]; part > 0 {
			curve := m.costs.Questions[p.Profile]
			each := curve.At(rate)
			micros += part * each
			terms = append(terms, percent(part)+" × "+Number(each)+" µs")
		}
	}
	return micros, strings.Join(terms, " + ")
}

// atLoad returns how many questions a second one processor answers that is busy for
// part of its time. The busy part grows with the rate, so halving finds it.
func (m *maker) atLoad(load float64) float64 {
	low, high := 0.0, 1e7
	for range 60 {
		mid := (low + high) / 2
		if micros, _ := m.cost(mid); mid*micros/1e6 < load {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// gateways computes processors and gateways.
func (m *maker) gateways() {
	in := &m.in
	m.one = m.atLoad(in.Load)
	micros, how := m.cost(m.one)
	m.need("questionCost", "processor time of a question at that load", "µs", micros, "%s", how)
	m.need("processorRate", "questions of one processor", "/s", m.one, "%s busy ÷ %s µs", percent(in.Load), Number(micros))
	processors := m.need("processors", "processors, for the most questions", "", m.peak/m.one, "%s ÷ %s a second", Number(m.peak), Number(m.one))
	m.live = int(math.Ceil(processors / float64(in.Processors)))
	m.all = m.live + in.FailedGateways
	m.need("gateways", "gateways", "", float64(m.all), "%s processors ÷ %d, rounded up, + %d that may fail",
		Number(processors), in.Processors, in.FailedGateways)
	each := m.steady / float64(m.all*in.Processors)
	micros, how = m.cost(each)
	m.need("steadyProcessors", "processors busy, day by day, of all gateways", "", m.steady*micros/1e6,
		"%s a second × %s µs (%s; %s a second at each of %d processors)", Number(m.steady), Number(micros), how, Number(each), m.all*in.Processors)
	m.latency()
	if m.all == 1 {
		m.warn("one gateway alone: nobody is answered while it is restarted")
	}
}

// latency tells what was measured at the load of the plan, if that is one way to be
// connected.
func (m *maker) latency() {
	shares := m.in.shares()
	for _, p := range profiles {
		curve := m.costs.Questions[p.Profile]
		if shares[p.Profile] < 1 || !curve.Measured {
			continue
		}
		if p99 := curve.p99At(m.one); p99 > 0 {
			m.need("p99", "p99 of answers then", "ms", p99/1e3, "as measured at %s a second of one processor", Number(m.one))
		}
		if last := curve.Points[len(curve.Points)-1].Rate; m.one > 1.05*last {
			m.warn("%s was measured up to %s questions a second at one processor, and the plan has %s: measure that, too", p.name, Number(last), Number(m.one))
		}
	}
}

// memory computes what one gateway must have room for.
func (m *maker) memory() {
	in, c := &m.in, m.costs
	waiting := float64(in.Agents) * in.Waiting * (1 - in.WithoutSVM)
	idle := min(m.peak*(1-in.Closed)*idleTimeout.Seconds(), float64(in.Agents)-waiting)
	connections := m.need("connections", "connections of one gateway", "", (waiting+idle)/float64(m.live),
		"(%s agents that wait + %s a second × %s × %s s until an idle one is closed, but one for each agent) ÷ %d",
		whole(waiting), Number(m.peak), percent(1-in.Closed), Number(idleTimeout.Seconds()), m.live)
	each := c.ConnectionBytes.Value*(1-in.TLS) + c.TLSConnectionBytes.Value*in.TLS
	const mib = 1 << 20
	lies := c.BaseBytes.Value + float64(in.Agents)*c.VMBytes.Value + connections*each
	m.need("memory", "memory of one gateway", "MiB", lies/mib,
		"%s MiB + %s VMs × %s B + %s connections × %s KiB", Number(c.BaseBytes.Value/mib), whole(float64(in.Agents)), Number(c.VMBytes.Value),
		whole(connections), Number(each/1024))
	m.need("memoryLimit", "memory to give it", "MiB", lies*heapRoom/mib, "× %s for garbage, and snapshots while they are written", Number(heapRoom))
	if each := waiting / float64(m.live); each > maxWaiting {
		m.warn("%s agents that wait at one gateway need --max-waiting, which is %d if nothing is said", whole(each), maxWaiting)
	}
	if connections > 60_000 {
		m.warn("%s connections need a process that may open as many files (LimitNOFILE) and --max-connections, which is 65536 if nothing is said", whole(connections))
	}
}

// gossip computes what gateways send each other.
func (m *maker) gossip() {
	in, c := &m.in, m.costs
	reports := float64(m.svmsNeeded()) / in.ReportEvery.Seconds()
	rate := float64(m.all-1)*(c.IdleGossip.Value+in.Updates*c.UpdateGossip.Value) + reports*c.ReportGossip.Value
	if m.all == 1 {
		rate = 0
	}
	m.need("gossip", "sent by one gateway to others", "kbit/s", rate*8/1e3,
		"(%d other × (%s B + %s changes × %s B) + %s reports × %s B) a second × 8", m.all-1, Number(c.IdleGossip.Value),
		Number(in.Updates), Number(c.UpdateGossip.Value), Number(reports), Number(c.ReportGossip.Value))
}

func (m *maker) svmsNeeded() int {
	in := &m.in
	return int(math.Ceil(float64(in.Agents)*m.costs.Spread.Value/float64(in.SVMCapacity))) + in.FailedSVMs
}

// svms computes how many SVMs there must be.
func (m *maker) svms() {
	in := &m.in
	m.svmCount = m.svmsNeeded()
	m.need("svms", "SVMs", "", float64(m.svmCount), "%s agents × %s ÷ %d, rounded up, + %d that may fail",
		whole(float64(in.Agents)), Number(m.costs.Spread.Value), in.SVMCapacity, in.FailedSVMs)
	m.need("agentsOfSVM", "agents of an SVM, on average", "", float64(in.Agents)/float64(m.svmCount), "%s ÷ %d", whole(float64(in.Agents)), m.svmCount)
}

// refreshSpread is how much later than its interval an agent may ask.
const refreshSpread = 1.1

// times computes how long things take.
func (m *maker) times() {
	in := &m.in
	agents := float64(in.Agents)
	most := float64(m.live*in.Processors) * m.atLoad(0.95)
	m.need("rehomeAll", "until all agents have asked again, after an outage of all", "s", max(in.Reconnect.Seconds(), agents/most),
		"the greater of %s s, and %s agents ÷ %s a second that the gateways left (%d) answer at most", Number(in.Reconnect.Seconds()), whole(agents), Number(most), m.live)
	m.need("rehomeOne", "agents that move when an SVM fails, to the next that their answer names", "", math.Ceil(agents/float64(m.svmCount)),
		"%s ÷ %d: they ask nobody", whole(agents), m.svmCount)
	m.need("deactivation", "until the last agent of a deactivated tenant knows", "s", refreshSpread*in.Interval.Seconds(),
		"%s s × %s; those that wait learn it at once", Number(in.Interval.Seconds()), Number(refreshSpread))
}

// whole writes a count, with separators.
func whole(v float64) string {
	digits := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Number writes a number with three digits that count, for people.
func Number(v float64) string {
	if v == 0 || math.Abs(v) >= 1000 {
		return whole(v)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	text := strconv.FormatFloat(v, 'f', max(digits, 0), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func percent(part float64) string { return Number(part*100) + " %" }
