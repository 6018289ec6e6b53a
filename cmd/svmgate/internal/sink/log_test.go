package sink

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

func TestLog(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelInfo}))
	check(t, deliver(t, Log(log),
		store.Event{ID: store.EventID{15: 1}, Type: "svm.down", SVM: store.SVMID{15: 2}, Message: "SVM svm-1 is silent"},
		store.Event{
			ID: store.EventID{15: 3}, Type: "admin.tenant_deactivate", Tenant: store.TenantID{15: 4}, Message: "deactivated\ntenant",
			Actor: "root", From: "10.0.0.1",
		}))
	rows := strings.Split(strings.TrimSpace(text.String()), "\n")
	want := []string{
		`level=WARN msg="SVM svm-1 is silent" event=svm.down at=0001-01-01T00:00:00.000Z id=00000000-0000-0000-0000-000000000001 ` +
			`svm=00000000-0000-0000-0000-000000000002`,
		`level=INFO msg="deactivated\ntenant" event=admin.tenant_deactivate at=0001-01-01T00:00:00.000Z ` +
			`id=00000000-0000-0000-0000-000000000003 tenant=00000000-0000-0000-0000-000000000004 actor=root from=10.0.0.1`,
	}
	if len(rows) != 2 {
		t.Fatalf("%d lines:\n%s", len(rows), text.String())
	}
	for i := range want {
		if _, got, _ := strings.Cut(rows[i], " "); got != want[i] {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
	}
}

func TestLogThatFails(t *testing.T) {
	log := slog.New(slog.NewTextHandler(failing{}, nil))
	if err := deliver(t, Log(log), someEvents(1)...); err == nil {
		t.Error("no error")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no") }
