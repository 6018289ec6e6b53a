package problem

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/svmgate/svmgate/store"
)

func TestOfTable(t *testing.T) {
	full := fmt.Errorf("%w: %w", store.ErrReadOnly, syscall.ENOSPC)
	for _, tt := range []struct {
		name       string
		err, fault error
		status     int
		code, says string
	}{
		{"a field", fmt.Errorf("tenant: %w", &store.FieldError{Field: "name", Reason: "must not be empty"}), nil, 400, "invalid_field", "name"},
		{"nothing there", fmt.Errorf("VM: %w", store.ErrNotFound), nil, 404, "not_found", "VM"},
		{"something there", fmt.Errorf("VM: %w", store.ErrExists), nil, 409, "exists", "VM"},
		{"a full disk", full, nil, 507, "read_only", "free space and try again"},
		{"a disk that fails", store.ErrReadOnly, nil, 507, "read_only", "nothing was changed"},
		{"a disk that has failed", full, errors.New("restart"), 507, "read_only", "the change is not acknowledged"},
		{"a full table", store.ErrFull, nil, 507, "table_full", "table is full"},
		{"a closed table", store.ErrClosed, nil, 503, "not_ready", "stopping"},
	} {
		status, code, detail, known := OfTable(tt.err, tt.fault)
		if !known || status != tt.status || code != tt.code || !strings.Contains(detail, tt.says) {
			t.Errorf("%s: %d %s %q, want %d %s and %q", tt.name, status, code, detail, tt.status, tt.code, tt.says)
		}
	}
	if status, _, _, known := OfTable(errors.New("a bug"), nil); known {
		t.Errorf("an error that is not the table's: %d", status)
	}
}
