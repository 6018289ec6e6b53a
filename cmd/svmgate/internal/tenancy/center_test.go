package tenancy

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
	"github.com/svmgate/svmgate/store"
)

// What was made in a Kaspersky Security Center is found there, and what was removed by
// others is missed.
func TestStepOfTheVirtualServerAsksForIt(t *testing.T) {
	center, err := ksctest.Start(ksctest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer center.Close()
	servers, err := ksc.Open(ksc.Config{
		URLs: []string{center.URL()}, Account: ksc.Account{User: "gateway", Password: "gateway-secret"}, CA: center.CA(),
		Attempts: 3, Pause: 10 * time.Millisecond, Timeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	p := newPlace(t)
	p.guide.KSC, p.guide.URLs = servers, []string{center.URL()}

	tenant := p.tenant(nil)
	if s := p.step(tenant.ID, 1); s.State != StepMissing || !strings.HasSuffix(s.Found, center.URL()+" has room for 500 of 500") {
		t.Errorf("before: %+v", s)
	}
	site := ksc.Site{Mark: tenant.ID.String(), Name: "Acme Ltd", User: "acme-admin"}
	site, err = servers.Make(t.Context(), site, []byte("a Secret 17!"), func(string, int, ksc.Site) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(center.URL())
	if err != nil {
		t.Fatal(err)
	}
	tenant.Administration = store.Administration{Server: site.Server, Address: at.Hostname(), User: "acme-admin"}
	p.update(func(tx *store.Tx) error { _, err := tx.PutTenant(tenant); return err })
	if s := p.step(tenant.ID, 1); s.State != StepDone || !strings.HasSuffix(s.Found, center.URL()+" has it, by the name Acme Ltd") {
		t.Errorf("made: %+v", s)
	}
	if h, err := p.guide.Handover(t.Context(), tenant.ID); err != nil || h.Server != "Acme Ltd" || h.ID != site.Server {
		t.Errorf("hand-over: %+v, %v", h, err)
	}
	if err := servers.Remove(t.Context(), site, func(string, int, ksc.Site) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if s := p.step(tenant.ID, 1); s.State != StepMissing || !strings.HasSuffix(s.Found, center.URL()+" has no such virtual server") {
		t.Errorf("removed: %+v", s)
	}
	center.Close()
	if s := p.step(tenant.ID, 1); s.State != StepUnknown || !strings.Contains(s.Found, "can not be asked: ") {
		t.Errorf("gone: %+v", s)
	}
}
