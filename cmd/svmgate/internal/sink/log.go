package sink

import (
	"context"
	"log/slog"
	"time"

	"github.com/svmgate/svmgate/store"
)

type logTarget struct{ handler slog.Handler }

// Log returns a target that writes events as lines of a log. Events below its level count
// as delivered.
func Log(log *slog.Logger) Target { return logTarget{log.Handler()} }

// Name implements [Target].
func (logTarget) Name() string { return "log" }

// Close implements [Target].
func (logTarget) Close() error { return nil }

// Deliver implements [Target].
func (t logTarget) Deliver(ctx context.Context, events []store.Event) (int, error) {
	for i := range events {
		e := &events[i]
		level := levelOf(e.Type).slog()
		if !t.handler.Enabled(ctx, level) {
			continue
		}
		line := slog.NewRecord(time.Now(), level, e.Message, 0)
		line.AddAttrs(slog.String("event", e.Type), slog.Time("at", e.Time.UTC()), slog.String("id", e.ID.String()))
		for _, f := range fieldsOf(e) {
			line.AddAttrs(slog.String(f.name, f.value))
		}
		if err := t.handler.Handle(ctx, line); err != nil {
			return i, err
		}
	}
	return len(events), nil
}

// A field is one of an event that is told where it is not empty.
type field struct{ name, value string }

func fieldsOf(e *store.Event) []field {
	var fields []field
	add := func(name, value string, empty bool) {
		if !empty {
			fields = append(fields, field{name, value})
		}
	}
	add("tenant", e.Tenant.String(), e.Tenant.IsZero())
	add("vm", e.VM.String(), e.VM.IsZero())
	add("svm", e.SVM.String(), e.SVM.IsZero())
	add("actor", e.Actor, e.Actor == "")
	add("from", e.From, e.From == "")
	return fields
}
