package tenancy

import (
	"context"
	"fmt"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// A Guide tells how far the deployment of tenants has come, and what their
// administrators are given. It changes nothing. Table and Selector are required. Its
// methods may be called from many goroutines.
type Guide struct {
	Table    *store.Table
	Selector *discovery.Selector

	// KSC are the Kaspersky Security Centers at URLs, which are those of the setting ksc.
	// If nil, none is called: what is recorded of virtual Administration Servers is
	// believed.
	KSC  Centers
	URLs []string

	looks int // for a test; 0 means [maxLooks]
}

// Centers is what a [Guide] asks of Kaspersky Security Centers; [*ksc.Servers] is one.
type Centers interface {
	Describe(ctx context.Context, site ksc.Site) (ksc.VServer, bool, error)
	Capacity(ctx context.Context) []ksc.Capacity
}

// patience is how long a Guide waits for Kaspersky Security Center: a person is waiting,
// too.
const patience = 5 * time.Second

// A Deployment is how far a tenant has come: the seven steps of the vendor's documents,
// in order (Kaspersky Security for Virtualization Light Agent, online help, topic 259229).
type Deployment struct {
	Tenant  store.TenantID `json:"tenant"`
	Missing []int          `json:"missing"` // numbers of the steps that are missing; never nil
	Steps   []Step         `json:"steps"`
}

// A Step of a deployment.
type Step struct {
	Number int       `json:"number"` // from 1
	Title  string    `json:"title"`
	State  StepState `json:"state"`
	Found  string    `json:"found"`  // what is there, one sentence without a full stop
	Remedy string    `json:"remedy"` // what to do; empty if there is nothing to do
}

// A StepState says whether a step is done.
type StepState string

// Step states.
const (
	StepDone      StepState = "done"
	StepMissing   StepState = "missing"
	StepUnknown   StepState = "unknown"   // nothing here can tell
	StepNotNeeded StepState = "notNeeded" // tenants of this type do without
)

// Deployment looks how far the deployment of a tenant has come. It takes a pass over the
// VMs of the table, looks at SVMs up to [maxLooks] times, and asks one Kaspersky Security
// Center at most (all of them if the virtual server is missing), for 5 seconds at most.
// The error wraps [store.ErrNotFound], or is that of ctx.
func (g *Guide) Deployment(ctx context.Context, id store.TenantID) (Deployment, error) {
	tenant, ok := g.Table.Tenant(id)
	if !ok {
		return Deployment{}, fmt.Errorf("tenant %s: %w", id, store.ErrNotFound)
	}
	steps, _, err := g.steps(ctx, &tenant)
	if err != nil {
		return Deployment{}, err
	}
	d := Deployment{Tenant: id, Missing: []int{}, Steps: steps}
	for _, step := range steps {
		if step.State == StepMissing {
			d.Missing = append(d.Missing, step.Number)
		}
	}
	return d, nil
}

// steps returns the steps of a tenant, and the name of its virtual Administration
// Server, if that is known.
func (g *Guide) steps(ctx context.Context, t *store.Tenant) (steps []Step, name string, err error) {
	found, err := g.survey(ctx, t)
	if err != nil {
		return nil, "", err
	}
	server, name := g.server(ctx, t)
	steps = []Step{
		server, found.svms(), settings(t), found.agents(), found.registered(), activation(t), handingOver(t, &server),
	}
	for i := range steps {
		steps[i].Number = i + 1
	}
	return steps, name, nil
}

// settings is step 3. Settings there always are, so what can be missing is the
// address that agents' policies need.
func settings(t *store.Tenant) Step {
	s := Step{Title: "Settings of agents", State: StepDone, Found: choice(&t.Discovery)}
	if address := t.Administration.IntegrationServer; address != "" {
		s.Found += "; their policies are to name the Integration Server " + address
		return s
	}
	s.State = StepMissing
	s.Found += "; the address of the Integration Server, for their policies, is not recorded"
	s.Remedy = "record it: PATCH " + apiPath(t) + ` {"administration":{"integrationServer":"HOST:PORT"}}`
	return s
}

// choice says how agents choose an SVM.
func choice(d *store.Discovery) string {
	text := "agents prefer the SVMs of their own host"
	if d.Algorithm == store.Extended {
		text = map[store.PathLevel]string{
			store.PathHost: "agents use the SVMs of their own host only", store.PathCluster: "agents use the SVMs of their own cluster only",
			store.PathZone: "agents use the SVMs of their own zone only", store.PathIgnore: "agents use SVMs anywhere",
		}[d.Path]
	}
	text += fmt.Sprintf(" (algorithm %s), spread %s", d.Algorithm, map[store.Load]string{
		store.Balanced: "by capacity", store.Fewest: "to the SVM with the fewest agents",
	}[d.Load])
	if d.Tag != "" {
		text += fmt.Sprintf(", with tag %q", d.Tag)
	}
	if d.Protection {
		text += ", with protected connections"
	}
	if d.Locked {
		return text + "; they can not choose otherwise (locked)"
	}
	return text + "; they may choose otherwise (not locked)"
}

// activation is step 6.
func activation(t *store.Tenant) Step {
	s := Step{Title: "Activation", State: StepDone, Found: "the tenant is active"}
	switch {
	case t.Status == store.Active:
	case t.Type == store.Simple:
		s.State, s.Found = StepNotNeeded, "the tenant is simple: its agents get SVMs whether it is active or not"
	default:
		s.State, s.Found = StepMissing, "the tenant is inactive: its agents are given an address where no SVM is"
		s.Remedy = "activate it, once the steps before are done: svmgate tenant activate " + argument(t)
	}
	return s
}
