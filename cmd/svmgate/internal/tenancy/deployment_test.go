package tenancy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A place is a table with a selector and a guide on it.
type place struct {
	t     testing.TB
	table *store.Table
	guide *Guide
}

func newPlace(t testing.TB) *place {
	t.Helper()
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	selector, err := discovery.New(discovery.Config{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		selector.Close()
		table.Close()
	})
	return &place{t, table, &Guide{Table: table, Selector: selector}}
}

func (p *place) update(fn func(*store.Tx) error) {
	p.t.Helper()
	if err := p.table.Update(fn); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) tenant(change func(*store.Tenant)) store.Tenant {
	t := store.Tenant{ID: store.NewTenantID(), Name: "acme", Discovery: store.DefaultDiscovery()}
	if change != nil {
		change(&t)
	}
	p.update(func(tx *store.Tx) error { _, err := tx.PutTenant(t); return err })
	return t
}

func (p *place) activate(id store.TenantID) {
	p.update(func(tx *store.Tx) error { _, err := tx.SetActive(id, true); return err })
}

// svm adds an SVM that is up, on the host of its number.
func (p *place) svm(n int, change func(*store.SVM)) store.SVMID {
	s := store.SVM{
		ID:        store.SVMID{15: byte(n)},
		SVMConfig: store.SVMConfig{Name: fmt.Sprint("svm-", n), Address: "10.9.0.1", Pinned: true},
		SVMFacts:  store.SVMFacts{Version: "6.0", Path: store.Path{Host: fmt.Sprint("host-", n)}, License: store.License{State: store.LicenseValid}},
	}
	if change != nil {
		change(&s)
	}
	p.update(func(tx *store.Tx) error { _, err := tx.PutSVM(s); return err })
	return s.ID
}

// vms registers VMs of a tenant, and returns their BIOS IDs.
func (p *place) vms(tenant store.TenantID, n int, change func(*store.VM)) (ids []store.BIOSID) {
	p.update(func(tx *store.Tx) error {
		ids = nil
		for range n {
			vm := store.VM{BIOS: store.BIOSID(store.NewVMID()), Tenant: tenant, Path: store.Path{Host: "host-1"}}
			if change != nil {
				change(&vm)
			}
			if _, err := tx.PutVM(vm); err != nil {
				return err
			}
			ids = append(ids, vm.BIOS)
		}
		return nil
	})
	return ids
}

// step returns a step of a tenant, by its number.
func (p *place) step(id store.TenantID, number int) Step {
	p.t.Helper()
	d, err := p.guide.Deployment(p.t.Context(), id)
	if err != nil {
		p.t.Fatal(err)
	}
	s := d.Steps[number-1]
	if s.Number != number {
		p.t.Errorf("step %d has the number %d", number, s.Number)
	}
	return s
}

// says checks a step's state and what it found.
func (s Step) says(t testing.TB, state StepState, found string) {
	t.Helper()
	if s.State != state || s.Found != found {
		t.Errorf("step %d:\n got %s: %s\nwant %s: %s", s.Number, s.State, s.Found, state, found)
	}
	if nothing := state == StepDone || state == StepNotNeeded; nothing != (s.Remedy == "") {
		t.Errorf("step %d is %s, and its remedy is %q", s.Number, s.State, s.Remedy)
	}
	if s.Title == "" || strings.HasSuffix(s.Found+s.Remedy, ".") {
		t.Errorf("step %d is not as steps are: %+v", s.Number, s)
	}
}

// fakeCenters is a Kaspersky Security Center of a few words.
type fakeCenters struct {
	names    map[string]string // of virtual servers, by UID
	capacity []ksc.Capacity
	err      error
	asked    []ksc.Site
	disabled bool
}

func (f *fakeCenters) Describe(ctx context.Context, site ksc.Site) (ksc.VServer, bool, error) {
	f.asked = append(f.asked, site)
	if _, bounded := ctx.Deadline(); !bounded {
		return ksc.VServer{}, false, errors.New("nobody bounds the wait")
	}
	name, ok := f.names[site.Server]
	return ksc.VServer{UID: site.Server, Name: name, Enabled: !f.disabled}, ok, f.err
}

func (f *fakeCenters) Capacity(context.Context) []ksc.Capacity { return f.capacity }

var recorded = store.Administration{Server: "uid-1", Address: "ksc.example", User: "acme-admin", IntegrationServer: "is.example:7271"}

// A tenant goes through its deployment, and each step is seen to be done.
func TestDeploymentFromBeginningToEnd(t *testing.T) {
	p := newPlace(t)
	tenant := p.tenant(nil)
	missing := func(want ...int) {
		t.Helper()
		d, err := p.guide.Deployment(t.Context(), tenant.ID)
		if err != nil || d.Tenant != tenant.ID || len(d.Steps) != 7 {
			t.Fatalf("%+v, %v", d, err)
		}
		if diff := cmp.Diff(append([]int{}, want...), d.Missing); diff != "" {
			t.Errorf("missing (-want +got):\n%s", diff)
		}
	}
	missing(1, 2, 3, 5, 6, 7)
	p.svm(1, nil)
	missing(1, 3, 5, 6, 7)
	tenant.Administration = recorded
	p.update(func(tx *store.Tx) error { _, err := tx.PutTenant(tenant); return err })
	missing(5, 6)
	ids := p.vms(tenant.ID, 2, nil)
	missing(6)
	p.step(tenant.ID, 4).says(t, StepUnknown, "no agent of its 2 VMs was given an SVM by this gateway since it started; it can not tell more while the tenant is inactive")
	p.activate(tenant.ID)
	missing()
	p.step(tenant.ID, 4).says(t, StepUnknown, "no agent of its 2 VMs was given an SVM by this gateway since it started; it can not tell more")
	for i, id := range ids {
		p.guide.Selector.Select(&discovery.Query{BIOS: id}, new(discovery.Answer))
		if i == 0 {
			p.step(tenant.ID, 4).says(t, StepUnknown, "the agents of 1 of 2 VMs were given an SVM by this gateway since it started; it can not tell of the others")
		}
	}
	p.step(tenant.ID, 4).says(t, StepDone, "the agents of all 2 VMs were given an SVM by this gateway")
	p.step(tenant.ID, 5).says(t, StepDone, "2 VMs are registered")
	p.step(tenant.ID, 6).says(t, StepDone, "the tenant is active")
}

func TestSimpleTenantsNeedLess(t *testing.T) {
	p := newPlace(t)
	tenant := p.tenant(func(t *store.Tenant) { t.Type, t.Administration.IntegrationServer = store.Simple, "is.example" })
	p.svm(1, nil)
	p.vms(tenant.ID, 1, nil)
	for _, n := range []int{1, 6, 7} {
		if s := p.step(tenant.ID, n); s.State != StepNotNeeded || s.Remedy != "" {
			t.Errorf("step %d: %+v", n, s)
		}
	}
	d, err := p.guide.Deployment(t.Context(), tenant.ID)
	if err != nil || len(d.Missing) != 0 {
		t.Errorf("%+v, %v", d.Missing, err)
	}
}

func TestDeploymentOfNobody(t *testing.T) {
	if _, err := newPlace(t).guide.Deployment(t.Context(), store.NewTenantID()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%v", err)
	}
	p := newPlace(t)
	tenant := p.tenant(nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.guide.Deployment(gone, tenant.ID); !errors.Is(err, context.Canceled) {
		t.Errorf("who went away is answered: %v", err)
	}
}

// Step 1 believes what is recorded only if no Kaspersky Security Center is to be asked.
func TestStepOfTheVirtualServer(t *testing.T) {
	p := newPlace(t)
	tenant := p.tenant(func(t *store.Tenant) { t.Administration = recorded })
	p.step(tenant.ID, 1).says(t, StepDone, "uid-1 at ksc.example, with the account acme-admin, as recorded; no Kaspersky Security Center is asked")

	fake := &fakeCenters{names: map[string]string{"uid-1": "Acme Ltd"}, capacity: []ksc.Capacity{
		{URL: "https://ksc.example:13299", Used: 498, Limit: 500}, {URL: "https://other.example:13299", Limit: 500, Err: errors.New("x")},
	}}
	p.guide.KSC, p.guide.URLs = fake, []string{"https://other.example:13299", "https://ksc.example:13299"}
	p.step(tenant.ID, 1).says(t, StepDone, "uid-1 at ksc.example, with the account acme-admin; https://ksc.example:13299 has it, by the name Acme Ltd")
	fake.disabled = true
	p.step(tenant.ID, 1).says(t, StepMissing, "uid-1 at ksc.example, with the account acme-admin; https://ksc.example:13299 has it, by the name Acme Ltd, and it is disabled there")
	fake.disabled, fake.asked = false, fake.asked[:1]
	want := ksc.Site{KSC: "https://ksc.example:13299", Mark: tenant.ID.String(), Name: "acme", User: "acme-admin", Server: "uid-1"}
	if diff := cmp.Diff([]ksc.Site{want}, fake.asked); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
	for _, address := range []string{"ksc.example:13299", "KSC.example"} {
		tenant.Administration.Address = address
		p.update(func(tx *store.Tx) error { _, err := tx.PutTenant(tenant); return err })
		if s := p.step(tenant.ID, 1); s.State != StepDone {
			t.Errorf("at %s: %+v", address, s)
		}
	}
	// What was written down when it was made says where it is, whatever the address.
	made := ksc.Site{KSC: "https://other.example:13299", Mark: tenant.ID.String(), Name: "acme", Server: "uid-1", ServerID: 17}
	for _, tt := range []struct {
		change func(*ksc.Site)
		want   string
	}{
		{func(*ksc.Site) {}, "https://other.example:13299"},
		{func(s *ksc.Site) { s.Mark = "another" }, "https://ksc.example:13299"},
		{func(s *ksc.Site) { s.Server = "uid-2" }, "https://ksc.example:13299"},
		{func(s *ksc.Site) { s.KSC = "https://third.example:13299" }, "https://ksc.example:13299"},
	} {
		site := made
		tt.change(&site)
		text, err := json.Marshal(site)
		if err != nil {
			t.Fatal(err)
		}
		tenant.Administration = recorded
		tenant.Administration.Artifacts = string(text)
		if got := p.guide.site(&tenant); got.KSC != tt.want || got.ServerID == 17 != (site == made) {
			t.Errorf("%s: %+v, want it at %s", text, got, tt.want)
		}
	}
	tenant.Administration = recorded
	p.update(func(tx *store.Tx) error { _, err := tx.PutTenant(tenant); return err })
	fake.names = nil
	p.step(tenant.ID, 1).says(t, StepMissing, "uid-1 at ksc.example, with the account acme-admin, as recorded; but https://ksc.example:13299 has no such virtual server")
	fake.err = ksc.ErrUnreachable
	p.step(tenant.ID, 1).says(t, StepUnknown, "uid-1 at ksc.example, with the account acme-admin, as recorded; https://ksc.example:13299 can not be asked: ksc: not reachable")
	p.guide.URLs = p.guide.URLs[:1]
	p.step(tenant.ID, 1).says(t, StepUnknown, "uid-1 at ksc.example, with the account acme-admin, as recorded; that is none of the Kaspersky Security Centers of --ksc")

	bare := p.tenant(func(t *store.Tenant) { t.Name, t.Administration = "bare", store.Administration{Server: "uid-2"} })
	p.step(bare.ID, 1).says(t, StepMissing, "not recorded: its address and its account; "+
		"https://ksc.example:13299 has room for 2 of 500, https://other.example:13299 can not be asked")
	p.guide.KSC = nil
	p.step(bare.ID, 1).says(t, StepMissing, "not recorded: its address and its account")
}

func TestStepOfSettings(t *testing.T) {
	p := newPlace(t)
	plain := p.tenant(nil)
	p.step(plain.ID, 3).says(t, StepMissing, "agents prefer the SVMs of their own host (algorithm standard), spread by capacity; "+
		"they can not choose otherwise (locked); the address of the Integration Server, for their policies, is not recorded")
	other := p.tenant(func(t *store.Tenant) {
		t.Name, t.Administration = "other", recorded
		t.Discovery = store.Discovery{Algorithm: store.Extended, Path: store.PathCluster, Load: store.Fewest, Tag: "gold", Protection: true}
	})
	p.step(other.ID, 3).says(t, StepDone, "agents use the SVMs of their own cluster only (algorithm extended), spread to the SVM with the fewest agents, "+
		`with tag "gold", with protected connections; they may choose otherwise (not locked); their policies are to name the Integration Server is.example:7271`)
}

func TestHandover(t *testing.T) {
	p := newPlace(t)
	tenant := p.tenant(func(t *store.Tenant) { t.Administration = recorded })
	p.svm(1, nil)
	h, err := p.guide.Handover(t.Context(), tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	if h.Ready || len(h.Missing) != 2 || h.Missing[0].Number != 5 || h.Missing[1].Number != 6 {
		t.Errorf("before it is active: ready: %v, missing %+v", h.Ready, h.Missing)
	}
	p.vms(tenant.ID, 1, nil)
	p.activate(tenant.ID)
	p.guide.KSC, p.guide.URLs = &fakeCenters{names: map[string]string{"uid-1": "Acme Ltd"}}, []string{"https://ksc.example:13299"}
	want := Handover{
		Tenant: tenant.ID, Name: "acme", Server: "Acme Ltd", ID: "uid-1", Address: "ksc.example", User: "acme-admin",
		IntegrationServer: "is.example:7271", Ready: true, Missing: []Step{}, Advice: h.Advice,
	}
	if h, err = p.guide.Handover(t.Context(), tenant.ID); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("hand-over (-want +got):\n%s", diff)
	}
	if !strings.Contains(strings.Join(h.Advice, " "), "Change it") {
		t.Errorf("nobody advises to change the password: %q", h.Advice)
	}
	p.step(tenant.ID, 7).says(t, StepUnknown, "nothing here can tell whether the tenant's administrator has what is needed")
}

func TestHandoverIsRefused(t *testing.T) {
	p := newPlace(t)
	bare := p.tenant(nil)
	simple := p.tenant(func(t *store.Tenant) { t.Name, t.Type = "simple", store.Simple })
	for id, says := range map[store.TenantID]string{
		bare.ID:   "there is nothing to hand over: not recorded: the server, its address and its account; make one",
		simple.ID: "there is nothing to hand over: the tenant is simple",
	} {
		_, err := p.guide.Handover(t.Context(), id)
		var unready *UnreadyError
		if !errors.As(err, &unready) || !strings.HasPrefix(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	p.step(bare.ID, 7).says(t, StepMissing, "there is nothing to hand over yet")
	if _, err := p.guide.Handover(t.Context(), store.NewTenantID()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of nobody: %v", err)
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345: "12,345", 1234567: "1,234,567", -5: "-5"} {
		if got := figure(n); got != want {
			t.Errorf("figure(%d) = %s", n, got)
		}
	}
	for name, want := range map[string]string{"acme": "acme", "a b": "", "x;rm": "", "--flag": "", "": "", store.TenantID{1}.String(): ""} {
		tenant := store.Tenant{ID: store.TenantID{9}, Name: name}
		if want == "" {
			want = tenant.ID.String()
		}
		if got := argument(&tenant); got != want {
			t.Errorf("the argument for %q is %q", name, got)
		}
	}
}
