package tenancy

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// Config configures a [Service]. Table, Node and Reports are required.
type Config struct {
	Table *store.Table
	Node  string                                          // name of this gateway
	Alive func(node string) (alive bool, since time.Time) // see [task.Config]
	// Spread waits until another gateway has a record; see [task.Config].
	Spread func(ctx context.Context, key store.Key)

	Reports Reports // where protection reports are kept

	// Servers are the Kaspersky Security Centers; nil if there are none.
	Servers *ksc.Servers
	// RecordOnly says that complete tenants need none ("ksc none").
	RecordOnly bool

	Log *slog.Logger
}

// A Service does what administrators and their tools ask for. Its methods may be called
// from many goroutines.
type Service struct {
	cfg   Config
	tasks *task.Runner
}

// New returns a Service for cfg, and begins to undo what was interrupted. Stop it before
// the table is closed. If cfg is wrong the error says how.
func New(cfg Config) (*Service, error) {
	if cfg.Reports == nil {
		return nil, errors.New("tenancy: Config.Reports must be set")
	}
	s := &Service{cfg: cfg}
	var err error
	s.tasks, err = task.New(task.Config{
		Table: cfg.Table, Node: cfg.Node, Alive: cfg.Alive, Spread: cfg.Spread, Text: taskText, Log: cfg.Log,
		Procedures: []task.Procedure{
			createTenant{s}, deleteTenant{s}, changeActivation{Service: s}, createReport{s},
		},
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Stop lets tasks come to an end until ctx ends; see [task.Runner.Stop].
func (s *Service) Stop(ctx context.Context) { s.tasks.Stop(ctx) }

// A NewTenant is what is asked for.
type NewTenant struct {
	Tenant   store.Tenant // ID, status, created and updated are ignored
	Password []byte       // of Tenant.Administration.User, for a complete tenant
}

// Check says what of a new tenant no task needs to find out, as a [*store.FieldError].
// That a name is taken is not among it.
func (n *NewTenant) Check() error {
	switch t := &n.Tenant; {
	case strings.TrimSpace(t.Name) == "":
		return &store.FieldError{Field: "name", Value: t.Name, Reason: "must not be empty"}
	case t.Type != store.Complete:
	case strings.TrimSpace(t.Administration.User) == "":
		return &store.FieldError{Field: "administration.user", Reason: "must not be empty: a complete tenant has an administrator"}
	case len(n.Password) == 0:
		return &store.FieldError{Field: "password", Reason: "must not be empty: a complete tenant has an administrator"}
	}
	return n.Tenant.Validate()
}

// Create begins a task that makes a tenant. The password is the task's from then on,
// which overwrites it when it needs it no longer. The error is that of [NewTenant.Check]
// or [task.Runner.Begin].
func (s *Service) Create(by audit.Who, n NewTenant) (store.Task, error) {
	if err := n.Check(); err != nil {
		n.Wipe()
		return store.Task{}, err
	}
	n.Tenant.ID = store.NewTenantID()
	n.Tenant.Administration.Artifacts = ""
	return s.tasks.Begin(task.Spec{
		Procedure: createTenant{s}, Tenant: n.Tenant.ID, By: by, Secret: &n,
		Lane: "name/" + strings.ToLower(n.Tenant.Name), Quick: !s.hasSite(&n.Tenant),
	})
}

// SetActive switches a tenant on or off; the task has ended when it returns. There is
// one even if there is no such tenant: it is Failed then.
func (s *Service) SetActive(by audit.Who, id store.TenantID, active bool) (store.Task, error) {
	notes := deactivate
	if active {
		notes = activate
	}
	return s.tasks.Begin(task.Spec{
		Procedure: changeActivation{Service: s}, Tenant: id, By: by, Notes: []byte(notes), Quick: true,
	})
}

// Delete begins a task that removes a tenant, artifacts included if that is asked for:
// those that were made with it, whatever it is now.
func (s *Service) Delete(by audit.Who, id store.TenantID, artifacts bool) (store.Task, error) {
	t, _ := s.cfg.Table.Tenant(id)
	return s.tasks.Begin(task.Spec{
		Procedure: deleteTenant{s}, Tenant: id, By: by, Lane: "tenant/" + id.String(),
		Quick: !artifacts || t.Administration.Artifacts == "" && (!s.hasSite(&t) || t.Administration.Server == ""),
	})
}

// Cancel asks for the end of a task; see [task.Runner.Cancel].
func (s *Service) Cancel(id store.TaskID, by audit.Who) (store.Task, error) {
	return s.tasks.Cancel(id, by)
}

// hasSite reports whether a tenant has, or is to have, something in Kaspersky Security
// Center.
func (s *Service) hasSite(t *store.Tenant) bool {
	return t.Type == store.Complete && s.cfg.Servers != nil && !s.cfg.RecordOnly
}

// configured fails if a tenant needs a Kaspersky Security Center and there is none.
func (s *Service) configured(t *store.Tenant) error {
	if t.Type == store.Complete && s.cfg.Servers == nil && !s.cfg.RecordOnly {
		return notConfigured()
	}
	return nil
}
