package ksc

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Errors of Make and Remove that a caller tells apart.
var (
	// ErrFull reports that every KSC has as many virtual servers as it may.
	ErrFull = errors.New("ksc: no room for another virtual server")

	// ErrUserExists reports that an account of that name exists, on the main server or on
	// a virtual one.
	ErrUserExists = errors.New("ksc: an account of that name exists")

	// ErrNameTaken reports a folder or virtual server of that name, which is not ours.
	ErrNameTaken = errors.New("ksc: the name is taken")

	// ErrUnreachable reports that a KSC did not answer, or not in a way that makes sense.
	// What was asked of it may have been done. It may be tried again.
	ErrUnreachable = errors.New("ksc: not reachable")

	// ErrCredentials reports that KSC refused our own account.
	ErrCredentials = errors.New("ksc: account or password refused")
)

// An Error is what KSC said when it refused a call (PxgError). The call had no effect.
type Error struct {
	Method  string // such as "VServers.AddVServerInfo"
	Module  string // such as "KLSTD"; "HTTP" if the answer was a mere status
	Code    int    // unique within the module
	Message string // as KSC put it, not localized; secrets struck out
}

// Error says what was asked and what KSC said.
func (e *Error) Error() string {
	return fmt.Sprintf("ksc: %s: %s (%s %d)", e.Method, e.Message, e.Module, e.Code)
}

// Codes of module KLSTD, from Some error definitions.
const (
	codeUnavailable = 1195 // for now
	codeLimit       = 1229
)

// is reports whether err is KSC's refusal with a code of module KLSTD.
func is(err error, code int) bool {
	var refusal *Error
	return errors.As(err, &refusal) && refusal.Module == "KLSTD" && refusal.Code == code
}

// refused reports whether KSC said no, so that the call had no effect.
func refused(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal)
}

// passing reports whether err may be gone next time.
func passing(err error) bool {
	return errors.Is(err, ErrUnreachable) || is(err, codeUnavailable)
}

// A lostError is a call of which nobody knows whether it was carried out.
type lostError struct {
	method string
	cause  error
}

func (e *lostError) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrUnreachable, e.method, e.cause)
}
func (e *lostError) Unwrap() []error { return []error{ErrUnreachable, e.cause} }

// lost wraps what went wrong with a call. The end of the caller's context is no failure
// of KSC.
func lost(ctx context.Context, method string, cause error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("ksc: %s: %w", method, context.Cause(ctx))
	}
	return &lostError{method: method, cause: cause}
}

// A secret must not be seen by anybody but KSC.
type secret string

// strike replaces the secrets in text, which comes from KSC and may repeat what was sent.
func strike(text string, secrets ...secret) string {
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, string(s), "***")
		}
	}
	return text
}

// String keeps a secret out of what is printed.
func (secret) String() string { return "***" }

// GoString does the same for %#v.
func (secret) GoString() string { return "***" }
