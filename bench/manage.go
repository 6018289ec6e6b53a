package bench

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// manage makes a request to the management plane.
func (w *worker) manage(s *step, o *outcome) {
	ctx, cancel := context.WithTimeout(s.calm, w.r.cfg.Timeout)
	defer cancel()
	admin := w.r.cfg.Admin
	if o.kind == Report {
		id := w.r.reports[w.random.IntN(len(w.r.reports))]
		o.status, o.err = admin.Do(ctx, http.MethodPost, "/v1/svms/"+id.String()+"/report", admin.Reports[id])
	} else {
		o.status, o.err = w.toggle(ctx)
	}
	o.done = time.Since(s.start)
}

// toggle switches a tenant, or the one that it switched before back again.
func (w *worker) toggle(ctx context.Context) (int, error) {
	back := w.off
	if !back {
		w.switched = <-w.r.tenants // there are as many as workers, so nobody waits
	}
	active := w.r.cfg.Admin.Toggles[w.switched] != back
	verb := "activate"
	if active {
		verb = "deactivate"
	}
	status, err := w.r.cfg.Admin.Do(ctx, http.MethodPost, "/v1/tenants/"+w.switched.String()+"/"+verb, nil)
	refused := err == nil && status/100 == 4 // nothing was changed
	w.off = !back && !refused || back && (err != nil || status != http.StatusOK)
	if !w.off {
		w.r.tenants <- w.switched
	}
	return status, err
}

// restore leaves the tenant as it was found. It is called when nothing else runs.
func (w *worker) restore(ctx context.Context) error {
	for try := 0; w.off; try++ {
		status, err := w.toggle(ctx)
		if w.off && try == 2 {
			return fmt.Errorf("bench: tenant %s is not switched back: status %d: %w", w.switched, status, err)
		}
	}
	return nil
}
