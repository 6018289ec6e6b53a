package sim

import (
	"time"

	"github.com/svmgate/svmgate/discovery"
)

var capped = Scenario{
	Name: "cap", Title: "Hard caps, one gateway",
	About: "The world of the storm with hard caps: 263 agents an SVM, 5 % more than there are agents. All ask one " +
		"gateway within 60 s. An agent is refused early if an SVM has room, with all that are on their way.",
	World:    withCaps(hundredThousand, 1),
	Policies: justUs,
	Figures: []Figure{
		{"one gateway: above the hard cap, of the cap", Percent, AtMost, 0},
		{"one gateway: answers that refuse early, for each agent", Percent, Told, 0},
	},
	play: playCaps,
}

var cappedByFour = Scenario{
	Name: "caps", Title: "Hard caps, four gateways",
	About:    "The same, asking four gateways, that share what room is left before they have told each other.",
	World:    withCaps(hundredThousand, 4),
	Policies: justUs,
	Figures: []Figure{
		{"four gateways: above the hard cap, of the cap", Percent, AtMost, 0.02},
		{"four gateways: answers that refuse early, for each agent", Percent, Told, 0},
	},
	play: playCaps,
}

func withCaps(w World, gateways int) World {
	w.HardCap, w.Gateways = 263, gateways
	return w
}

func playCaps(r *run) (out Result) {
	r.arrive(time.Minute)
	r.advance(65 * time.Second)
	out.Loads = r.loads()
	r.advance(6 * time.Minute)
	out.Figures = []float64{r.overshot, float64(r.count.early) / float64(len(r.agents))}
	return out
}

// room is the hard cap of the locality scenario.
const room = 300

var locality = Scenario{
	Name: "locality", Title: "Local first, spilling only when full",
	About: "400 hosts, each with its SVM, which takes 300 agents. 360 hosts have 200 or 250 agents, 40 have 350. The " +
		"standard algorithm prefers the SVM of the agent's own host.",
	World: World{
		Tenants: []Tenants{{Count: 102, Agents: 1000}}, SVMs: 400, HardCap: room, Hosts: hosts(),
		Gateways: 4, Report: 10 * time.Second, Silent: 0.05,
	},
	Policies: justUs,
	Figures: []Figure{
		{"local, of agents whose host has room for all", Percent, AtLeast, 0.99},
		{"local after the storm, of agents that could be", Percent, AtLeast, 0.99},
		{"local a quarter of an hour later, of agents that could be", Percent, AtLeast, 0.99},
		{"least full SVM that agents were sent past, of its hard cap", Percent, Told, 0},
	},
	play: func(r *run) (out Result) {
		r.arrive(time.Minute)
		r.advance(65 * time.Second)
		_, all := r.nearby()
		r.advance(15 * time.Minute)
		roomy, later := r.nearby()
		out.Figures = []float64{roomy, all, later, r.emptiest}
		return out
	},
}

// hosts are so many agents on each host, in fifties.
func hosts() (list []int) {
	for i := range 400 {
		switch i % 10 {
		case 0:
			list = append(list, 4)
		case 1:
			list = append(list, 7)
		default:
			list = append(list, 5)
		}
	}
	return list
}

// window of the re-homing: an SVM gets some two hundred agents in it, so that chance
// alone does not make one much busier than another.
const stretch = 30 * time.Second

var rehoming = Scenario{
	Name: "rehoming", Title: "A quarter of the SVMs fails, a million agents",
	About: "1,000,000 agents of 100 tenants on 400 SVMs; 100 SVMs fail at one moment, and 250,000 agents ask. Each of " +
		"4 gateways admits 5 agents a second of each tenant, and tells the others when to come again.",
	World: World{
		Tenants: []Tenants{{Count: 100, Agents: 10_000}}, SVMs: 400, Gateways: 4, Report: 10 * time.Second, AskFirst: true,
		Admission: discovery.Admission{Rate: 5},
	},
	Policies: justUs,
	Figures: []Figure{
		{"busiest SVM in 30 s, × the average then", Times, AtMost, 1.5},
		{"busiest SVM in 30 s, × the average of it all", Times, AtMost, 1.5},
		{"connected again", Percent, AtLeast, 1},
		{"time until 99 % are connected again", Seconds, Told, 0},
		{"time until all are", Seconds, Told, 0},
		{"busiest SVM then, × fair share", Times, AtMost, 1.15},
		{"agents told to come later, times each", Times, Told, 0},
		{"moves of agents that lost nothing", Number, AtMost, 0},
	},
	play: func(r *run) (out Result) {
		r.place()
		r.advance(time.Minute)
		r.reset()
		orphans := 0
		for _, i := range r.rand.Perm(len(r.svms))[:len(r.svms)/4] {
			orphans += r.lose(i)
		}
		r.watch()
		begin, most := r.now(), 0.0
		for r.count.rehomed < orphans && r.now()-begin < 20*time.Minute {
			r.advance(time.Second)
			if most == 0 && r.count.rehomed >= orphans*99/100 {
				most = (r.now() - begin).Seconds()
			}
		}
		took := (r.now() - begin).Seconds()
		out.Windows, out.Retry, out.Loads = r.windows(stretch), r.retry, r.loads()
		average := float64(orphans*99/100) / most / float64(len(out.Loads))
		then, all := 0.0, 0.0
		for _, w := range out.Windows {
			all = max(all, w.most/average)
			if w.mean >= average/2 { // the last few are too few to be spread by anything but chance
				then = max(then, w.most/w.mean)
			}
		}
		busiest := 0.0
		for _, load := range out.Loads {
			busiest = max(busiest, load)
		}
		out.Figures = []float64{
			then, all, float64(r.count.rehomed) / float64(orphans), most, took, busiest,
			float64(r.count.later) / float64(orphans), float64(r.count.moves),
		}
		return out
	},
}
