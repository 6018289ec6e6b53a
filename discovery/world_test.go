package discovery_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A world is what the oracle decides from: the same tenants, SVMs and VMs that
// the table under test holds, kept in plain maps.
type world struct {
	rules   rules
	tenants map[store.TenantID]store.Tenant
	svms    map[store.SVMID]*svm
	vms     map[store.BIOSID]store.VM

	// first is the SVM that each VM was last told to use by Select.
	first map[store.BIOSID]store.SVMID

	// sent is what was picked of each SVM, and when.
	sent map[store.SVMID][]sent

	calm   bool  // few agents are new
	window int64 // of 300 seconds, at the last pulse

	// met counts how often a rule made a difference, to know that it was tested.
	met map[string]int
}

func (w *world) meet(rule string, met bool) bool {
	if met {
		w.met[rule]++
	}
	return met
}

// rules are a gateway's settings. They hold for the life of a world.
type rules struct {
	unregistered discovery.Unregistered
	dead         string
	openStack    store.PathLevel
	matrix       map[string][]string // agent version to SVM versions; nil is the documented one
}

// An svm is an SVM as the documents speak of it: what was configured, what it
// reported, and when.
type svm struct {
	id       store.SVMID
	config   store.SVMConfig
	facts    store.SVMFacts
	written  store.SVMState // what an administrator wrote, which need not hold
	reported int            // agents, by its last report
	heard    time.Time      // of its last report
	picks    int            // agents sent there by Select since its last report
	faded    int            // of those picks
	early    int            // sent so shortly before the last report that it may not have them
	fadeAt   time.Time      // when half of what is not in the report fades
	finding  finding
	seen     asSeen
}

// svmTTL is short, because a selector has its pulse ten times a second while a world
// waits.
const svmTTL = 15 * time.Second

func newWorld(r rules) *world {
	return &world{
		rules:   r,
		tenants: map[store.TenantID]store.Tenant{},
		svms:    map[store.SVMID]*svm{},
		vms:     map[store.BIOSID]store.VM{},
		first:   map[store.BIOSID]store.SVMID{},
		sent:    map[store.SVMID][]sent{},
		calm:    true,
		met:     map[string]int{},
	}
}

// state is what holds of s now.
func (w *world) state(s *svm) store.SVMState {
	silent := time.Since(s.heard) > svmTTL
	switch {
	case s.written == store.Draining, s.config.Pinned:
		return s.written
	case silent:
		return store.Down
	case s.written == store.Suspect:
		return store.Suspect
	default:
		return store.Ready
	}
}

// load is the number of agents by the last report and own picks since.
func (s *svm) load() int { return s.reported + s.picks }

// A step is one thing that happens to a world: a change, a passage of time, or
// a question. A step that concerns what the world does not have does nothing,
// so that any steps of a script can be left out.
type step interface{ String() string }

// A change does the same to the model and to the table.
type change struct {
	text string
	do   func(*world, *store.Tx) error
}

func (c change) String() string { return c.text }

// A wait lets time pass, after which the table is swept.
type wait time.Duration

func (d wait) String() string { return "wait " + time.Duration(d).String() }

// finds makes the ledgers find something of an SVM. It changes no record.
func finds(id store.SVMID, f finding) change {
	return change{fmt.Sprintf("svm %v found %+v", id, f), func(w *world, _ *store.Tx) error {
		if s, ok := w.svms[id]; ok {
			s.finding = f
		}
		return nil
	}}
}

// findsCalm makes the ledgers find that few agents are new, or that many are.
func findsCalm(calm bool) change {
	return change{fmt.Sprintf("calm=%v", calm), func(w *world, _ *store.Tx) error {
		w.calm = calm
		return nil
	}}
}

// An ask is one agent's question. Remember asks it of Select too, which counts
// own picks. Hasty does not wait for sets, which are built while the script goes on,
// nor, if agents alone have done anything since the last pulse, for another.
type ask struct {
	q               discovery.Query
	remember, hasty bool
}

func (a ask) String() string {
	var b strings.Builder
	q := &a.q
	fmt.Fprintf(&b, "ask remember=%v hasty=%v %v", a.remember, a.hasty, q.BIOS)
	if q.Authenticated {
		fmt.Fprintf(&b, " as tenant %v", q.Tenant)
	}
	fmt.Fprintf(&b, " version=%d.%d os=%v kind=%v limit=%d", q.Version.Major, q.Version.Minor, q.OS, q.Kind, q.Limit)
	if !q.Current.IsZero() {
		fmt.Fprintf(&b, " current=%v", q.Current)
	}
	if len(q.Failed) > 0 {
		fmt.Fprintf(&b, " failed=%v", q.Failed)
	}
	if q.Tag.Set {
		fmt.Fprintf(&b, " tag=%q", q.Tag.V)
	}
	if q.Protection.Set {
		fmt.Fprintf(&b, " protection=%v", q.Protection.V)
	}
	if q.Algorithm.Set {
		fmt.Fprintf(&b, " algorithm=%v", q.Algorithm.V)
	}
	if q.Path.Set {
		fmt.Fprintf(&b, " path=%v", q.Path.V)
	}
	return b.String()
}

// putTenant writes a tenant's settings. Its status stays what it was.
func putTenant(t store.Tenant) change {
	text := fmt.Sprintf("tenant %v %v %+v", t.ID, t.Type, t.Discovery)
	return change{text, func(w *world, tx *store.Tx) error {
		t := t
		t.Status = w.tenants[t.ID].Status // zero is inactive, what a new tenant is
		w.tenants[t.ID] = t
		_, err := tx.PutTenant(t)
		return err
	}}
}

func setActive(id store.TenantID, active bool) change {
	text := fmt.Sprintf("tenant %v active=%v", id, active)
	return change{text, func(w *world, tx *store.Tx) error {
		t, ok := w.tenants[id]
		if !ok {
			return nil
		}
		t.Status = store.Inactive
		if active {
			t.Status = store.Active
		}
		w.tenants[id] = t
		_, err := tx.SetActive(id, active)
		return err
	}}
}

func deleteTenant(id store.TenantID) change {
	return change{fmt.Sprintf("tenant %v deleted", id), func(w *world, tx *store.Tx) error {
		if _, ok := w.tenants[id]; !ok {
			return nil
		}
		delete(w.tenants, id)
		for bios, vm := range w.vms {
			if vm.Tenant == id {
				delete(w.vms, bios)
				w.leave(bios)
			}
		}
		_, err := tx.DeleteTenant(id)
		return err
	}}
}

// putSVM writes all of an SVM: configuration, state, and a report.
func putSVM(s svm) change {
	text := fmt.Sprintf("svm %v %v load=%d %+v %+v", s.id, s.written, s.reported, s.config, s.facts)
	return change{text, func(w *world, tx *store.Tx) error {
		s := s
		s.finding = plain
		w.report(&s)
		if old := w.svms[s.id]; old != nil {
			s.finding, s.seen = old.finding, old.seen
		}
		w.svms[s.id] = &s
		_, err := tx.PutSVM(store.SVM{
			ID: s.id, SVMConfig: s.config, SVMFacts: s.facts,
			ConnectedAgents: s.reported, State: s.written,
		})
		return err
	}}
}

// configureSVM writes what edit makes of the configured part of an SVM.
func configureSVM(id store.SVMID, what string, edit func(*svm)) change {
	return change{fmt.Sprintf("svm %v configured: %s", id, what), func(w *world, tx *store.Tx) error {
		s, ok := w.svms[id]
		if !ok {
			return nil
		}
		edit(s)
		_, err := tx.ConfigureSVM(id, s.config, s.written)
		return err
	}}
}

// reportSVM is a report of an SVM with what edit makes of its facts.
func reportSVM(id store.SVMID, load int, what string, edit func(*store.SVMFacts)) change {
	text := fmt.Sprintf("svm %v reports load=%d %s", id, load, what)
	return change{text, func(w *world, tx *store.Tx) error {
		s, ok := w.svms[id]
		if !ok {
			return nil
		}
		edit(&s.facts)
		s.reported = load
		w.report(s)
		_, err := tx.ReportSVM(id, s.facts, load)
		return err
	}}
}

func forgetSVM(id store.SVMID) change {
	return change{fmt.Sprintf("svm %v forgotten", id), func(w *world, tx *store.Tx) error {
		if _, ok := w.svms[id]; !ok {
			return nil
		}
		delete(w.svms, id)
		_, err := tx.DeleteSVM(id)
		return err
	}}
}

func putVM(vm store.VM) change {
	text := fmt.Sprintf("vm %v tenant=%v os=%v kind=%v version=%q %+v", vm.BIOS, vm.Tenant, vm.OS, vm.Kind, vm.Version, vm.Path)
	return change{text, func(w *world, tx *store.Tx) error {
		if _, ok := w.tenants[vm.Tenant]; !ok && !vm.Tenant.IsZero() {
			return nil
		}
		w.vms[vm.BIOS] = vm
		_, err := tx.PutVM(vm)
		return err
	}}
}

func deleteVM(id store.BIOSID) change {
	return change{fmt.Sprintf("vm %v deleted", id), func(w *world, tx *store.Tx) error {
		if _, ok := w.vms[id]; !ok {
			return nil
		}
		delete(w.vms, id)
		w.leave(id)
		_, err := tx.DeleteVM(id)
		return err
	}}
}
