package watch

import (
	"time"

	"github.com/svmgate/svmgate/store"
)

// Types of the events of this package.
const (
	AgentNoSVM        = "agent.no_svm"
	AgentUpdateFailed = "agent.update_failed"
	SVMDown           = "svm.down"
	SVMUp             = "svm.up"
	SVMOverCapacity   = "svm.over_capacity"
	LicenseExpiring   = "license.expiring"
	MemberJoined      = "cluster.member_joined"
	MemberLeft        = "cluster.member_left"
	MemberFailed      = "cluster.member_failed"
)

// UpdateFailedEvery is how often a failed update of a VM is told at most (topic 259237).
const UpdateFailedEvery = 2 * time.Hour

// States of the observation of a VM.
const (
	vmWell     = 0
	vmInactive = 1 // its agent is given the SVM that does not exist
	vmWithout  = 2 // it is given none
)

// Messages of agents' events.
const (
	textInactive = "the tenant is inactive, so the agent is given an SVM that does not exist; activate the tenant to protect this VM"
	textWithout  = "no SVM suits the agent; `svmgate explain` with this VM's BIOS ID says for every SVM why"
	textFailed   = "the agent says that the update of its databases failed"
)

// told reports whether what an item says, of an agent that lacks an SVM, was told.
func told(o *store.Observation, it *item) bool {
	if it.What == Inactive {
		return o.State == vmInactive && o.Cause == it.cause
	}
	return o.State == vmWithout
}

// dueIn returns how long it is until a failed update may be told; not above 0 if it may.
func dueIn(o *store.Observation, now time.Time) time.Duration {
	if o.Repeated.IsZero() {
		return 0
	}
	return o.Repeated.Add(UpdateFailedEvery).Sub(now)
}

// act acts on the batch, in one change.
func (w *Watch) act(now time.Time) {
	if len(w.batch) == 0 {
		return
	}
	err := w.cfg.Table.Update(func(tx *store.Tx) error {
		for i := range w.batch {
			if err := actOn(tx, &w.batch[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if w.failed(err) {
		for _, it := range w.batch {
			w.postpone(it, now, time.Second)
		}
	}
	w.batch = w.batch[:0]
}

// failed tells, once, that a change failed, and that changes succeed again.
func (w *Watch) failed(err error) bool {
	switch {
	case err != nil && !w.failing:
		w.log.Error("events can not be written: they are tried again, and agents ask again", "reason", err.Error())
	case err == nil && w.failing:
		w.log.Info("events are written again")
	}
	w.failing = err != nil
	return w.failing
}

// actOn tells what an item says, unless that was told, or is not so any more. What a
// change sees is what its event is to be true of, so all is asked again.
func actOn(tx *store.Tx, it *item) error {
	vm, ok := tx.VM(it.VM)
	if !ok {
		return nil
	}
	o, _ := tx.Observation(it.VM)
	o.ID = it.VM
	cause, inactive := tx.Inactivity(vm.Tenant)
	switch it.What {
	case Inactive, NoSVM:
		if inactive {
			it.What, it.cause = Inactive, cause
		} else if it.What == Inactive {
			return nil
		}
		if told(&o, it) {
			return nil
		}
		return lacks(tx, &vm, o, it)
	case Regained:
		if inactive || o.State == vmWell {
			return nil
		}
		o.State = vmWell
		_, err := tx.PutObservation(o)
		return err
	case UpdateFailed:
		if dueIn(&o, tx.Now()) > 0 {
			return nil
		}
		id := store.OccasionID(AgentUpdateFailed, vm.BIOS, millis(vm.Created), millis(o.Repeated))
		if _, err := tx.Emit(store.Event{ID: id, Type: AgentUpdateFailed, Tenant: vm.Tenant, VM: vm.BIOS, Message: textFailed}); err != nil {
			return err
		}
		e, _ := tx.Event(id)
		o.Repeated = e.Time // which may be a little later than now, or that of who told it before
		_, err := tx.PutObservation(o)
		return err
	}
	return nil
}

// lacks tells that an agent lacks an SVM.
func lacks(tx *store.Tx, vm *store.VM, o store.Observation, it *item) error {
	e := store.Event{Type: AgentNoSVM, Tenant: vm.Tenant, VM: vm.BIOS}
	o.Times++
	if it.What == Inactive {
		// The inactivity is the occasion: however often the VM had an SVM meanwhile, by a
		// gateway that had not heard, it is told once.
		o.State, o.Cause, e.Message = vmInactive, it.cause, textInactive
		e.ID = store.OccasionID(AgentNoSVM, vm.BIOS, millis(vm.Created), it.cause)
		return tell(tx, o, e)
	}
	o.State, o.Cause, e.Message = vmWithout, 0, textWithout
	e.ID, o.Times = occasion(tx, AgentNoSVM, vm.BIOS, o.Times, millis(vm.Created))
	return tell(tx, o, e)
}

// tell writes down an event, and that it was told. One that is there was told by the owner
// before, whose observation has yet to come, or on the other side of a partition.
func tell(tx *store.Tx, o store.Observation, e store.Event) error {
	if _, err := tx.Emit(e); err != nil {
		return err
	}
	_, err := tx.PutObservation(o)
	return err
}

// anotherTime is how old an event must be for what happens now not to be what it tells.
const anotherTime = 5 * time.Minute

// occasion returns the id of what happens the nth time, and n. When two sides of a
// partition meet, one of two counts is lost, and the next event would have the id of one
// that is long over: then it counts on.
func occasion(tx *store.Tx, eventType string, about [16]byte, n uint32, more ...uint64) (store.EventID, uint32) {
	for ; ; n++ {
		id := store.OccasionID(eventType, about, append(more, uint64(n))...)
		if e, ok := tx.Event(id); !ok || tx.Now().Sub(e.Time.Time) < anotherTime {
			return id, n
		}
	}
}

func millis(t store.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixMilli())
}
