package tenancy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/ksc"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/store"
)

// Codes of the Integration Server that tasks fail with, and some of our own.
const (
	CodeTenantNotFound  = "VIRMT_TenantWithSpecifiedIdNotFound"
	CodeNotConfigured   = "KSC_ServiceNotConfigured"
	CodeTenantNameTaken = "VIRMT_TenantWithSpecifiedNameAlreadyExists" // assumed
	CodeUserNameTaken   = "KSC_UserAlreadyExists"                      // assumed
	CodeNoRoom          = "KSC_VirtualServerLimitReached"              // assumed
	CodeKSC             = "KSC_Error"                                  // assumed: what else KSC refuses
	CodeNoRoomForReport = "VIRMT_InsufficientStorage"                  // assumed
	CodeInterrupted     = "VIRMT_TaskInterrupted"                      // assumed
	CodeCanceled        = "VIRMT_TaskCanceled"                         // assumed
	CodeInternal        = "VIRMT_InternalError"                        // assumed
)

// A Failure is why a task failed, with a code of the Integration Server. A task's error
// is its text, "CODE: message".
type Failure struct{ Code, Message string }

func (f *Failure) Error() string { return f.Code + ": " + f.Message }

func notFound(id store.TenantID) error {
	return &Failure{CodeTenantNotFound, "there is no tenant " + id.String()}
}

func notConfigured() error {
	return &Failure{CodeNotConfigured, "no Kaspersky Security Center is configured (ksc), which complete tenants need"}
}

func nameTaken(name string) error {
	return &Failure{CodeTenantNameTaken, fmt.Sprintf("there is a tenant named %q", name)}
}

// A kscError is what went wrong in Kaspersky Security Center, or on the way to it.
type kscError struct{ error }

func (e kscError) Unwrap() error { return e.error }

// fromKSC marks an error as one of Kaspersky Security Center, unless it has a code of
// its own.
func fromKSC(err error) error {
	if failure := (*Failure)(nil); err == nil || errors.As(err, &failure) {
		return err
	}
	return kscError{err}
}

// taskText puts why a task failed into words: "CODE: message".
func taskText(err error) string {
	code := codeOf(err)
	message := err.Error()
	for _, prefix := range []string{code + ": ", "task: ", "ksc: ", "protection: "} {
		message = strings.TrimPrefix(message, prefix)
	}
	return code + ": " + message
}

func codeOf(err error) string {
	if failure := (*Failure)(nil); errors.As(err, &failure) {
		return failure.Code
	}
	for _, known := range []struct {
		err  error
		code string
	}{
		{task.ErrInterrupted, CodeInterrupted}, {task.ErrCanceled, CodeCanceled}, {store.ErrReadOnly, CodeInternal},
		{protection.ErrNoRoom, CodeNoRoomForReport},
		{ksc.ErrFull, CodeNoRoom}, {ksc.ErrUserExists, CodeUserNameTaken}, {ksc.ErrNameTaken, CodeTenantNameTaken},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	if from := (kscError{}); errors.As(err, &from) {
		return CodeKSC
	}
	return CodeInternal
}
