package sim

import (
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A sight is what a run has seen, and room to see with.
type sight struct {
	answer discovery.Answer
	failed [discovery.DefaultLimit]store.SVMID

	count    counts
	peak     float64 // greatest load of an SVM for its fair share, since it was last reset
	overshot float64 // greatest part of a hard cap above it

	emptiest float64 // the least part of its hard cap that a local SVM had when an agent was sent past it

	busiest []float64   // peak of each second
	retry   map[int]int // agents told to come later, by seconds
	rates   *rates      // nil: nobody asks
}

// counts are of what happened since they were last reset.
type counts struct {
	questions int
	failures  int // connections to an SVM that was down
	moves     int // of agents from an SVM that was up, but for silent agents'
	silent    int // the same, of silent agents
	rehomed   int // orphans that are connected again
	later     int
	refusals  int // answers with no SVM to connect to
	early     int // of them, while an SVM had room
	arrivals  int
}

// rates counts connections by time and SVM.
type rates struct {
	since   int // tick
	seconds [][]uint16
}

// fair is an SVM's fair share of agents: all of its pool are meant, connected or not.
func (r *run) fair(i int) float64 {
	s := &r.svms[i]
	p := &r.pools[s.pool]
	return float64(p.agents) * float64(s.capacity) / float64(p.capacity)
}

// load is an SVM's load, for its fair share.
func (r *run) load(i int) float64 { return float64(r.svms[i].connected) / r.fair(i) }

// loads are those of the SVMs that are up.
func (r *run) loads() (list []float64) {
	for i := range r.svms {
		if r.svms[i].up {
			list = append(list, r.load(i))
		}
	}
	return list
}

// reset begins to count anew.
func (r *run) reset() {
	r.count, r.peak, r.overshot, r.emptiest = counts{}, 0, 0, 1
	for i := range r.pools {
		r.pools[i].peak = 0
	}
	for i := range r.svms {
		p, load := &r.pools[r.svms[i].pool], r.load(i)
		r.peak, p.peak = max(r.peak, load), max(p.peak, load)
	}
}

// peaks are those of the tenants that have SVMs of their own, by kind.
func (r *run) peaks() (list []float64) {
	at := 1
	for _, kind := range r.Tenants {
		peak := 0.0
		for range kind.Count {
			peak = max(peak, r.pools[at].peak)
			at++
		}
		list = append(list, peak)
	}
	return list
}

// look notes how things are, once a second.
func (r *run) look() {
	busiest := 0.0
	for i := range r.svms {
		if r.svms[i].up {
			busiest = max(busiest, r.load(i))
		}
	}
	r.busiest = append(r.busiest, busiest)
	if r.rates != nil {
		r.rates.seconds = append(r.rates.seconds, make([]uint16, len(r.svms)))
	}
}

// watch begins to count connections by second and SVM.
func (r *run) watch() {
	r.rates = &rates{since: r.tick, seconds: [][]uint16{make([]uint16, len(r.svms))}}
}

// connected notes that an agent is connected to an SVM, which counts it already.
func (r *run) connected(ag *agent, to int) {
	s := &r.svms[to]
	r.count.arrivals++
	p, load := &r.pools[s.pool], r.load(to)
	r.peak, p.peak = max(r.peak, load), max(p.peak, load)
	if s.hardCap > 0 {
		r.overshot = max(r.overshot, float64(s.connected-s.hardCap)/float64(s.hardCap))
	}
	if ag.orphan {
		r.count.rehomed++
	}
	if r.rates != nil {
		r.rates.seconds[len(r.rates.seconds)-1][to]++
	}
}

func (r *run) moved(ag *agent) {
	if ag.silent {
		r.count.silent++
	} else {
		r.count.moves++
	}
}

func (r *run) later(seconds int) {
	r.count.later++
	if r.retry == nil {
		r.retry = map[int]int{}
	}
	r.retry[seconds]++
}

// refused notes that an agent was given nothing to connect to.
func (r *run) refused(ag *agent) {
	r.count.refusals++
	for i := range r.svms {
		if s := &r.svms[i]; s.pool == int(ag.pool) && s.up && s.room() {
			r.count.early++
			return
		}
	}
}

// room reports whether an SVM is below its hard cap, with all that are on their way.
func (s *svm) room() bool { return s.hardCap == 0 || s.connected+s.coming < s.hardCap }

// chosen notes where an answer sends an agent.
func (r *run) chosen(a int32) {
	if r.hosts == nil {
		return
	}
	ag, local := &r.agents[a], r.hosts[a]
	if s := &r.svms[local]; int(ag.list[0]) != local && s.up {
		r.emptiest = min(r.emptiest, float64(s.connected+s.coming)/float64(s.hardCap))
	}
}

// nearby is how many agents are connected to the SVM of their host, for those of hosts
// that have room for all and for all, as a part of how many could be.
func (r *run) nearby() (roomy, all float64) {
	demand, local := make([]int, len(r.svms)), make([]int, len(r.svms))
	for a, host := range r.hosts {
		demand[host]++
		if int(r.agents[a].svm) == host {
			local[host]++
		}
	}
	var sum, could [2]int
	for host := range demand {
		hardCap := r.svms[host].hardCap
		if demand[host] <= hardCap {
			sum[0], could[0] = sum[0]+local[host], could[0]+demand[host]
		}
		sum[1], could[1] = sum[1]+local[host], could[1]+min(demand[host], hardCap)
	}
	return float64(sum[0]) / float64(could[0]), float64(sum[1]) / float64(could[1])
}

// disagreement is the part of agents that say what they are connected to that two
// gateways, asked in turn, send to different SVMs.
func (r *run) disagreement() float64 {
	asked, differ := 0, 0
	var other discovery.Answer
	for a := range r.agents {
		ag := &r.agents[a]
		if ag.silent || ag.svm == nowhere || ag.step != asks {
			continue
		}
		one := r.rand.IntN(len(r.gateways))
		two := (one + 1 + r.rand.IntN(len(r.gateways)-1)) % len(r.gateways)
		q := r.question(int32(a))
		r.gateways[one].selector.Decide(&q, &r.answer)
		r.gateways[two].selector.Decide(&q, &other)
		asked++
		if first(&r.answer) != first(&other) {
			differ++
		}
	}
	return float64(differ) / float64(max(1, asked))
}

// first is the SVM that an answer names first.
func first(a *discovery.Answer) store.SVMID {
	if list := a.SVMs(); len(list) > 0 {
		return list[0].SVM.ID
	}
	return store.SVMID{}
}

// window is how evenly SVMs got connections in one stretch of time.
type window struct {
	most, mean float64 // connections a second and SVM
}

// windows sums up, for each stretch of so many seconds, from the first second on, the
// connections of the SVMs that are up.
func (r *run) windows(stretch time.Duration) (list []window) {
	n := int(stretch / time.Second)
	for from := 0; from+n <= len(r.rates.seconds); from += n {
		var w window
		up := 0
		for i := range r.svms {
			if !r.svms[i].up {
				continue
			}
			up++
			sum := 0
			for _, second := range r.rates.seconds[from : from+n] {
				if i < len(second) {
					sum += int(second[i])
				}
			}
			w.most = max(w.most, float64(sum)/float64(n))
			w.mean += float64(sum) / float64(n)
		}
		w.mean /= float64(up)
		list = append(list, w)
	}
	return list
}
