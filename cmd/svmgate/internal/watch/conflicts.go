package watch

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/svmgate/svmgate/store"
)

const (
	maxConflicts = 4096

	// A conflict that is not told yet is brought to its owner every conflictAgain, for
	// conflictFor. So long it may take until gateways find each other again.
	conflictAgain = 5 // seconds
	conflictFor   = 10 * time.Minute
)

// conflicts are those of which there is no event yet.
type conflicts struct {
	list []pending
}

type pending struct {
	store.Conflict
	since time.Time
}

// add adds a conflict, and returns how many there was no room for.
func (l *conflicts) add(c store.Conflict) (full uint64) {
	if slices.ContainsFunc(l.list, func(p pending) bool { return p.Conflict == c }) {
		return 0
	}
	if len(l.list) >= maxConflicts {
		return 1
	}
	l.list = append(l.list, pending{c, time.Now()})
	return 0
}

// occasionOf identifies a conflict by what it is about: on every gateway alike.
func occasionOf(c *store.Conflict) store.EventID {
	return store.OccasionID(string(c.Type), about(c), c.Lost.Clock, c.Lost.Node, c.Held.Clock, c.Held.Node)
}

func about(c *store.Conflict) [16]byte {
	if c.Type == store.VMConflict {
		return c.VM
	}
	return c.Tenant
}

// hear is told of every change of the table.
func (w *Watch) hear(news *store.News) {
	for i := range news.Records { // those of this gateway that others bring back are no new ones
		if r := &news.Records[i]; news.From == "" && r.Key.Kind == store.KindEvent && w.cfg.Table.Wrote(r.Version) {
			if e, ok := store.EventOf(r); ok {
				w.counts.event(e.Type)
			}
		}
	}
	if len(news.Conflicts) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range news.Conflicts {
		w.counts.full.Add(w.conflicts.add(c))
	}
}

// lookAtConflicts tells those of this gateway, and brings the others to their owners,
// until there is an event.
func (w *Watch) lookAtConflicts(ctx context.Context, now time.Time) {
	w.mu.Lock()
	w.conflicts.list = slices.DeleteFunc(w.conflicts.list, func(p pending) bool {
		if _, ok := w.cfg.Table.Event(occasionOf(&p.Conflict)); ok {
			return true
		}
		if now.Sub(p.since) > conflictFor {
			w.counts.untold.Add(1)
			return true
		}
		return false
	})
	list := slices.Clone(w.conflicts.list)
	w.mu.Unlock()
	r := w.roster.Load()
	for i := range list {
		c := &list[i].Conflict
		switch to := r.owner(about(c), ""); {
		case to != r.self:
			if int64(now.Sub(list[i].since).Seconds())%conflictAgain == 0 {
				w.tellConflict(ctx, to, c)
			}
		case r.settled(about(c), "", now):
			if w.failed(w.cfg.Table.Update(func(tx *store.Tx) error { return tellOf(tx, c) })) {
				return
			}
		}
	}
}

// tellConflict tells another gateway, without waiting for it.
func (w *Watch) tellConflict(ctx context.Context, member string, c *store.Conflict) {
	question, err := json.Marshal(c)
	if err != nil {
		return // plain fields: it can not be
	}
	w.asking.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, askFor)
		defer cancel()
		_, _ = w.cfg.Ask(ctx, member, append([]byte{formatConflict}, question...)) // it is told again unless there is an event
	})
}

// tellOf tells a conflict.
func tellOf(tx *store.Tx, c *store.Conflict) error {
	e := store.Event{ID: occasionOf(c), Type: string(c.Type), Tenant: c.Tenant, VM: c.VM}
	if c.Type == store.VMConflict {
		e.Message = fmt.Sprintf("two gateways registered this VM for different tenants without knowing of each other: that for tenant %s, "+
			"the earlier one, holds; register %q anew where it belongs", c.Holder, c.Name)
	} else {
		e.Message = "one gateway activated this tenant and another deactivated it without knowing: it is inactive; activate it again if that is wrong"
	}
	if len(e.Message) > store.MaxMessage {
		e.Message = e.Message[:store.MaxMessage]
	}
	_, err := tx.Emit(e)
	return err
}
