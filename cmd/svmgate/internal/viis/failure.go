package viis

import "fmt"

// Codes of refusals. The first three are documented; the others are ours, in the same
// manner.
const (
	codeTenantNotFound = "VIRMT_TenantWithSpecifiedIdNotFound"
	codeVMNotFound     = "VIRMT_VmWithSpecifiedIdNotFound"
	codeVMExists       = "VIRMT_VmWithSpecifiedBiosIdAlreadyExists"

	codeBadRequest     = "VIRMT_BadRequest"
	codeUnauthorized   = "VIRMT_Unauthorized"
	codeForbidden      = "VIRMT_Forbidden"
	codeNoSuchCall     = "VIRMT_MethodNotFound"
	codeNotFound       = "VIRMT_NotFound"
	codeExists         = "VIRMT_AlreadyExists"
	codeMethod         = "VIRMT_MethodNotAllowed"
	codeNotAcceptable  = "VIRMT_NotAcceptable"
	codeTooLarge       = "VIRMT_RequestTooLarge"
	codeMediaType      = "VIRMT_UnsupportedMediaType"
	codeRange          = "VIRMT_RangeNotSatisfiable"
	codeTaskNotFound   = "VIRMT_TaskWithSpecifiedIdNotFound"
	codeTaskEnded      = "VIRMT_TaskAlreadyEnded"
	codeReportNotFound = "VIRMT_ReportWithSpecifiedIdNotFound"
	codeBusy           = "VIRMT_TooManyTasks"
	codeNotReady       = "VIRMT_ServiceUnavailable"
	codeReadOnly       = "VIRMT_InsufficientStorage"
	codeInternal       = "VIRMT_InternalError"
)

// A failure is an answer that is not what was asked for.
type failure struct {
	status        int
	code, message string
}

func (f *failure) Error() string { return f.message }

func refuse(status int, code, message string) error {
	return &failure{status: status, code: code, message: message}
}

// bad refuses what can not be understood.
func bad(format string, args ...any) error {
	return refuse(400, codeBadRequest, fmt.Sprintf(format, args...))
}
