package cluster

import (
	"fmt"
	"sync/atomic"
	"time"
)

// readiness is whether this node may answer.
type readiness struct {
	ready atomic.Bool
	from  atomic.Pointer[string] // whose table is being taken over
	left  atomic.Int64           // how many buckets of it

	bootstrap bool
	had       bool // the table was not empty at the start, and is not a part of another
	started   time.Time
}

// How long a node waits for its seeds, and for the peers that it knew. An empty one has
// nothing to say without them, unless it is the first.
const (
	waitForSeeds = 30 * time.Second
	waitAsFirst  = 3 * time.Second
)

func (w *readiness) init(cfg *Config) {
	var d Digest
	cfg.Table.Digest(&d)
	part := d != Digest{} && cfg.State.Partial
	w.had, w.bootstrap, w.started = d != Digest{} && !part, cfg.Bootstrap && !part, time.Now()
	w.ready.Store(len(cfg.Seeds)+len(cfg.State.Peers) == 0)
}

// partial reports whether the table is only what was taken over so far.
func (w *readiness) partial() bool { return !w.had && !w.ready.Load() }

// waited makes the node ready if it has waited for long enough. What an empty table
// took over in part is worse than nothing: it would deny what it has not yet.
func (w *readiness) waited() {
	since := time.Since(w.started)
	first := w.bootstrap && w.from.Load() == nil && since >= waitAsFirst
	if first || w.had && since >= waitForSeeds {
		w.ready.Store(true)
	}
}

// Ready reports whether this node may answer, and if not, why not: it may once
// everything is applied that the first peer it met had, or when it has waited for
// 30 seconds and its table was whole at the start. Peers that are not ready themselves
// do not count if they are empty, or have a part of a table only. A node that has no
// seeds, and knew no peers when it started, is ready at once; one that has some, and
// nothing or only a part of a table, waits for them: unless it is empty and to
// bootstrap. Once ready, it stays so.
func (n *Node) Ready() (ready bool, why string) { return n.repair.isReady() }

func (r *repair) isReady() (ready bool, why string) {
	if r.ready.Load() {
		return true, ""
	}
	switch from := r.from.Load(); {
	case r.out.Load():
		return false, "was away for longer than its peers keep what was deleted"
	case from != nil:
		return false, fmt.Sprintf("takes over the table of %s: %d of %d parts differ", *from, r.left.Load(), Buckets)
	case !r.had && !r.bootstrap:
		return false, "has an empty table or a part of one, and no seed or peer has answered"
	default:
		return false, "waits for its seeds and peers"
	}
}
