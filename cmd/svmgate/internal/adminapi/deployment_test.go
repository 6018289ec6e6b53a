package adminapi

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

func (w *world) deployment() (d tenancy.Deployment) {
	w.t.Helper()
	w.must(200, "GET", "/v1/tenants/"+w.tenant.String()+"/deployment", "").json(w.t, &d)
	return d
}

func TestDeployment(t *testing.T) {
	w := newWorld(t)
	d := w.deployment()
	if d.Tenant != w.tenant || len(d.Steps) != 7 {
		t.Fatalf("%+v", d)
	}
	if s := d.Steps[4]; s.Number != 5 || s.State != tenancy.StepDone || s.Found != "1 VM is registered" {
		t.Errorf("%+v", s)
	}
	const nobody = "/v1/tenants/00000000-0000-0000-0000-0000000000a9"
	for path, want := range map[string]int{nobody + "/deployment": 404, nobody + "/handover": 404, "/v1/tenants/x/deployment": 400, "/v1/tenants/x/handover": 400} {
		if a := w.do("GET", path, ""); a.status != want || want == 404 && a.code() != "tenant_not_found" {
			t.Errorf("GET %s: %d %s, want %d", path, a.status, a.code(), want)
		}
	}
}

// A call that a remedy names works as it stands there, and mends the step.
func TestRemediesWork(t *testing.T) {
	w := newWorld(t)
	path := "/v1/tenants/" + w.tenant.String()
	w.must(200, "PATCH", path, `{"administration":null}`)
	call := regexp.MustCompile(`PATCH (/\S+) (\{.*\})$`)
	for _, number := range []int{1, 3} {
		s := w.deployment().Steps[number-1]
		m := call.FindStringSubmatch(s.Remedy)
		if s.State != tenancy.StepMissing || m == nil {
			t.Errorf("step %d names no call: %+v", number, s)
			continue
		}
		w.must(200, "PATCH", m[1], m[2])
		if s := w.deployment().Steps[number-1]; s.State != tenancy.StepDone {
			t.Errorf("step %d after %s: %+v", number, m[2], s)
		}
	}
}

func TestHandover(t *testing.T) {
	w := newWorld(t)
	path := "/v1/tenants/" + w.tenant.String()
	var h tenancy.Handover
	w.must(200, "GET", path+"/handover", "").json(t, &h)
	if h.Tenant != w.tenant || h.ID != "17" || h.Address != "ksc.example" || h.User != "acme-admin" || h.Ready {
		t.Errorf("%+v", h)
	}
	w.must(200, "PATCH", path, `{"administration":{"user":null}}`)
	a := w.do("GET", path+"/handover", "")
	if a.status != 409 || a.code() != "nothing_to_hand_over" || !strings.Contains(a.body, "not recorded: its account") {
		t.Errorf("without an account: %d %s", a.status, a.body)
	}
}

// What goes wrong is answered, and what a gateway is told of its end is no fault.
func TestDeploymentFails(t *testing.T) {
	for err, want := range map[error]int{context.Canceled: 503, errors.New("odd"): 500} {
		w := newWorld(t, func(c *Config) { c.Deployments = failing{err} })
		for _, what := range []string{"deployment", "handover"} {
			if a := w.do("GET", "/v1/tenants/"+w.tenant.String()+"/"+what, ""); a.status != want {
				t.Errorf("%s with %v: %d, want %d", what, err, a.status, want)
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Deployment(context.Context, store.TenantID) (d tenancy.Deployment, err error) {
	return d, f.err
}

func (f failing) Handover(context.Context, store.TenantID) (h tenancy.Handover, err error) {
	return h, f.err
}

// What a tenant's virtual server was made with is not forgotten when what is recorded of
// it is: it would never be removed.
func TestArtifactsOutliveTheRecord(t *testing.T) {
	w := newWorld(t)
	if err := w.table.Update(func(tx *store.Tx) error {
		now, _ := tx.Tenant(w.tenant)
		now.Administration.Artifacts = "what was made"
		_, err := tx.PutTenant(now)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	w.must(200, "PATCH", "/v1/tenants/"+w.tenant.String(), `{"administration":null}`)
	now, _ := w.table.Tenant(w.tenant)
	if want := (store.Administration{Artifacts: "what was made"}); now.Administration != want {
		t.Errorf("there is %+v", now.Administration)
	}
}
