package sim

import (
	"time"

	"github.com/svmgate/svmgate/discovery"
)

// A Scenario is a world and what happens in it.
type Scenario struct {
	Name     string // for -sim.only
	Title    string
	About    string
	World    World
	Policies []Policy // the first is the one that is held to the bounds
	Figures  []Figure
	play     func(r *run) Result
}

// A Figure is what a run comes to, and the bound for it.
type Figure struct {
	Name  string
	Unit  Unit
	Bound Bound
	Limit float64
}

// A Bound says on which side of its limit a figure must be.
type Bound uint8

// Bounds.
const (
	Told    Bound = iota // none: the figure is there to be known
	AtMost               // the limit
	AtLeast              // the limit
)

// A Unit says how a figure is written.
type Unit uint8

// Units.
const (
	Times   Unit = iota // of something, such as a fair share
	Percent             // written of 1 as 100 %
	Number
	Seconds
)

// holds reports whether a value is within the bound.
func (f *Figure) holds(v float64) bool {
	switch f.Bound {
	case AtMost:
		return v <= f.Limit
	case AtLeast:
		return v >= f.Limit
	default:
		return true
	}
}

// A Result is what a run came to: figures, in the order of the scenario's, and what is
// plotted.
type Result struct {
	Figures []float64
	Busiest []float64   // load of the busiest SVM for its fair share, second by second
	Loads   []float64   // of all SVMs, once the storm is over
	Retry   map[int]int // agents told to come later, by seconds
	Windows []window    // of connections
}

var (
	everybody = []Policy{Ours, Plain, Two, Random, Fewest, Stale}
	justUs    = []Policy{Ours}
)

// Scenarios are all there are.
func Scenarios() []Scenario {
	return []Scenario{storm, crowd, tenants, life, growth, capped, cappedByFour, locality, rehoming}
}

// hundredThousand agents and 400 SVMs are the world of most scenarios. Some agents do
// not say what they are connected to.
var hundredThousand = World{
	Tenants: []Tenants{{Count: 100, Agents: 1000}}, SVMs: 400, Gateways: 4, Report: 10 * time.Second, Silent: 0.05,
}

var storm = Scenario{
	Name: "storm", Title: "Everyone connects within a minute",
	About: "100,000 agents and 400 equal SVMs that report every 10 s. Nobody is connected, no gateway remembers " +
		"anything, and all ask one of 4 gateways within 60 s. After another minute everybody asks once more.",
	World: hundredThousand, Policies: everybody,
	Figures: []Figure{
		{"busiest SVM in the storm, × fair share", Times, AtMost, 1.15},
		{"busiest SVM afterwards, × fair share", Times, AtMost, 1.10},
	},
	play: func(r *run) (out Result) {
		r.arrive(time.Minute)
		r.advance(time.Minute + connectWithin + 3*time.Second)
		out.Loads = r.loads()
		inStorm := r.peak
		r.advance(time.Minute)
		r.reset()
		r.advance(5 * time.Minute)
		out.Figures = []float64{inStorm, r.peak}
		return out
	},
}

var crowd = Scenario{
	Name: "crowd", Title: "Sixteen gateways, unequal SVMs, fifteen seconds",
	About: "100,000 agents, 400 SVMs with capacities 1 : 4 : 16 that report every 30 s, 16 gateways; all connect " +
		"within 15 s: nearly everything happens between two reports.",
	World: World{
		Tenants: []Tenants{{Count: 100, Agents: 1000}}, SVMs: 400, Capacity: []int{1, 4, 16}, Gateways: 16,
		Report: 30 * time.Second, Silent: 0.05,
	},
	Policies: everybody,
	Figures:  []Figure{{"busiest SVM, × fair share", Times, AtMost, 1.20}},
	play: func(r *run) (out Result) {
		r.arrive(15 * time.Second)
		r.advance(20 * time.Second)
		out.Loads = r.loads()
		r.advance(10 * time.Second)
		out.Figures = []float64{r.peak}
		return out
	},
}

var tenants = Scenario{
	Name: "tenants", Title: "Small tenants with SVMs of their own",
	About: "40 tenants, ten of each kind: 50 or 500 agents, 4 or 16 SVMs that take no other's. All connect within " +
		"60 s. A fifth agent on one of 16 SVMs is already 1.6 fair shares: what is too much there leaves by rebalancing.",
	World: World{
		Tenants:  []Tenants{{10, 50, 4}, {10, 50, 16}, {10, 500, 4}, {10, 500, 16}},
		Gateways: 4, Report: 10 * time.Second, Silent: 0.05,
	},
	Policies: everybody,
	Figures: []Figure{
		{"50 agents, 4 SVMs: busiest, × fair share", Times, AtMost, 1.5},
		{"50 agents, 16 SVMs: busiest, × fair share of 3.1 agents", Times, Told, 0},
		{"the same from ten minutes after the storm on", Times, AtMost, 1.5},
		{"500 agents, 4 SVMs: busiest, × fair share", Times, AtMost, 1.5},
		{"500 agents, 16 SVMs: busiest, × fair share", Times, AtMost, 1.5},
	},
	play: func(r *run) (out Result) {
		r.arrive(time.Minute)
		r.advance(65 * time.Second)
		out.Loads = r.loads()
		r.advance(10 * time.Minute)
		all := r.peaks()
		r.reset()
		r.advance(5 * time.Minute)
		out.Figures = []float64{all[0], all[1], r.peaks()[1], all[2], all[3]}
		return out
	},
}

var life = Scenario{
	Name: "life", Title: "A steady hour, then one SVM fails and one is added",
	About: "The world of the storm, settled. For an hour nothing happens; then two gateways are asked for each agent, " +
		"one SVM fails, and one is added. An agent moves when it leaves an SVM that is up.",
	World: hundredThousand, Policies: justUs,
	Figures: []Figure{
		{"moves in a steady hour", Number, AtMost, 0},
		{"the same, of agents that do not say where they are", Number, Told, 0},
		{"busiest SVM in that hour, × fair share", Times, AtMost, 1.10},
		{"two gateways in turn disagree, of agents", Percent, AtMost, 0.01},
		{"one SVM lost: moved agents / its agents, at least", Times, AtLeast, 1},
		{"one SVM lost: moved agents / its agents, at most", Times, AtMost, 1},
		{"one SVM added: moves", Number, AtMost, 0},
	},
	play: func(r *run) (out Result) {
		r.arrive(time.Minute)
		r.advance(10 * time.Minute)
		r.reset()
		r.advance(r.hour())
		out.Figures = []float64{float64(r.count.moves), float64(r.count.silent), r.peak, r.disagreement()}
		r.reset()
		orphans := float64(r.lose(r.rand.IntN(len(r.svms))))
		r.advance(12 * time.Minute)
		ratio := float64(r.count.rehomed+r.count.moves) / orphans
		r.reset()
		r.grow(1)
		r.advance(12 * time.Minute)
		out.Figures = append(out.Figures, ratio, ratio, float64(r.count.moves))
		return out
	},
}

var growth = Scenario{
	Name: "growth", Title: "A third more SVMs",
	About: "The world of the storm, settled; then 134 SVMs are added at once. All the others are far above their new " +
		"fair share, so agents move to the new ones by the rebalance rate: 1 % of them a minute.",
	World: hundredThousand, Policies: justUs,
	Figures: []Figure{
		{"moves in the busiest five minutes, of agents, a minute", Percent, AtMost, 0.0105},
		{"busiest SVM half an hour later, × fair share", Times, AtMost, float64(discovery.RebalanceAbove) / 100 * 1.02},
		{"agents that moved, in all", Percent, Told, 0},
		{"two gateways in turn disagree meanwhile, of agents", Percent, AtMost, 0.01},
	},
	play: func(r *run) (out Result) {
		r.arrive(time.Minute)
		r.advance(10 * time.Minute)
		r.reset()
		r.grow(len(r.svms) / 3)
		agents, most, moved, disagree := float64(len(r.agents)), 0, 0, 0.0
		for range 6 {
			r.advance(5 * time.Minute)
			most, moved = max(most, r.count.moves-moved), r.count.moves
			disagree = max(disagree, r.disagreement())
		}
		out.Figures = []float64{float64(most) / agents / 5, r.busiest[len(r.busiest)-1], float64(moved) / agents, disagree}
		return out
	},
}
