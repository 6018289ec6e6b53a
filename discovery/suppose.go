package discovery

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/svmgate/svmgate/store"
)

// suppose returns a selector over a table as the change would make it. It has a ledger
// of its own and no goroutine.
func (s *Selector) suppose(change *Change) (*Selector, error) {
	c := s.catalog.Load()
	supposition := store.Supposition{Down: change.Lose, Active: map[store.TenantID]bool{}}
	for _, id := range change.Lose {
		if _, ok := c.byID[id]; !ok {
			return nil, &ChangeError{"Lose", fmt.Errorf("SVM %s: %w", id, store.ErrNotFound)}
		}
	}
	for _, id := range change.Activate {
		if c.tenantIndex(id) < 0 {
			return nil, &ChangeError{"Activate", fmt.Errorf("tenant %s: %w", id, store.ErrNotFound)}
		}
		supposition.Active[id] = true
	}
	for _, id := range change.Deactivate {
		if c.tenantIndex(id) < 0 {
			return nil, &ChangeError{"Deactivate", fmt.Errorf("tenant %s: %w", id, store.ErrNotFound)}
		}
		if supposition.Active[id] {
			return nil, &ChangeError{"Deactivate", fmt.Errorf("tenant %s is to be activated, too", id)}
		}
		supposition.Active[id] = false
	}
	var err error
	if supposition.Add, err = c.newSVMs(change); err != nil {
		return nil, err
	}
	table, err := s.table.Suppose(supposition)
	if err != nil {
		return nil, &ChangeError{"Add", err}
	}
	next := &Selector{
		table: table, matrix: s.matrix, log: slog.New(slog.DiscardHandler), serve: s.serve, level: s.level,
		dead: s.dead, policy: s.policy, start: s.start, returnAfter: s.returnAfter, misses: make(chan miss, 16),
	}
	next.ledger = newLedger(next)
	table.Observe(next.follow)()
	next.takeAccounts(s, change)
	return next, nil
}

// takeAccounts makes the ledger what another selector's is, for a gateway that answers
// all agents: what that one has not told yet counts once. SVMs that it does not know
// have just come up.
func (s *Selector) takeAccounts(from *Selector, change *Change) {
	to, view := s.ledger, s.catalog.Load().view
	to.window.Store(from.ledger.window.Load())
	to.calm.Store(from.ledger.calm.Load())
	alone, known := from.ledger.gateways.Load() == 1, from.catalog.Load().view.NumSVMs()
	for i := range view.NumSVMs() {
		e := view.SVM(i)
		if e == nil {
			continue
		}
		had, picks := &from.ledger.accounts[i], s.table.Picks(i)
		agents, traits := int32(s.table.Agents(i)), uint32(1<<traitOpenShift)
		switch {
		case i < known:
			agents, traits = had.agents(picks), had.traits.Load()
		case known == 0: // nobody is older
			traits = slowStartSteps<<traitOpenShift | traitSettled
		}
		if slices.Contains(change.Lose, e.ID) {
			traits &^= traitHeld
		}
		ceiling := int32(e.HardCap) - agents + picks
		if alone && i < known {
			ceiling = had.ceiling.Load()
		}
		if traits &^= traitCapped; e.HardCap > 0 {
			traits |= traitCapped
		}
		to.publish(i, 1<<32|uint64(uint32(agents-picks)), ceiling, agents, int32(e.Weight()), traits)
	}
	s.pulse()
}

// pulse brings loads, and who is usable, up to date.
func (s *Selector) pulse() {
	l, view := s.ledger, s.catalog.Load().view
	for i := range view.NumSVMs() {
		if view.SVM(i) == nil {
			continue
		}
		a := &l.accounts[i]
		traits := a.traits.Load() &^ traitUsable
		up := s.table.Load(i).State() == store.Ready || traits&traitHeld != 0
		if up && traits&traitSuspect == 0 && !s.full(i) {
			traits |= traitUsable
		}
		a.then.Store(int32(s.agents(i)))
		a.traits.Store(traits)
	}
	l.pulse.Add(1)
}

// endTurns lets all that goes by time or by turns be through, or due.
func (s *Selector) endTurns() {
	const turns = slowStartSteps<<traitOpenShift | (1<<16-1)<<traitLeavingShift
	s.ledger.due = true
	s.ledger.calm.Store(true)
	for i := range s.catalog.Load().view.NumSVMs() {
		a := &s.ledger.accounts[i]
		traits := a.traits.Load() &^ (15 << traitOpenShift)
		if s.table.Load(i).State() == store.Ready || traits&traitHeld != 0 {
			traits |= traitSettled
		}
		a.traits.Store(traits | turns)
	}
	s.pulse()
}

// newSVMs returns the SVMs that come.
func (c *catalog) newSVMs(change *Change) ([]store.SVM, error) {
	if change.More < 0 || change.More > MaxMore {
		return nil, &ChangeError{"More", fmt.Errorf("%d SVMs; want 0 to %d", change.More, MaxMore)}
	}
	add := make([]store.SVM, 0, len(change.Add)+change.More)
	for i, svm := range change.Add {
		if svm.ID.IsZero() {
			svm.ID = madeUp("added", i)
		}
		add = append(add, svm)
	}
	if change.More == 0 {
		return add, nil
	}
	like := c.usual(change.Like)
	if like == nil {
		if change.Like.IsZero() {
			return nil, &ChangeError{"More", errors.New("there is no SVM that they could be like")}
		}
		return nil, &ChangeError{"Like", fmt.Errorf("SVM %s: %w", change.Like, store.ErrNotFound)}
	}
	for i := range change.More {
		svm := like.SVM
		svm.ID, svm.Name = madeUp("more", i), fmt.Sprintf("new-%d", i+1)
		svm.Path.Host, svm.ConnectedAgents, svm.State = "", 0, store.Ready
		add = append(add, svm)
	}
	return add, nil
}

// usual returns the SVM with the given id or, if that is zero, the first by id of the
// kind of which there are most; nil if there is none.
func (c *catalog) usual(id store.SVMID) *store.SVMEntry {
	if !id.IsZero() {
		if i, ok := c.byID[id]; ok {
			return c.svms[i].entry
		}
		return nil
	}
	count, first := map[string]int{}, map[string]*store.SVMEntry{}
	for i := range c.svms {
		e := c.svms[i].entry
		if e == nil {
			continue
		}
		kind := kindOf(&c.svms[i])
		if count[kind]++; first[kind] == nil || compareIDs(e.ID, first[kind].ID) < 0 {
			first[kind] = e
		}
	}
	var usual *store.SVMEntry
	most := 0
	for kind, n := range count {
		if n > most || n == most && compareIDs(first[kind].ID, usual.ID) < 0 {
			usual, most = first[kind], n
		}
	}
	return usual
}

// kindOf is the same text for SVMs that are alike but for names and places.
func kindOf(f *svmFacts) string {
	return fmt.Sprint(f.version, f.kinds, f.key, f.licensed, f.encryption, f.open, f.tags, f.tenants, f.entry.LargeInfra,
		f.entry.Platform == store.OpenStack, f.entry.Weight(), f.entry.HardCap)
}

// madeUp returns an id that depends on its arguments alone, so that asking twice gets
// the same answer.
func madeUp(what string, i int) (id store.SVMID) {
	for half := range 2 {
		binary.BigEndian.PutUint64(id[8*half:], xxhash.Sum64String(fmt.Sprint("svmgate what if ", what, i, half)))
	}
	return id
}

// tenantIndex returns the index of a tenant that there is, or -1.
func (c *catalog) tenantIndex(id store.TenantID) int {
	if i := slices.Index(c.ids, id); i > 0 && !c.tenants[i].gone {
		return i
	}
	return -1
}

func compareIDs(a, b store.SVMID) int { return bytes.Compare(a[:], b[:]) }
