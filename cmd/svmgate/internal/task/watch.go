package task

import (
	"slices"
	"sync"
	"time"

	"github.com/svmgate/svmgate/store"
)

// heard are tasks of which something came that may concern this gateway.
type heard struct {
	mu   *sync.Mutex
	ids  map[store.TaskID]struct{}
	any  chan struct{} // has one element if there are ids
	over chan struct{} // closed when nobody wants to hear any more
}

func newHeard() heard {
	return heard{mu: &sync.Mutex{}, ids: map[store.TaskID]struct{}{}, any: make(chan struct{}, 1), over: make(chan struct{})}
}

// note is told of every change of the table, under the writers' lock.
func (h heard) note(news *store.News) {
	for i := range news.Records {
		key := news.Records[i].Key
		if key.Kind != store.KindTask && key.Kind != store.KindTaskCancel {
			continue
		}
		h.mu.Lock()
		h.ids[key.ID] = struct{}{}
		h.mu.Unlock()
		select {
		case h.any <- struct{}{}:
		default:
		}
	}
}

func (h heard) take() []store.TaskID {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]store.TaskID, 0, len(h.ids))
	for id := range h.ids {
		out = append(out, id)
	}
	clear(h.ids)
	return out
}

func (h heard) end() { close(h.over) }

// sweepEvery is how often tasks that are over are looked through.
const sweepEvery = time.Minute

// watch does what the table's news and time ask for, until the runner stops.
func (r *Runner) watch() {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-r.heard.any:
			for _, id := range r.heard.take() {
				r.look(id)
			}
		case <-ticker.C:
			r.sweep()
		case <-r.heard.over:
			return
		}
	}
}

// look does what the present state of a task asks of this gateway. A task of its own
// that it does not run was interrupted: it was there at the start, or comes back from
// others, or from what was set aside.
func (r *Runner) look(id store.TaskID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ok := r.cfg.Table.Task(id) // under mu: a job is removed only after the table has its end
	if !ok || t.State.Ended() {
		return
	}
	j, mine := r.jobs[id], t.Node == r.cfg.Node
	switch {
	case j == nil && mine && !r.stopping:
		p, ok := r.procedures[t.Type]
		if !ok {
			r.cfg.Log.Warn("a task was interrupted that this release does not know; it is left as it is", "task", id, "type", t.Type)
			return
		}
		j = r.job(t, p)
		r.jobs[id] = j
		r.waiting = append(r.waiting, j)
		r.dispatch()
	case j == nil:
	case !mine && !j.entering:
		j.cancel(errTaken)
	case t.Canceled && !t.NoReturn && !j.entering:
		r.endOf(j)
	}
}

// endOf ends a job that somebody wants to end. It needs mu.
func (r *Runner) endOf(j *Job) {
	i := slices.Index(r.waiting, j)
	if i < 0 || !j.fresh {
		j.cancel(ErrCanceled)
		return
	}
	r.waiting = slices.Delete(r.waiting, i, i+1)
	r.busy.Go(func() {
		j.end(ErrCanceled)
		r.remove(j)
	})
}

// full reports whether so many tasks that are over are kept that those which are not yet
// could make it too many, or their results too long.
func (r *Runner) full() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept >= MaxKept-MaxRunning-MaxWaiting || r.results >= MaxResults
}

// keepFewer is how many tasks are left when there were too many, and keepResults how
// long their results are.
const (
	keepFewer   = MaxKept * 8 / 10
	keepResults = MaxResults * 8 / 10
)

// sweep forgets tasks that are over and old: those of this gateway, and of others that
// did not do it themselves. If there are too many, the oldest go, too.
func (r *Runner) sweep() {
	var old []store.TaskID
	var mine []store.Task
	results := 0
	for _, t := range r.cfg.Table.Tasks() {
		age := time.Since(t.StateChanged.Time)
		switch own := t.Node == r.cfg.Node; {
		case !t.State.Ended():
		case own && age > Keep, age > Keep+time.Hour:
			old = append(old, t.ID)
		case own:
			mine = append(mine, t)
			results += len(t.Result)
		}
	}
	if r.full() {
		slices.SortFunc(mine, func(a, b store.Task) int { return a.StateChanged.Compare(b.StateChanged.Time) })
		for len(mine) > keepFewer || results > keepResults {
			old = append(old, mine[0].ID)
			results -= len(mine[0].Result)
			mine = mine[1:]
		}
	}
	for chunk := range slices.Chunk(old, 1000) {
		if err := r.drop(chunk); err != nil {
			return // it is tried again
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept, r.results = len(mine), results
}

func (r *Runner) drop(ids []store.TaskID) error {
	return r.cfg.Table.Update(func(tx *store.Tx) error {
		for _, id := range ids {
			if t, ok := tx.Task(id); !ok || !t.State.Ended() {
				continue
			}
			if _, err := tx.DeleteTask(id); err != nil {
				return err
			}
		}
		return nil
	})
}
