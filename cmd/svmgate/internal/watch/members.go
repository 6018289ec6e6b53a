package watch

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/svmgate/svmgate/store"
)

// States of the observation of a gateway.
const (
	memberThere  = 0
	memberFailed = 1
	memberLeft   = 2
)

// memberID is what stands for a gateway among ids.
func memberID(name string) [16]byte {
	sum := sha256.Sum256([]byte("gateway " + name))
	return [16]byte(sum[:16])
}

// lookAtMembers tells of gateways that came or went. One that this gateway has never seen
// alive did not go.
func (w *Watch) lookAtMembers(members []Member, now time.Time) {
	for _, m := range members {
		switch {
		case m.Name == w.cfg.Self:
		case m.Alive:
			w.members[m.Name] = true
			w.tellOfMember(m.Name, memberThere, now)
		case w.members[m.Name]:
			w.tellOfMember(m.Name, memberFailed, now)
		}
	}
	for name := range w.members {
		if !slices.ContainsFunc(members, func(m Member) bool { return m.Name == name }) && w.tellOfMember(name, memberLeft, now) {
			delete(w.members, name)
		}
	}
}

// tellOfMember tells what has become of a gateway, if that falls to this one, and reports
// whether it is told, by whomever.
func (w *Watch) tellOfMember(name string, state uint8, now time.Time) bool {
	id := memberID(name)
	o, known := w.cfg.Table.Observation(id)
	if known && !becomes(o.State, state) || !known && state != memberThere {
		return true
	}
	if !w.roster.Load().mine(id, name, now) {
		return false
	}
	err := w.cfg.Table.Update(func(tx *store.Tx) error {
		o, known := tx.Observation(id)
		if known && !becomes(o.State, state) {
			return nil
		}
		o.ID, o.State, o.Times = id, state, o.Times+1
		e := store.Event{Type: MemberJoined, Message: fmt.Sprintf("the gateway %q is there", name)}
		switch state {
		case memberFailed:
			e.Type, e.Message = MemberFailed, fmt.Sprintf("the gateway %q can not be reached", name)
		case memberLeft:
			e.Type, e.Message = MemberLeft, fmt.Sprintf("the gateway %q was stopped", name)
		}
		e.ID, o.Times = occasion(tx, e.Type, id, o.Times)
		return tell(tx, o, e)
	})
	return !w.failed(err)
}

// becomes reports whether a state is news after another: who failed does not leave.
func becomes(was, is uint8) bool { return (was == memberThere) != (is == memberThere) }
