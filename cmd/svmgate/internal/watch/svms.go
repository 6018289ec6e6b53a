package watch

import (
	"fmt"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/license"
	"github.com/svmgate/svmgate/store"
)

// States of the observation of an SVM, which may come together. Its Repeated is the end of
// the licence that was told of last.
const (
	svmDown = 1 << iota
	svmFull
)

// calmEvery is how often, in seconds, an SVM is looked at that is as it was.
const calmEvery = 10

// svmSeen is what this gateway has seen of an SVM.
type svmSeen struct {
	up    bool // it was, since the start
	state uint8
}

// An svmFact is what is so of an SVM now.
type svmFact struct {
	entry  *store.SVMEntry
	state  store.SVMState
	agents int
	known  bool // it has reported since the start, or is pinned: so what is known is no guess
	wasUp  bool
}

// lookAtSVMs tells what has happened to SVMs of this gateway.
func (w *Watch) lookAtSVMs(now time.Time) {
	view := w.cfg.Table.View()
	var changed []svmFact
	for i := range view.NumSVMs() {
		if i == len(w.svms) {
			w.svms = append(w.svms, svmSeen{})
		}
		seen, entry := &w.svms[i], view.SVM(i)
		if entry == nil {
			*seen = svmSeen{} // it was forgotten, and what was told of it with it
			continue
		}
		if fact, ok := w.lookAt(entry, seen, now); ok {
			changed = append(changed, fact)
		}
	}
	for len(changed) > 0 {
		n := min(len(changed), maxBatch)
		w.failed(w.cfg.Table.Update(func(tx *store.Tx) error {
			for i := range changed[:n] {
				if err := changed[i].tell(tx, w.cfg.LicenseWarning); err != nil {
					return err
				}
			}
			return nil
		}))
		changed = changed[n:]
	}
}

// lookAt sees how an SVM is, and reports whether there is something to tell, by this
// gateway.
func (w *Watch) lookAt(entry *store.SVMEntry, seen *svmSeen, now time.Time) (svmFact, bool) {
	load := w.cfg.Table.Load(entry.Index)
	report := load.Report()
	f := svmFact{entry: entry, state: load.State(), agents: report.Agents, known: entry.Pinned || report.At != 0, wasUp: seen.up}
	was := seen.state
	seen.up = seen.up || f.state == store.Ready
	seen.state = f.next(was)
	if seen.state == was && (now.Unix()+int64(entry.Index))%calmEvery != 0 || !w.roster.Load().mine(entry.ID, "", now) {
		return f, false
	}
	o, _ := w.cfg.Table.Observation(entry.ID)
	_, expiring := f.expiring(&o, w.cfg.Clock(), w.cfg.LicenseWarning)
	return f, expiring || f.next(o.State) != o.State
}

// next returns the state of an observation, after what is so now.
func (f *svmFact) next(state uint8) uint8 {
	switch {
	case f.state == store.Down && f.wasUp:
		state |= svmDown
	case f.state == store.Ready && f.known:
		state &^= svmDown
	}
	most := f.entry.HardCap
	switch {
	case most == 0 || f.known && 10*f.agents <= 9*most:
		state &^= svmFull
	case f.known && f.agents > most:
		state |= svmFull
	}
	return state
}

// expiring says that the licence ends, if that is to be told.
func (f *svmFact) expiring(o *store.Observation, now time.Time, warning time.Duration) (message string, ok bool) {
	if warning <= 0 || millis(o.Repeated) == millis(f.entry.License.Expires) {
		return "", false
	}
	return license.Expiring(&f.entry.SVM, now, warning)
}

// tell tells what is new of an SVM.
func (f *svmFact) tell(tx *store.Tx, warning time.Duration) error {
	o, _ := tx.Observation(f.entry.ID)
	o.ID = f.entry.ID
	if _, ok := tx.SVM(f.entry.ID); !ok {
		return nil
	}
	was := o.State
	o.State = f.next(was)
	begun, ended := o.State&^was, was&^o.State
	emit := func(eventType, message string) error {
		var id store.EventID
		id, o.Times = occasion(tx, eventType, f.entry.ID, o.Times)
		return tell(tx, o, store.Event{ID: id, Type: eventType, SVM: f.entry.ID, Message: message})
	}
	if begun != 0 {
		o.Times++
	}
	if ended&svmDown != 0 {
		if err := emit(SVMUp, f.name()+" is up again"); err != nil {
			return err
		}
	}
	if begun&svmDown != 0 {
		if err := emit(SVMDown, f.name()+" is down: "+f.why()); err != nil {
			return err
		}
	}
	if begun&svmFull != 0 {
		if err := emit(SVMOverCapacity, fmt.Sprintf("%s has %d agents, and at most %d are allowed", f.name(), f.agents, f.entry.HardCap)); err != nil {
			return err
		}
	}
	if message, ok := f.expiring(&o, tx.Now(), warning); ok {
		o.Repeated = f.entry.License.Expires
		id := store.OccasionID(LicenseExpiring, f.entry.ID, millis(o.Repeated))
		return tell(tx, o, store.Event{ID: id, Type: LicenseExpiring, SVM: f.entry.ID, Message: message})
	}
	_, err := tx.PutObservation(o)
	return err
}

// name is how messages call an SVM.
func (f *svmFact) name() string { return fmt.Sprintf("SVM %q at %s", f.entry.Name, f.entry.Address) }

// why says why it is down.
func (f *svmFact) why() string {
	if f.entry.Pinned {
		return "it is pinned, and was set down"
	}
	return "it has not reported in time"
}
