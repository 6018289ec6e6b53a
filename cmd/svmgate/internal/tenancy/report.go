package tenancy

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// Reports makes and removes protection reports; [*protection.Files] does.
type Reports interface {
	Make(ctx context.Context, id uuid.UUID, q protection.Query) error
	Remove(id uuid.UUID) error
}

// A ReportRequest is what a protection report is about; zero values mean everything.
type ReportRequest struct {
	Tenant   store.TenantID `json:"tenant"`
	From, To store.Time
}

// reportNotes are the notes of a createReport.
type reportNotes struct {
	ID uuid.UUID
	ReportRequest
}

// Report begins a task that makes a protection report; its result is the report's id.
// Reports are made one at a time: each looks through all that there is.
func (s *Service) Report(by audit.Who, r ReportRequest) (store.Task, error) {
	notes, err := json.Marshal(reportNotes{uuid.Must(uuid.NewV7()), r})
	if err != nil {
		return store.Task{}, err
	}
	return s.tasks.Begin(task.Spec{
		Procedure: createReport{s}, Tenant: r.Tenant, By: by, Notes: notes, Lane: "reports",
	})
}

// createReport makes a report: a file of this gateway, which is there whole, under the id
// that the notes have, before the task is Completed; or not at all.
type createReport struct{ *Service }

func (createReport) Type() string { return "CreateTenantReport" }

func (p createReport) Do(ctx context.Context, job *task.Job) error {
	notes, err := readReportNotes(job)
	if err != nil {
		return err
	}
	if err := job.Note("Making the report", 10, job.Task.Notes); err != nil {
		return err
	}
	q := protection.Query{From: notes.From.Time, To: notes.To.Time}
	if !notes.Tenant.IsZero() {
		q.Tenant = &notes.Tenant
	}
	return p.cfg.Reports.Make(ctx, notes.ID, q)
}

func (createReport) Commit(_ *store.Tx, job *task.Job) ([]byte, error) {
	notes, err := readReportNotes(job)
	return []byte(notes.ID.String()), err
}

func (p createReport) Undo(_ context.Context, job *task.Job) error {
	notes, err := readReportNotes(job)
	if err != nil {
		return nil // there can be no report of which nobody knows the name
	}
	return p.cfg.Reports.Remove(notes.ID)
}

func readReportNotes(job *task.Job) (n reportNotes, err error) {
	if err = json.Unmarshal(job.Task.Notes, &n); err == nil && n.ID == uuid.Nil {
		err = fmt.Errorf("the notes %.100q name no report", job.Task.Notes)
	}
	return n, err
}
