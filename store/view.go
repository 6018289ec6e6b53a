package store

import (
	"sync/atomic"
	"time"
)

// A View is an immutable picture of tenants and SVMs. Tenants and SVMs have
// small indexes that stay theirs while the table is open; a slot of [Table.Lookup]
// refers to its tenant by index. Index 0 of tenants is "no tenant".
//
// What changes with every report (an SVM's load and state) stands beside the
// view, in [SVMLoad]: it is read at the moment of the question.
type View struct {
	revision uint64
	tenants  []*Tenant
	svms     []*SVMEntry
	paths    []PathSymbols
	versions []ProductVersion
}

// Revision counts the views of this table.
func (v *View) Revision() uint64 { return v.revision }

// NumTenants returns the number of tenant indexes, the one of "no tenant"
// included.
func (v *View) NumTenants() int { return len(v.tenants) }

// Tenant returns the tenant with index i, or nil if it was deleted or nobody has
// told of it yet. The result is shared and must not be modified.
func (v *View) Tenant(i int) *Tenant { return v.tenants[i] }

// NumSVMs returns the number of SVM indexes.
func (v *View) NumSVMs() int { return len(v.svms) }

// SVM returns the SVM with index i, or nil if it was forgotten. The result is
// shared and must not be modified.
func (v *View) SVM(i int) *SVMEntry { return v.svms[i] }

// NumVersions returns the number of distinct agent versions.
func (v *View) NumVersions() int { return len(v.versions) }

// Version returns the agent version with index i; 0 is unknown.
func (v *View) Version(i int) ProductVersion { return v.versions[i] }

// NumPaths returns the number of distinct placements.
func (v *View) NumPaths() int { return len(v.paths) }

// Path returns the placement with index i; 0 is empty.
func (v *View) Path(i int) PathSymbols { return v.paths[i] }

// An SVMEntry is an SVM with what selection needs worked out. State,
// ConnectedAgents and LastReport of its SVM are not kept current: see [SVMLoad].
type SVMEntry struct {
	SVM
	Index   int
	Version ProductVersion // zero if unknown
	Symbols PathSymbols    // of its path

	// Licensed says whether the licence is valid and not past its expiry.
	Licensed bool

	wanted SVMState
}

// Weight is the SVM's share in the distribution of agents: its capacity, which
// by default is 1000.
func (e *SVMEntry) Weight() int {
	if e.Capacity == 0 {
		return DefaultCapacity
	}
	return e.Capacity
}

// Wanted returns what an administrator wrote. It holds for pinned SVMs; draining holds
// for all.
func (e *SVMEntry) Wanted() SVMState { return e.wanted }

// DefaultCapacity stands for an SVM's capacity of 0.
const DefaultCapacity = 1000

// An SVMLoad is what changes about an SVM with every report. Its methods may be
// called at any time by any number of goroutines.
type SVMLoad struct {
	state    atomic.Uint32
	reported atomic.Int32 // connected agents by the last report
	base     atomic.Int32 // the picks when it came
	here     atomic.Bool  // whether it was made here, just before it came
	heard    atomic.Int64 // nanoseconds since the table was opened; 0: never
	at       atomic.Int64 // milliseconds since 1970 of the last report; 0: none
}

// State returns whether the SVM takes agents.
func (l *SVMLoad) State() SVMState { return SVMState(l.state.Load()) }

// A Report is what is known of an SVM's last report.
type Report struct {
	Agents int           // connected
	At     int64         // milliseconds since 1970, by the clock of the gateway that took it; 0: there was none
	Heard  time.Duration // when it came here, since the table was opened; 0: never
	Picks  int32         // what [Table.Picks] was when it came here
	Here   bool          // it was made here, just before it came: nothing was picked in between
}

// Report returns the last report. A report that comes meanwhile may be half in it.
func (l *SVMLoad) Report() Report {
	return Report{
		Agents: int(l.reported.Load()), At: l.at.Load(), Heard: time.Duration(l.heard.Load()),
		Picks: l.base.Load(), Here: l.here.Load(),
	}
}

// Agents returns the count of the last report plus this gateway's picks since it came.
// It may be negative for a moment.
func (t *Table) Agents(i int) int {
	l := &t.loads[i]
	return int(l.reported.Load() + t.picks[i].Load() - l.base.Load())
}

// Pick counts n agents that were sent to the SVM with index i, less than 0 if they
// left it, and returns what [Table.Picks] is then.
func (t *Table) Pick(i int, n int32) int32 { return t.picks[i].Add(n) }

// Picks returns how many agents were sent to the SVM with index i, less those that
// left it, since the table was opened. The count wraps around.
func (t *Table) Picks(i int) int32 { return t.picks[i].Load() }

// A Slot is a registered VM as a question sees it.
type Slot struct {
	slot  *vmSlot
	facts vmFacts
	hash  uint64
}

// Hash returns the XXH64 of the BIOS ID that was looked up, with seed 0, whether
// its VM was found or not.
func (s Slot) Hash() uint64 { return s.hash }

// Tenant returns the index of the VM's tenant; 0 means none.
func (s Slot) Tenant() int { return int(s.facts.tenant()) }

// Path returns the index of the VM's placement.
func (s Slot) Path() int { return int(s.facts>>18) & MaxPaths }

// Version returns the index of the agent's version.
func (s Slot) Version() int { return int(s.facts>>4) & MaxVersions }

// OS returns the guest class.
func (s Slot) OS() GuestOS { return GuestOS(s.facts >> 2 & 3) }

// Kind returns the kind of agent.
func (s Slot) Kind() AgentKind { return AgentKind(s.facts & 3) }

// Assigned returns the index of the SVM that was last remembered, or -1. What is
// remembered is a hint: it is lost by a restart and may be lost as the table grows.
func (s Slot) Assigned() int { return int(s.slot.assigned.Load()&^slotAmiss) - 1 }

// Assign remembers an SVM's index and returns the one remembered before, or -1.
func (s Slot) Assign(svm int) int { return int(s.slot.assign(uint32(svm+1))) - 1 }

// report takes an SVM's report, heard at a moment since the table was opened. Here says
// whether it was made here, just before.
func (l *SVMLoad) report(row loadRow, here bool, picks int32, now time.Duration) {
	l.reported.Store(int32(row.Connected))
	l.base.Store(picks)
	l.here.Store(here)
	l.heard.Store(int64(now))
	l.at.Store(unixMilli(row.Reported))
}

// forget clears what was known of an SVM that was forgotten: should it come back,
// it has yet to report.
func (l *SVMLoad) forget(picks int32) {
	l.reported.Store(0)
	l.base.Store(picks)
	l.here.Store(false)
	l.heard.Store(0)
	l.at.Store(0)
}

// settle works out an SVM's state at a moment: what was written holds for pinned
// SVMs, and draining for all; the others are down when silent for longer than the
// table's TTL.
func (t *Table) settle(e *SVMEntry, now time.Duration) {
	load, state := &t.loads[e.Index], e.wanted
	if !e.Pinned && state != Draining {
		heard := load.heard.Load()
		switch {
		case heard == 0 || now-time.Duration(heard) > t.ttl:
			state = Down
		case state == Down:
			state = Ready
		}
	}
	load.state.Store(uint32(state))
	word, bit := &t.ready[e.Index/64], uint64(1)<<(e.Index%64)
	if state == Ready && e.HardCap == 0 {
		word.Or(bit)
	} else {
		word.And(^bit)
	}
}
