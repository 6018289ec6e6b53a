package discovery

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/svmgate/svmgate/store"
)

// An Explanation tells a person why an agent gets the answer it gets.
type Explanation struct {
	BIOS     store.BIOSID     `json:"biosId"`
	Result   string           `json:"result"`
	Sentence string           `json:"sentence"`
	Tenant   *ExplainedTenant `json:"tenant,omitempty"`
	Facts    ExplainedFacts   `json:"facts"`

	// Candidates are all SVMs of the table: those that are ranked, best first,
	// then those that are not, in the order of their ids.
	Candidates []Candidate `json:"candidates"`

	Revision uint64 `json:"revision"`
}

// ExplainedTenant is the tenant of the VM.
type ExplainedTenant struct {
	ID     store.TenantID     `json:"id"`
	Name   string             `json:"name"`
	Type   store.TenantType   `json:"type"`
	Status store.TenantStatus `json:"status"`
}

// ExplainedFacts are what the decision was made from, after the query, the VM's
// record and the tenant's settings were put together.
type ExplainedFacts struct {
	Version    string          `json:"version"` // as number.number; empty if unknown
	OS         store.GuestOS   `json:"os"`
	Kind       store.AgentKind `json:"kind"`
	Tag        string          `json:"tag"`
	Protection bool            `json:"protection"`
	Algorithm  store.Algorithm `json:"algorithm"`
	Scope      store.PathLevel `json:"scope"` // ignore: the whole infrastructure
	Load       store.Load      `json:"load"`
	Path       store.Path      `json:"path"`
}

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
	Load     int            `json:"load"` // estimated agents
	Capacity int            `json:"capacity"`

	index int
	place ranked
}

var ruleNames = map[rule]string{
	ruleVersion: "F1 version", ruleProtection: "F2 protection", ruleTag: "F3 tag", ruleUpdates: "F4 updates",
	ruleScope: "F5 scope", ruleState: "F6 state", ruleDedication: "F7 dedication",
}

// Explain tells how q would be answered, and why. It changes nothing, and takes
// time in proportion to the SVMs of the table.
func (s *Selector) Explain(q *Query) Explanation {
	var a Answer
	asked := *q
	asked.Limit = MaxLimit
	c, slot, ok := s.decide(&asked, &a)
	e := Explanation{BIOS: q.BIOS, Result: a.Result.String(), Revision: a.Revision, Candidates: []Candidate{}}
	if a.Result == NotRegistered {
		e.Sentence = "not registered: no VM with this BIOS ID is known, and unregistered VMs are denied"
		return e
	}
	t := &c.tenants[0]
	if ok {
		t = &c.tenants[slot.Tenant()]
		if tenant := c.view.Tenant(slot.Tenant()); tenant != nil {
			e.Tenant = &ExplainedTenant{ID: tenant.ID, Name: tenant.Name, Type: tenant.Type, Status: tenant.Status}
		}
	}
	w := walk{s: s, c: c, q: &asked, a: &a, agent: hashAgent(q.BIOS), version: c.words.class(q.Version)}
	w.prepare(t, slot, ok)
	e.Facts = s.explainFacts(&w, t, q, slot, ok)
	if a.Result == TenantInactive {
		e.Sentence = fmt.Sprintf("inactive: the tenant is complete and inactive, so its agents are given %s, where no SVM is",
			s.dead.SVM.Address)
	}
	e.Candidates = w.candidates(a.Result)
	if e.Sentence == "" {
		e.Sentence = sentence(a.Result, e.Candidates)
	}
	return e
}

func (s *Selector) explainFacts(w *walk, t *tenantFacts, q *Query, slot store.Slot, ok bool) ExplainedFacts {
	f := ExplainedFacts{
		OS: w.os, Kind: w.base.kind(), Protection: w.base.protection(), Load: w.load,
		Algorithm: store.Extended, Scope: store.PathIgnore, Version: w.versionText(q, slot, ok),
	}
	if w.preferLocal {
		f.Algorithm = store.Standard
	}
	if p := w.area.part(); p >= scoped {
		f.Scope = store.PathLevel(p - scoped)
	}
	tenant := w.c.view.Tenant(slot.Tenant())
	if ok && tenant != nil {
		f.Tag = tenant.Discovery.Tag
	}
	if !t.locked && q.Tag.Set {
		f.Tag = string(q.Tag.V)
	}
	if vm, found := s.table.VM(q.BIOS); found && ok {
		f.Path = vm.Path
	}
	return f
}

func (w *walk) versionText(q *Query, slot store.Slot, ok bool) string {
	if !q.Version.IsZero() {
		return q.Version.String()
	}
	if !ok {
		return ""
	}
	if v := w.c.view.Version(slot.Version()); !v.IsZero() {
		return v.String()
	}
	if tenant := w.c.view.Tenant(slot.Tenant()); tenant != nil {
		v, _ := store.ParseProductVersion(tenant.Discovery.AgentVersion)
		return v.String()
	}
	return ""
}

// candidates ranks all SVMs plainly: it computes every place and sorts. The fast
// path is held to it by a test.
func (w *walk) candidates(result Result) []Candidate {
	out := make([]Candidate, 0, len(w.c.members))
	for _, m := range w.c.members {
		out = append(out, w.candidate(m, result))
	}
	w.placeLarge(out)
	ranked := func(c *Candidate) bool { return c.Removed == "" && result != TenantInactive }
	slices.SortFunc(out, func(a, b Candidate) int {
		if ranked(&a) != ranked(&b) {
			return compareBool(ranked(&b), ranked(&a))
		}
		if !ranked(&a) {
			return bytes.Compare(a.ID[:], b.ID[:])
		}
		if result == OverCapacity {
			return w.compare(&a, &b)
		}
		return cmp.Or(
			compareBool(a.State == store.Suspect, b.State == store.Suspect), compareBool(b.Licensed, a.Licensed),
			compareBool(b.KeyMatch, a.KeyMatch), compareBool(b.Local && w.preferLocal, a.Local && w.preferLocal),
			w.compare(&a, &b))
	})
	w.leastFirst(out, result)
	for i := range out {
		if ranked(&out[i]) {
			out[i].Rank = i + 1
			out[i].Reason = w.rankReason(&out[i], result)
		} else if out[i].Removed == "" {
			out[i].Reason = "the tenant is inactive"
		}
	}
	return out
}

func (w *walk) compare(a, b *Candidate) int {
	return cmp.Or(cmp.Compare(a.place.first, b.place.first), cmp.Compare(a.place.cost, b.place.cost),
		bytes.Compare(a.ID[:], b.ID[:]))
}

func compareBool(a, b bool) int { return cmp.Compare(b2u(a), b2u(b)) }

func (w *walk) candidate(m member, result Result) Candidate {
	f := &w.c.svms[m.index]
	load := w.s.table.Load(int(m.index))
	c := Candidate{
		ID: f.entry.ID, Name: f.entry.Name, Address: f.entry.Address,
		Licensed: f.licensed, KeyMatch: keyMatches(f.key, w.os), Local: f.place.localTo(w.host, w.wide),
		State: load.State(), Load: w.s.agents(int(m.index)), Capacity: f.entry.Weight(),
		index: int(m.index), place: ranked{cost: cost(w.agent, m.hash, m.inverse), index: m.index},
	}
	r := f.admits(w.area, w.c.words)
	switch {
	case r != passes:
	case c.State == store.Down, c.State == store.Draining, slices.Contains(w.failed[:w.nFailed], m.index):
		r = ruleState
	case result == OverCapacity:
		c.place.first = uint64(max(0, c.Load)) << 32 / uint64(c.Capacity)
	case w.s.full(int(m.index)):
		c.Removed, c.Reason = "hard cap", fmt.Sprintf("has %d agents, at most %d are allowed", c.Load, f.entry.HardCap)
	}
	if r != passes {
		c.Removed, c.Reason = ruleNames[r], w.removedReason(r, f, &c)
	}
	return c
}

// placeLarge works out first probes where classes are large.
func (w *walk) placeLarge(list []Candidate) {
	if len(w.c.members) <= SmallClass || w.a.Result == OverCapacity {
		return
	}
	size := map[[3]bool]int{} // licensed, key match, and whether counted as local
	for _, m := range w.c.members {
		f := &w.c.svms[m.index]
		if f.admits(w.area, w.c.words) != passes {
			continue
		}
		k := [3]bool{f.licensed, keyMatches(f.key, w.os), false}
		size[k]++
		if k[2] = w.preferLocal && f.place.localTo(w.host, w.wide); k[2] {
			size[k]++
		}
	}
	met := map[uint32]uint64{}
	for i := range MaxProbes {
		slot := probe(w.agent, i)
		if w.c.circle.all.slots.at(slot) == 0 {
			continue
		}
		for _, index := range w.c.circle.ownersOf(slot, &w.c.circle.owners[slot]) {
			if _, ok := met[uint32(index)]; !ok {
				met[uint32(index)] = uint64(i)
			}
		}
	}
	for i := range list {
		c := &list[i]
		if size[[3]bool{c.Licensed, c.KeyMatch, c.Local && w.preferLocal}] <= SmallClass {
			continue
		}
		var ok bool
		if c.place.first, ok = met[uint32(c.index)]; !ok {
			c.place.first = MaxProbes
		}
	}
}

// leastFirst applies store.Fewest: the least loaded of the best group leads.
func (w *walk) leastFirst(list []Candidate, result Result) {
	if w.load != store.Fewest || result != Assigned {
		return
	}
	lead, group := 0, 0
	for group < len(list) && list[group].Removed == "" && sameGroup(&list[0], &list[group], w.preferLocal) {
		if list[group].Load < list[lead].Load {
			lead = group
		}
		group++
	}
	first := list[lead]
	copy(list[1:lead+1], list[:lead])
	list[0] = first
}

func sameGroup(a, b *Candidate, local bool) bool {
	return (a.State == store.Suspect) == (b.State == store.Suspect) && a.Licensed == b.Licensed &&
		a.KeyMatch == b.KeyMatch && (!local || a.Local == b.Local)
}

func (w *walk) rankReason(c *Candidate, result Result) string {
	var parts []string
	say := func(ok bool, yes, no string) {
		if ok {
			parts = append(parts, yes)
		} else if no != "" {
			parts = append(parts, no)
		}
	}
	say(c.State == store.Suspect, "suspect, so it comes last", "")
	say(c.Licensed, "licence valid", "no valid licence")
	say(c.KeyMatch, "key suits the guest", "key does not suit the guest")
	if w.preferLocal {
		say(c.Local, "local", "not local")
	}
	if result == OverCapacity {
		parts = append(parts, "every usable SVM is at its hard cap: by load")
	} else if w.load == store.Fewest && c.Rank == 1 {
		parts = append(parts, "fewest agents")
	}
	return strings.Join(parts, ", ")
}

func (w *walk) removedReason(r rule, f *svmFacts, c *Candidate) string {
	e := f.entry
	switch r {
	case ruleVersion:
		return fmt.Sprintf("SVM version %q does not suit the agent's", e.SVMFacts.Version)
	case ruleProtection:
		if w.area.protection() {
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
		level := store.PathLevel(w.area.part() - scoped)
		return fmt.Sprintf("is not on the VM's %s, which the extended algorithm requires", level)
	case ruleDedication:
		return fmt.Sprintf("is dedicated to %d tenants, and the VM's is not among them", len(e.Tenants))
	default:
		if c.State == store.Down || c.State == store.Draining {
			return "is " + c.State.String()
		}
		return "the agent could not reach it"
	}
}

func sentence(result Result, list []Candidate) string {
	if len(list) == 0 {
		return "no_svm: the table has no SVM"
	}
	first := &list[0]
	switch result {
	case Assigned:
		alike := 0
		for i := range list {
			if list[i].Rank > 0 && sameGroup(first, &list[i], true) {
				alike++
			}
		}
		return fmt.Sprintf("%s at %s: %s; first of %d alike", nameOf(first), first.Address, first.Reason, alike)
	case OverCapacity:
		return fmt.Sprintf("%s at %s: every usable SVM is at its hard cap, and this one is the least loaded",
			nameOf(first), first.Address)
	default:
		removed := map[string]int{}
		var rules []string
		for i := range list {
			if removed[list[i].Removed]++; removed[list[i].Removed] == 1 {
				rules = append(rules, list[i].Removed)
			}
		}
		slices.Sort(rules)
		for i, r := range rules {
			rules[i] = fmt.Sprintf("%s removed %d", r, removed[r])
		}
		return "no_svm: of " + fmt.Sprint(len(list)) + " SVMs none is left: " + strings.Join(rules, ", ")
	}
}

func nameOf(c *Candidate) string {
	if c.Name != "" {
		return c.Name
	}
	return c.ID.String()
}
