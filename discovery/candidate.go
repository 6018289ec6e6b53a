package discovery

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/svmgate/svmgate/store"
)

// A Candidate is an SVM and its place in the decision.
type Candidate struct {
	ID      store.SVMID `json:"id"`
	Name    string      `json:"name"`
	Address string      `json:"address"`

	// Rank is 1 for the first SVM of the answer, and 0 for one that was removed.
	Rank int `json:"rank"`
	// Removed is the rule that removed it, such as "F3 tag".
	Removed string `json:"removed,omitempty"`
	Reason  string `json:"reason"`

	Licensed bool           `json:"licensed"`
	KeyMatch bool           `json:"keyMatch"`
	Local    bool           `json:"local"`
	State    store.SVMState `json:"state"`
	Suspect  bool           `json:"suspect"` // by its state, or by what agents, probes and gateways say
	Held     bool           `json:"held"`    // down, and used as if it were not
	Settled  bool           `json:"settled"` // usable for so long that agents come back to it

	// Open is to how many eighths of agents it is open: 8 but for a slow start. Left is
	// the percentage of its agents whose turn to leave has come, while it drains.
	Open int `json:"open"`
	Left int `json:"left"`

	Load     int `json:"load"` // estimated agents
	Fair     int `json:"fair"` // its share of its class's agents; 0 if a filter removed it
	Capacity int `json:"capacity"`
	HardCap  int `json:"hardCap"`

	// Probe and Cost are its place in the agent's rendezvous order; Cost is in bits for
	// an agent of capacity.
	Probe int     `json:"probe"`
	Cost  float64 `json:"cost"`

	rule  rule
	index int
	group int
	place ranked
}

// Up reports whether the SVM takes agents at all: it is neither down nor draining.
func (c *Candidate) Up() bool { return c.State != store.Draining && (c.State != store.Down || c.Held) }

// Admitted reports whether the filters admit the agent, whatever the SVM's state and
// load: all of them but F6.
func (c *Candidate) Admitted() bool { return c.rule == passes }

var ruleNames = map[rule]string{
	ruleVersion: "F1 version", ruleProtection: "F2 protection", ruleTag: "F3 tag", ruleUpdates: "F4 updates",
	ruleScope: "F5 scope", ruleState: "F6 state", ruleDedication: "F7 dedication",
}

// hardCap stands where a rule removed an SVM for being at its hard cap.
const hardCap = "hard cap"

// An explainer finds an answer from all SVMs at once.
type explainer struct {
	*walk
	result Result
	all    []Candidate
	usable []*Candidate // in the usual order
	shares map[int]share

	first *Candidate // of the answer
	why   string     // it is
}

// look finds out what there is to know of each SVM, and the usual order of those that
// are usable.
func (x *explainer) look() {
	for _, m := range x.c.members {
		x.all = append(x.all, x.candidate(m))
	}
	x.placeLarge(x.all)
	x.shares = map[int]share{}
	for i := range x.all {
		c := &x.all[i]
		c.Probe, c.Cost = int(c.place.first), math.Ldexp(float64(c.place.cost), -58)
		if c.rule == passes {
			c.Fair = int(x.share(c.group).fair * uint64(c.Capacity) >> fairShift)
		}
		if c.Removed == "" {
			x.usable = append(x.usable, c)
		}
	}
	slices.SortFunc(x.usable, func(a, b *Candidate) int {
		return cmp.Or(compareBool(a.Suspect, b.Suspect), cmp.Compare(a.group, b.group), compareOrder(a, b))
	})
}

func compareOrder(a, b *Candidate) int {
	return cmp.Or(cmp.Compare(a.place.first, b.place.first), cmp.Compare(a.place.cost, b.place.cost),
		bytes.Compare(a.ID[:], b.ID[:]))
}

func compareBool(a, b bool) int { return cmp.Compare(b2u(a), b2u(b)) }

func (x *explainer) candidate(m member) Candidate {
	i := int(m.index)
	f, traits := &x.c.svms[i], x.s.ledger.accounts[i].traits.Load()
	c := Candidate{
		ID: f.entry.ID, Name: f.entry.Name, Address: f.entry.Address,
		Licensed: f.licensed, KeyMatch: keyMatches(f.key, x.os), Local: f.place.localTo(x.host, x.wide),
		State: x.s.table.Load(i).State(), Settled: traits&traitSettled != 0,
		Open: int(traits >> traitOpenShift & 15), Left: int(traits>>traitLeavingShift) * 100 / 65535,
		Load: max(0, x.s.agents(i)), Capacity: f.entry.Weight(), HardCap: f.entry.HardCap,
		rule: f.admits(x.area, x.c.words), index: i, group: 2*f.classOf(x.os) + 1,
		place: ranked{cost: cost(x.agent, m.hash, m.inverse), index: m.index},
	}
	c.Suspect = c.State == store.Suspect || traits&traitSuspect != 0
	c.Held = c.State == store.Down && traits&traitHeld != 0
	if x.preferLocal && c.Local {
		c.group--
	}
	switch {
	case c.rule != passes:
		c.Removed, c.Reason = ruleNames[c.rule], x.removedReason(c.rule, f)
	case x.hasFailed(m.index):
		c.Removed, c.Reason = ruleNames[ruleState], "the agent could not reach it"
	case c.State == store.Down && !c.Held:
		c.Removed, c.Reason = ruleNames[ruleState], "is down"
	case c.State == store.Draining:
		c.Removed, c.Reason = ruleNames[ruleState], "is draining: it takes no new agents"
	case x.s.full(i):
		c.Removed, c.Reason = hardCap, fmt.Sprintf("has %d agents, at most %d are allowed", c.Load, c.HardCap)
	}
	return c
}

// share works out what the SVMs of a group are measured by: those that were usable at
// the last pulse, whatever the agent says of them. Locals are a group of their own, and
// count among the rest of their class, too.
func (x *explainer) share(group int) share {
	if v, ok := x.shares[group]; ok {
		return v
	}
	var v share
	var load, capacity, above uint64
	each := func(fn func(a *account, agents uint64)) {
		for i := range x.all {
			if a := &x.s.ledger.accounts[x.all[i].index]; x.measures(group, &x.all[i]) {
				fn(a, uint64(max(0, a.then.Load())))
			}
		}
	}
	each(func(a *account, agents uint64) {
		load += agents
		capacity += uint64(a.weight.Load())
	})
	if capacity > 0 {
		v.fair = min((load+1)<<fairShift/capacity, maxFair)
		each(func(a *account, agents uint64) {
			if v.above(int(agents), a.weight.Load()) {
				above += agents
			}
		})
	}
	if above > 0 {
		v.moving = movingPart(load, above)
	}
	x.shares[group] = v
	return v
}

// measures reports whether an SVM counts in the share of a group.
func (x *explainer) measures(group int, c *Candidate) bool {
	member := c.group == group || group%2 == 1 && c.group == group-1
	return c.rule == passes && member && x.s.ledger.accounts[c.index].traits.Load()&traitUsable != 0
}

// placeLarge works out first probes where classes are large.
func (x *explainer) placeLarge(list []Candidate) {
	if len(x.c.members) <= SmallClass {
		return
	}
	size := map[[3]bool]int{} // licensed, key match, and whether counted as local
	for _, m := range x.c.members {
		f := &x.c.svms[m.index]
		if f.admits(x.area, x.c.words) != passes {
			continue
		}
		k := [3]bool{f.licensed, keyMatches(f.key, x.os), false}
		size[k]++
		if k[2] = x.preferLocal && f.place.localTo(x.host, x.wide); k[2] {
			size[k]++
		}
	}
	met := map[uint32]uint64{}
	for i := range MaxProbes {
		for _, index := range x.c.circle.all.ownersOf(probe(x.agent, i)) {
			if _, ok := met[uint32(index)]; !ok {
				met[uint32(index)] = uint64(i)
			}
		}
	}
	for i := range list {
		c := &list[i]
		if size[[3]bool{c.Licensed, c.KeyMatch, c.Local && x.preferLocal}] <= SmallClass {
			continue
		}
		var ok bool
		if c.place.first, ok = met[uint32(c.index)]; !ok {
			c.place.first = MaxProbes
		}
	}
}

func (x *explainer) removedReason(r rule, f *svmFacts) string {
	e := f.entry
	switch r {
	case ruleVersion:
		return fmt.Sprintf("SVM version %q does not suit the agent's", e.SVMFacts.Version)
	case ruleProtection:
		if x.area.protection() {
			return "the agent's connection is protected, and the SVM has encryption off"
		}
		return "the agent's connection is not protected, and the SVM has encryption on and does not allow that"
	case ruleTag:
		if len(e.Tags) == 0 {
			return "the agent has a tag, and the SVM lists none"
		}
		return fmt.Sprintf("the SVM takes only agents with one of the tags %q", e.Tags)
	case ruleUpdates:
		return fmt.Sprintf("has updates for %v agents only", e.Kinds)
	case ruleScope:
		level := store.PathLevel(x.area.part() - scoped)
		return fmt.Sprintf("is not on the VM's %s, which the extended algorithm requires", level)
	default:
		return fmt.Sprintf("is dedicated to %d tenants, and the VM's is not among them", len(e.Tenants))
	}
}
