package adminapi

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// A fullJournal is a journal on a disk that can fill up, or break in a way that
// nobody foresaw.
type fullJournal struct{ fail error }

func (*fullJournal) Replay(func(store.Record) error) error { return nil }
func (j *fullJournal) Append([]store.Record) error         { return j.fail }
func (*fullJournal) Close() error                          { return nil }

func TestFullDisk(t *testing.T) {
	journal := &fullJournal{}
	w := newWorldOn(t, store.Config{Journal: journal})
	journal.fail = fmt.Errorf("%w: %w", store.ErrReadOnly, syscall.ENOSPC)
	tenant, svm, vm := "/v1/tenants/"+w.tenant.String(), "/v1/svms/"+ownSVM.String(), "/v1/vms/"+w.vm.String()
	for _, q := range [][3]string{
		{"POST", "/v1/tenants", `{"name":"b"}`},
		{"PATCH", tenant, `{"description":"b"}`},
		{"DELETE", tenant, ""},
		{"POST", tenant + "/deactivate", ""},
		{"POST", tenant + "/token", ""},
		{"PUT", svm, `{"address":"10.0.0.9"}`},
		{"PATCH", svm, `{"capacity":9}`},
		{"DELETE", svm, ""},
		{"POST", svm + "/report", `{"version":"6.1"}`},
		{"POST", svm + "/drain", ""},
		{"PUT", vm, `{"name":"b"}`},
		{"DELETE", vm, ""},
		{"POST", "/v1/users", `{"name":"b","role":"viewer","password":"b"}`},
		{"DELETE", "/v1/users/watcher", ""},
		{"POST", "/v1/import", `{"tenants":[{"name":"b"}]}`},
	} {
		if a := w.do(q[0], q[1], q[2]); a.status != 507 || !strings.Contains(a.body, "no space left") {
			t.Errorf("%s %s: %d %s, want 507 that says why", q[0], q[1], a.status, a.body)
		}
	}
	for _, path := range []string{tenant, svm, vm, "/v1/users/watcher", "/v1/explain" + vm[len("/v1/vms"):]} {
		w.must(200, "GET", path, "")
	}
	if a := w.do("DELETE", vm, ""); a.code() != "read_only" || !strings.Contains(a.body, "free space and try again") {
		t.Errorf("%s, want what to do", a.body)
	}
	journal.fail = nil
	w.must(200, "PATCH", tenant, `{"description":"b"}`)
}

func TestFaultsAreLoggedAndNotShown(t *testing.T) {
	var log bytes.Buffer
	journal := &fullJournal{}
	w := newWorldOn(t, store.Config{Journal: journal}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	journal.fail = errors.New("sector 17 is on fire")
	a := w.do("POST", "/v1/tenants", `{"name":"b"}`)
	if a.status != 500 || a.code() != "internal" || strings.Contains(a.body, "fire") {
		t.Errorf("%d %s, want 500 internal without the reason", a.status, a.body)
	}
	if !strings.Contains(log.String(), "sector 17") {
		t.Errorf("log %q, want the reason", log.String())
	}
}

func TestClosedTable(t *testing.T) {
	w := newWorld(t)
	check(t, w.table.Close())
	if a := w.do("POST", "/v1/tenants", `{"name":"b"}`); a.status != 503 || a.code() != "not_ready" {
		t.Errorf("%d %s, want 503 not_ready", a.status, a.body)
	}
}
