package tenancy

import (
	"context"
	"log/slog"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// Codes of the Integration Server that tasks fail with, and one of our own.
const (
	CodeTenantNotFound  = "VIRMT_TenantWithSpecifiedIdNotFound"
	CodeNotConfigured   = "KSC_ServiceNotConfigured"
	CodeTenantNameTaken = "VIRMT_TenantWithSpecifiedNameAlreadyExists" // assumed
	CodeUserNameTaken   = "KSC_UserAlreadyExists"                      // assumed
	CodeNoRoom          = "KSC_VirtualServerLimitReached"              // assumed
	CodeKSC             = "KSC_Error"                                  // assumed: what else KSC refuses
	CodeInterrupted     = "VIRMT_TaskInterrupted"                      // assumed
	CodeCanceled        = "VIRMT_TaskCanceled"                         // assumed
	CodeInternal        = "VIRMT_InternalError"                        // assumed
)

// A Failure is why a task failed, with a code of the Integration Server. A task's error
// is its text, "CODE: message".
type Failure struct{ Code, Message string }

func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// Config configures a [Service]. Table and Node are required.
type Config struct {
	Table *store.Table
	Node  string                                          // name of this gateway
	Alive func(node string) (alive bool, since time.Time) // see [task.Config]

	// Servers are the Kaspersky Security Centers; nil if there are none.
	Servers *ksc.Servers
	// RecordOnly says that complete tenants need none ("ksc none").
	RecordOnly bool

	Log *slog.Logger
}

// New returns a Service for cfg, and begins to undo what was interrupted. Stop it before
// the table is closed. If cfg is wrong the error says how.
func New(cfg Config) (*Service, error) { return &Service{cfg: cfg}, nil }

// Stop lets tasks come to an end until ctx ends; see [task.Runner.Stop].
func (s *Service) Stop(ctx context.Context) { s.tasks.Stop(ctx) }

// A Service does what administrators and their tools ask for. Its methods may be called
// from many goroutines.
type Service struct {
	cfg   Config
	tasks *task.Runner
}

// A NewTenant is what is asked for.
type NewTenant struct {
	Tenant   store.Tenant // ID, status, created and updated are ignored
	Password []byte       // of Tenant.Administration.User, for a complete tenant
}

// Create begins a task that makes a tenant.
func (s *Service) Create(by string, n NewTenant) (store.Task, error) { panic("not yet") }

// SetActive switches a tenant on or off; the task has ended when it returns. There is
// one even if there is no such tenant: it is Failed then.
func (s *Service) SetActive(by string, id store.TenantID, active bool) (store.Task, error) {
	panic("not yet")
}

// Delete begins a task that removes a tenant, artifacts included if that is asked for.
func (s *Service) Delete(by string, id store.TenantID, artifacts bool) (store.Task, error) {
	panic("not yet")
}

// A ReportRequest is what a protection report is about; zero values mean everything.
type ReportRequest struct {
	Tenant   store.TenantID
	From, To store.Time
}

// Report begins a task that makes a protection report; its result is the report's id.
func (s *Service) Report(by string, r ReportRequest) (store.Task, error) { panic("not yet") }

// Cancel asks for the end of a task; see [task.Runner.Cancel].
func (s *Service) Cancel(id store.TaskID, by string) (store.Task, error) {
	return s.tasks.Cancel(id, by)
}

// ResultOf reads what a completed task came to: the tenant that was made or removed, as
// it was then; or a text: "true", or the id of a report.
func ResultOf(t store.Task) (tenant *store.Tenant, text string) { panic("not yet") }
