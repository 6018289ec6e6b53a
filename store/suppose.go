package store

import (
	"fmt"
	"slices"
	"time"
)

// A Supposition is a change that somebody asks about before making it.
type Supposition struct {
	Down   []SVMID           // SVMs that go down
	Add    []SVM             // SVMs that come, with a report; ids must be new
	Active map[TenantID]bool // tenants that are activated (true) or deactivated (false)
}

// Suppose returns a table that is as t would be after a change, and does not change t:
// there, SVMs have the same indexes, and those that come the next ones. Picks that are
// counted in one table are not counted in the other.
//
// The result is for questions: it has VMs (as they were, but what is remembered of
// them is shared with t and must not be written), a view, loads and states. It does
// not follow t, whatever else is asked of it is empty, and writes fail with [ErrClosed].
// It costs memory for SVMs and tenants, not for VMs, and needs no Close.
//
// The error is a [*FieldError], or wraps [ErrNotFound], [ErrExists] or [ErrFull].
func (t *Table) Suppose(s Supposition) (*Table, error) {
	next := newTable(Config{SVMTTL: t.ttl})
	next.closed, next.start = true, t.start
	t.mu.RLock()
	defer t.mu.RUnlock()
	view := *t.view.Load()
	view.tenants, view.svms = slices.Clone(view.tenants), slices.Clone(view.svms)
	for id, active := range s.Active {
		if err := t.supposeActive(&view, id, active); err != nil {
			return nil, err
		}
	}
	for i := range view.svms {
		next.loads[i].copy(&t.loads[i])
		next.picks[i].Store(t.picks[i].Load())
	}
	for i := range next.ready {
		next.ready[i].Store(t.ready[i].Load())
	}
	for _, id := range s.Down {
		i, ok := t.svmIndex[id]
		if !ok || i >= len(view.svms) || view.svms[i] == nil {
			return nil, fmt.Errorf("SVM %s: %w", id, ErrNotFound)
		}
		next.loads[i].state.Store(uint32(Down))
		next.ready[i/64].And(^(uint64(1) << (i % 64)))
	}
	for i := range s.Add {
		if err := t.supposeSVM(next, &view, &s.Add[i]); err != nil {
			return nil, err
		}
	}
	next.view.Store(&view)
	next.vms.live.Store(t.vms.live.Load())
	for i := range next.vms.shards {
		next.vms.shards[i].slots.Store(t.vms.shards[i].slots.Load())
	}
	return next, nil
}

func (t *Table) supposeActive(view *View, id TenantID, active bool) error {
	was := t.tenant(id)
	if was == nil {
		return fmt.Errorf("tenant %s: %w", id, ErrNotFound)
	}
	is := *was
	if is.Status = Inactive; active {
		is.Status = Active
	}
	view.tenants[t.symbols.tenantIndex[id]] = &is
	return nil
}

// supposeSVM adds an SVM to a view, and to the loads and states of next. Names in its
// path that no VM and no SVM has get no symbol: they equal nothing.
func (t *Table) supposeSVM(next *Table, view *View, s *SVM) error {
	row := svmConfigRow{SVMConfig: s.SVMConfig, Wanted: s.State}
	if err := row.validate(); err != nil {
		return err
	}
	if err := validateReport(&s.SVMFacts, s.ConnectedAgents); err != nil {
		return err
	}
	exists := slices.ContainsFunc(view.svms, func(e *SVMEntry) bool { return e != nil && e.ID == s.ID })
	switch {
	case s.ID.IsZero():
		return fieldError("id", s.ID.String(), "must not be empty or zero, which means the SVM that does not exist")
	case exists:
		return fmt.Errorf("SVM %s: %w", s.ID, ErrExists)
	case len(view.svms) >= MaxSVMs:
		return fmt.Errorf("%w: %d SVMs, forgotten ones included", ErrFull, MaxSVMs)
	}
	now, names := time.Now(), t.symbols.byName
	version, _ := ParseProductVersion(s.Version)
	e := &SVMEntry{
		SVM: *s, Index: len(view.svms), Version: version,
		Symbols:  PathSymbols{names[s.Path.Host], names[s.Path.Cluster], names[s.Path.Zone]},
		Licensed: licensed(&s.License, now), wanted: s.State,
	}
	e.Tags, e.Tenants, e.Kinds = notNil(e.Tags), notNil(e.Tenants), notNil(e.Kinds)
	view.svms = append(view.svms, e)
	next.loads[e.Index].report(loadRow{Connected: s.ConnectedAgents, Reported: Time{now}}, 0, now.Sub(next.start))
	next.settle(e, now.Sub(next.start))
	return nil
}

// copy makes l what another is.
func (l *SVMLoad) copy(from *SVMLoad) {
	l.state.Store(from.state.Load())
	l.reported.Store(from.reported.Load())
	l.base.Store(from.base.Load())
	l.heard.Store(from.heard.Load())
	l.at.Store(from.at.Load())
}

// Places is the number of places that VMs of the table are at, or may be: see
// [Table.ScanVMs].
func (t *Table) Places() int {
	n := 0
	for i := range t.vms.shards {
		if arr := t.vms.shards[i].slots.Load(); arr != nil {
			n += len(arr.slots)
		}
	}
	return n
}

// ScanVMs calls fn with every registered VM and its place, in the order of a hash of
// their ids, but that some that are near each other may change places, until fn returns
// false. It takes no lock: VMs that come or go meanwhile may be left out. Places are
// from 0 to less than [Table.Places], and in a table of [Table.Suppose] each VM keeps
// its own.
func (t *Table) ScanVMs(fn func(place int, id BIOSID, slot Slot) bool) {
	place := -1
	for i := range t.vms.shards {
		arr := t.vms.shards[i].slots.Load()
		if arr == nil {
			continue
		}
		for j := range arr.slots {
			place++
			slot := &arr.slots[j]
			facts := vmFacts(slot.facts.Load())
			if facts&factsLive == 0 {
				continue
			}
			if id := slot.id(); !fn(place, id, Slot{slot: slot, facts: facts, hash: hashBIOS(&id)}) {
				return
			}
		}
	}
}

// Twin returns the slot of a VM that is like this one, has the BIOS ID of the given
// hash, and is in no table.
func (s Slot) Twin(hash uint64) Slot { return Slot{slot: new(vmSlot), facts: s.facts, hash: hash} }
