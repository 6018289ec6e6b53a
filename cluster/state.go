package cluster

import (
	"slices"
	"time"
)

const saveEvery = time.Second

// keepState saves what should be known after a restart: at once, or a table that is
// being taken over would seem to be whole; whenever it changes, until life ends; and then
// once more.
func (r *repair) keepState(known func() []Peer, save func(State) error) {
	var saved State
	for on := true; ; on = pause(r.life, saveEvery) {
		now := State{Peers: known(), Exchanged: r.tenure.lastExchanged(), Partial: r.partial()}
		if !on || !now.near(&saved) {
			if err := save(now); err != nil {
				r.log.Error("what is known of peers could not be saved", "error", err)
			} else {
				saved = now
			}
		}
		if !on {
			return
		}
	}
}

// near reports whether s differs from t by so little time that it need not be saved:
// what is saved may be a little old, and the disk has other things to do.
func (s *State) near(t *State) bool {
	return s.Partial == t.Partial && s.Exchanged.Sub(t.Exchanged).Abs() < time.Minute &&
		slices.EqualFunc(s.Peers, t.Peers, func(a, b Peer) bool {
			return a.Name == b.Name && a.Addr == b.Addr && a.Seen.Sub(b.Seen).Abs() < time.Hour
		})
}
