package problem

import (
	"errors"
	"syscall"

	"github.com/svmgate/svmgate/store"
)

// OfTable returns the answer to a change that the table refused; false if the error is
// none of the table's that a caller can do something about. fault is [store.Table.Fault].
func OfTable(err, fault error) (status int, code, detail string, known bool) {
	var field *store.FieldError
	switch {
	case errors.As(err, &field):
		return 400, "invalid_field", field.Error(), true
	case errors.Is(err, store.ErrNotFound):
		return 404, "not_found", err.Error(), true
	case errors.Is(err, store.ErrExists):
		return 409, "exists", err.Error(), true
	case errors.Is(err, store.ErrReadOnly):
		return 507, "read_only", readOnly(err, fault), true
	case errors.Is(err, store.ErrFull):
		return 507, "table_full", "nothing was changed: " + err.Error(), true
	case errors.Is(err, store.ErrClosed):
		return 503, "not_ready", "the gateway is stopping", true
	}
	return 0, "", "", false
}

// readOnly says what a change was refused for, and what to do about it.
func readOnly(err, fault error) string {
	switch {
	case fault != nil: // which knows the remedy, but not what reached the disk
		return "the change is not acknowledged: " + err.Error()
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "nothing was changed: the disk is full; free space and try again: " + err.Error()
	}
	return "nothing was changed: " + err.Error()
}
