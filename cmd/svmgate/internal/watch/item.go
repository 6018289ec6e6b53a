package watch

import (
	"time"

	"github.com/svmgate/svmgate/store"
)

// An item is a notice that somebody is to act on.
type item struct {
	Notice
	cause uint64 // of Inactive: which inactivity the agent met
	tries uint8  // how often another gateway was told
	told  bool   // by another gateway
	until int64  // when it is dropped, in seconds since 1970
}

// keepFor is how long an item may wait for an owner that takes it.
const keepFor = 30 * time.Second

// notice takes one out of the feed. What changes nothing ends here, on whatever gateway
// it came to: where a tenant is inactive, most notices say what was told before.
func (w *Watch) notice(n Notice, now time.Time) {
	switch n.What {
	case Connected, Disconnected:
		if w.cfg.Protection != nil {
			w.cfg.Protection.Said(n.VM, n.What == Connected, w.cfg.Clock())
		}
		return
	}
	it := item{Notice: n, until: now.Add(keepFor).Unix()}
	if w.isNews(&it) {
		w.sort(it, now)
	}
}

// isNews reports whether a notice of this gateway's is to be acted on, as far as can be
// told from its table. What it says it says by that table: an agent that was given no SVM
// before the gateway learnt that the tenant is inactive, lacks one because of that.
func (w *Watch) isNews(it *item) bool {
	slot, ok := w.cfg.Table.Lookup(&it.VM)
	if !ok {
		return false
	}
	o, _ := w.cfg.Table.Observation(it.VM)
	cause, inactive := w.inactivity(slot)
	switch it.What {
	case Inactive, NoSVM:
		if inactive {
			it.What, it.cause = Inactive, cause
			return !told(&o, it)
		}
		return it.What == NoSVM && !told(&o, it) // an agent of a tenant that is active again will ask again
	case Regained:
		return !inactive && o.State != 0
	case UpdateFailed:
		return dueIn(&o, w.cfg.Clock()) <= early
	}
	return false
}

// inactivity is [store.Table.Inactivity] of a VM's tenant, which takes no lock if that is
// active.
func (w *Watch) inactivity(slot store.Slot) (uint64, bool) {
	tenant := w.cfg.Table.View().Tenant(slot.Tenant()) // the view is as new as the slot: it has the index
	if tenant == nil || tenant.Status == store.Active || tenant.Type == store.Simple {
		return 0, false
	}
	return w.cfg.Table.Inactivity(tenant.ID)
}

// sort brings an item to who is to act on it: this gateway, another, or later.
func (w *Watch) sort(it item, now time.Time) {
	r := w.roster.Load()
	to := r.owner(it.VM, "")
	switch {
	case it.until < now.Unix():
		w.counts.untold.Add(1)
	case to != r.self:
		w.tell(to, it)
	case !r.settled(it.VM, "", now), it.told && w.isAhead(&it):
		w.postpone(it, now, time.Second)
	case it.What == UpdateFailed && w.isEarly(&it, now):
	default:
		if w.batch = append(w.batch, it); len(w.batch) == cap(w.batch) {
			w.act(now)
		}
	}
}

// isAhead reports whether who told of an agent met an inactivity that this table does not
// have, or not any more. It is on its way, or the notice is late.
func (w *Watch) isAhead(it *item) bool {
	slot, ok := w.cfg.Table.Lookup(&it.VM)
	if !ok || it.What != Inactive {
		return !ok
	}
	cause, inactive := w.inactivity(slot)
	return !inactive || cause != it.cause
}

// early is how much too early a failed update may be told and count all the same. Agents
// try every two hours: if each second time were a moment too early, half of it would be
// lost.
const early = time.Minute

// isEarly reports whether a failed update is told a little too early. Then it waits.
func (w *Watch) isEarly(it *item, now time.Time) bool {
	o, _ := w.cfg.Table.Observation(it.VM)
	wait := dueIn(&o, w.cfg.Clock())
	if wait <= 0 || wait > early {
		return false
	}
	wait += time.Second - 1 // to whole seconds
	it.until = max(it.until, now.Add(wait+keepFor).Unix())
	w.postpone(*it, now, min(wait, maxWait))
	return true
}

// postpone sorts an item again after some seconds.
func (w *Watch) postpone(it item, now time.Time, wait time.Duration) {
	if !w.later.add(it, now, wait) {
		w.counts.full.Add(1)
	}
}

// A wheel has items for the next seconds.
type wheel struct {
	slots [16][]item // by second
	n     int
	at    int64 // the second whose slot was taken last
}

// maxWait is how long an item may be in a wheel.
const maxWait = 15 * time.Second

// add puts an item in, to be taken after a wait of 1 second to maxWait, and reports whether
// there was room.
func (l *wheel) add(it item, now time.Time, wait time.Duration) bool {
	if l.n >= maxLater {
		return false
	}
	l.n++
	slot := &l.slots[(max(now.Unix(), l.at)+int64(wait/time.Second))%int64(len(l.slots))]
	*slot = append(*slot, it)
	return true
}

// turn takes what is due.
func (l *wheel) turn(now time.Time) (list []item) {
	if now.Unix()-l.at > int64(len(l.slots)) {
		l.at = now.Unix() - int64(len(l.slots))
	}
	for l.at < now.Unix() {
		l.at++
		slot := &l.slots[l.at%int64(len(l.slots))]
		list = append(list, *slot...)
		*slot = nil
	}
	l.n -= len(list)
	return list
}
