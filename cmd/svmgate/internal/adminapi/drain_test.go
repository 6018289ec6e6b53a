package adminapi

import (
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

func TestDrainPace(t *testing.T) {
	w := newWorld(t)
	path := "/v1/svms/" + ownSVM.String()
	agents := func(n int) {
		t.Helper()
		check(t, w.table.Update(func(tx *store.Tx) error {
			_, err := tx.ReportSVM(ownSVM, store.SVMFacts{Version: "6.0"}, n)
			return err
		}))
	}
	agents(90)
	var s store.SVM
	var since store.Time
	for _, step := range []struct {
		name, method, path, body string
		over                     time.Duration // less than 0: it is not draining
	}{
		{"by default", "POST", path + "/drain", "", store.DefaultDrain},
		{"over a time", "POST", path + "/drain", `{"over":"1h"}`, time.Hour},
		{"again, without saying how long", "POST", path + "/drain", "{}", time.Hour},
		{"at once", "POST", path + "/drain", `{"over":"0"}`, 0},
		{"at a rate", "POST", path + "/drain", `{"rate":60}`, 90 * time.Second},
		{"at a rate that does not divide", "POST", path + "/drain", `{"rate":7}`, 772 * time.Second},
		{"patched meanwhile", "PATCH", path, `{"name":"other"}`, 772 * time.Second},
		{"no more", "POST", path + "/undrain", "", -1},
		{"by its state", "PATCH", path, `{"state":"draining"}`, store.DefaultDrain},
	} {
		var was store.Drain
		was, s = s.Drain, store.SVM{}
		w.must(200, step.method, step.path, step.body).json(t, &s)
		if step.over < 0 {
			if s.State != store.Ready || s.Drain != (store.Drain{}) {
				t.Errorf("%s: %v, drain %v", step.name, s.State, s.Drain)
			}
			continue
		}
		if got := time.Duration(s.Drain.Over) * time.Second; s.State != store.Draining || got != step.over {
			t.Errorf("%s: %v over %v, want %v", step.name, s.State, got, step.over)
		}
		if since = s.Drain.Since; time.Since(since.Time) > time.Minute || !was.Since.IsZero() && was.Since != since {
			t.Errorf("%s: since %v, was %v", step.name, since, was.Since)
		}
	}
	before := w.must(200, "GET", path, "")
	if after := w.must(200, "PUT", path, before.body); after.header.Get("ETag") != before.header.Get("ETag") {
		t.Errorf("sent back as it was read: %s\nwas %s", after.body, before.body)
	}
	agents(0)
	w.must(200, "POST", path+"/drain", `{"rate":1}`).json(t, &s)
	if s.Drain.Over != 600 {
		t.Errorf("at a rate, of no agents: over %d s, want the default", s.Drain.Over)
	}
	agents(2000)
	if a := w.do("POST", path+"/drain", `{"rate":1}`); a.status != 400 || a.code() != "invalid_field" {
		t.Errorf("2,000 agents, one a minute: %d %s, want 400: that is more than a day", a.status, a.body)
	}
}
