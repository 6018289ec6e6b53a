package discovery

import (
	"fmt"

	"github.com/svmgate/svmgate/store"
)

// An Explanation tells a person why an agent gets the answer it gets.
type Explanation struct {
	BIOS     store.BIOSID     `json:"biosId"`
	Result   string           `json:"result"`
	Sentence string           `json:"sentence"`
	Tenant   *ExplainedTenant `json:"tenant,omitempty"`
	Facts    ExplainedFacts   `json:"facts"`

	// Has is the SVM that the agent has; nil if it has none.
	Has *ExplainedSVM `json:"has,omitempty"`

	// Candidates are all SVMs of the table: those that are ranked, best first,
	// then those that are not, in the order of their ids.
	Candidates []Candidate `json:"candidates"`

	Revision uint64 `json:"revision"`
}

// ExplainedSVM is the SVM that an agent has.
type ExplainedSVM struct {
	SVMName
	Says  bool `json:"says"`  // by what the agent says; else by what is remembered
	Keeps bool `json:"keeps"` // it is the first of the answer
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

// Explain tells how q would be answered, and why. It changes nothing, and takes
// time in proportion to the SVMs of the table.
//
// It is also a check: it finds the answer anew, slowly and plainly, from all SVMs at
// once, and TestExplainAgreesWithDecide holds it to [Selector.Decide].
func (s *Selector) Explain(q *Query) Explanation {
	var a Answer
	asked := *q
	asked.Limit = MaxLimit
	c, slot, ok := s.decide(&asked, &a)
	return s.explain(&asked, &a, c, slot, ok)
}

// ExplainNewcomer is [Selector.Explain] for a VM that is in no table, as if it were
// registered for a tenant and nothing else were known of it than what q tells. It is
// false if there is no such tenant.
func (s *Selector) ExplainNewcomer(tenant store.TenantID, q *Query) (Explanation, bool) {
	i := s.catalog.Load().tenantIndex(tenant)
	if i < 0 {
		return Explanation{}, false
	}
	var a Answer
	asked := *q
	asked.Limit, asked.Authenticated = MaxLimit, false
	slot := store.Stranger(i, hashAgent(q.BIOS))
	c, ok := s.decideFor(&asked, &a, slot, true, false)
	e := s.explain(&asked, &a, c, slot, ok)
	e.Facts.Path = store.Path{} // that of a VM with this id, if there is one
	return e, ok
}

// explain explains the answer to a question for the VM of a slot.
func (s *Selector) explain(asked *Query, a *Answer, c *catalog, slot store.Slot, ok bool) Explanation {
	e := Explanation{BIOS: asked.BIOS, Result: a.Result.String(), Revision: a.Revision, Candidates: []Candidate{}}
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
	w := walk{s: s, c: c, q: asked, a: a, agent: hashAgent(asked.BIOS), version: c.words.class(asked.Version)}
	w.prepare(t, slot, ok)
	e.Facts = s.explainFacts(&w, t, asked, slot, ok)
	x := explainer{walk: &w, result: a.Result}
	x.look()
	if a.Result == TenantInactive {
		e.Sentence = fmt.Sprintf("inactive: the tenant is complete and inactive, so its agents are given %s, where no SVM is",
			s.dead.SVM.Address)
		x.refuseAll("the tenant is inactive")
	} else {
		x.decide()
		e.Sentence = x.sentence()
		if has := x.has(); has != nil {
			e.Has = &ExplainedSVM{SVMName{has.ID, has.Name}, w.says, has.Rank == 1}
		}
	}
	e.Candidates = x.all
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
