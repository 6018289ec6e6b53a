package tenancy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc/ksctest"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/store"
)

// reports are kept in memory.
type reports struct {
	mu    sync.Mutex
	there map[uuid.UUID]protection.Query
	makes func(context.Context) error // while one is made, if not nil
}

func newReports() *reports { return &reports{there: map[uuid.UUID]protection.Query{}} }

func (r *reports) Make(ctx context.Context, id uuid.UUID, q protection.Query) error {
	r.mu.Lock()
	r.there[id] = q
	makes := r.makes
	r.mu.Unlock()
	if makes != nil {
		return makes(ctx)
	}
	return nil
}

func (r *reports) Remove(id uuid.UUID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.there, id)
	return nil
}

// make says what happens while a report is made.
func (r *reports) make(fn func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.makes = fn
}

// only returns the only report that is there.
func (r *reports) only(t *testing.T) (id uuid.UUID, q protection.Query) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.there) != 1 {
		t.Fatalf("there are %d reports, want one", len(r.there))
	}
	for id, q = range r.there {
	}
	return id, q
}

func (r *reports) none(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.there) != 0 {
		t.Errorf("there are %d reports, want none", len(r.there))
	}
}

// reporting is a gateway without any KSC, and its reports.
func reporting(t *testing.T) (*gateway, *reports) {
	t.Helper()
	r := newReports()
	return alone(t, Config{Reports: r}), r
}

// begun is a report that is begun.
func (g *gateway) begun(r ReportRequest) store.TaskID {
	g.t.Helper()
	task, err := g.Report(audit.Who{Account: "root"}, r)
	if err != nil || task.State.Ended() || task.Type != "CreateTenantReport" || task.Tenant != r.Tenant {
		g.t.Fatalf("%+v, %v; want a report that is begun", task, err)
	}
	return task.ID
}

func TestNewNeedsReports(t *testing.T) {
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if _, err := New(Config{Table: table, Node: "gw-1"}); err == nil {
		t.Error("New without reports is content")
	}
}

func TestReport(t *testing.T) {
	tenant := store.NewTenantID()
	from, to := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		asked ReportRequest
		want  protection.Query
	}{
		"everything": {},
		"a tenant":   {ReportRequest{Tenant: tenant}, protection.Query{Tenant: &tenant}},
		"a month":    {ReportRequest{From: store.Time{Time: from}, To: store.Time{Time: to}}, protection.Query{From: from, To: to}},
	} {
		t.Run(name, func(t *testing.T) {
			g, r := reporting(t)
			none, text := ResultOf(g.is(g.begun(tt.asked), store.TaskCompleted, ""))
			id, q := r.only(t)
			if text != id.String() || none != nil {
				t.Errorf("the result is %q, want %q", text, id)
			}
			if !q.From.Equal(tt.want.From) || !q.To.Equal(tt.want.To) || (q.Tenant == nil) != (tt.want.Tenant == nil) || q.Tenant != nil && *q.Tenant != *tt.want.Tenant {
				t.Errorf("it is about %+v, want %+v", q, tt.want)
			}
		})
	}
}

// What is wrong has a name, and nothing is left.
func TestReportThatFails(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		code string
	}{
		"no room":        {fmt.Errorf("%w: 10000 are kept", protection.ErrNoRoom), CodeNoRoomForReport},
		"something else": {errors.New("sector 17 is on fire"), CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			g, r := reporting(t)
			r.make(func(context.Context) error { return tt.err })
			task := g.is(g.begun(ReportRequest{}), store.TaskFailed, tt.code)
			if !strings.Contains(task.Error, tt.err.Error()) {
				t.Errorf("the error is %q", task.Error)
			}
			r.none(t)
		})
	}
}

// held has a report wait until it is not wanted any more, and says when it waits.
func (r *reports) held() (waits chan struct{}) {
	waits = make(chan struct{})
	r.make(func(ctx context.Context) error {
		close(waits)
		<-ctx.Done()
		return ctx.Err()
	})
	return waits
}

func TestCancelReport(t *testing.T) {
	g, r := reporting(t)
	waits := r.held()
	id := g.begun(ReportRequest{})
	<-waits
	next := g.begun(ReportRequest{}) // reports are made one at a time
	if _, err := g.Cancel(id, audit.Who{Account: "root"}); err != nil {
		t.Fatal(err)
	}
	r.make(nil)
	g.is(id, store.TaskCanceled, CodeCanceled)
	_, made := ResultOf(g.is(next, store.TaskCompleted, ""))
	if id, _ := r.only(t); id.String() != made {
		t.Errorf("%s is there, want %s", id, made)
	}
}

// A report that was begun when the gateway was killed is no report.
func TestCrashInReport(t *testing.T) {
	g, r := reporting(t)
	waits := r.held()
	id := g.begun(ReportRequest{})
	<-waits
	disk := g.disk.die()
	g.kill()
	r.only(t)
	r.make(nil)
	again := start(t, Config{Reports: r}, disk, nil, ksctest.Holding{})
	again.is(id, store.TaskFailed, CodeInterrupted)
	r.none(t)
}
