package store

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart with [errors.Is].
var (
	// ErrNotFound reports an object that the table does not have.
	ErrNotFound = errors.New("not found")

	// ErrExists reports an id, a name or a BIOS ID that is in use.
	ErrExists = errors.New("already exists")

	// ErrReadOnly reports that the journal can not be written at present, most
	// often because the disk is full. Nothing was changed; reading goes on.
	ErrReadOnly = errors.New("the journal can not be written")

	// ErrInDoubt reports, besides ErrReadOnly, that the disk failed in a way after which
	// its state is not known ([Table.Fault]): what was refused is not in the table, but
	// may be when it is opened anew.
	ErrInDoubt = errors.New("it is not known what reached the disk")

	// ErrClosed reports a write to a closed table.
	ErrClosed = errors.New("table is closed")

	// ErrFull reports one of the bounds of the package comment.
	ErrFull = errors.New("table is full")
)

// A FieldError reports a value that the table can not accept.
type FieldError struct {
	Field  string // path of the field, such as "discovery.agentVersion"
	Value  string // the value as given, shortened
	Reason string // what is allowed
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s %q: %s", e.Field, e.Value, e.Reason)
}

func fieldError(field, value, format string, args ...any) *FieldError {
	const most = 80
	if len(value) > most {
		value = value[:most] + "…"
	}
	return &FieldError{Field: field, Value: value, Reason: fmt.Sprintf(format, args...)}
}
