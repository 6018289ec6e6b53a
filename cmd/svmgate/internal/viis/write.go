package viis

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/task"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

// The form of what is answered.
const (
	contentType = "application/xml; charset=utf-8"
	declared    = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	dateForm    = "2006-01-02T15:04:05" // in UTC
)

// noServer is the id of a virtual Administration Server that is recorded only.
const noServer = "00000000-0000-0000-0000-000000000000"

// replacement stands for what XML 1.0 can not carry, not even as a reference: control
// characters and bytes that are not UTF-8, which other ways in let pass.
const replacement = "\uFFFD"

// appendText appends text of an element. A reader gets back what was written, with
// [replacement] for what XML has not.
func appendText(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == '&':
			dst = append(dst, "&amp;"...)
		case c == '<':
			dst = append(dst, "&lt;"...)
		case c == '>':
			dst = append(dst, "&gt;"...)
		case c == '"': // an attribute may be made of it, too
			dst = append(dst, "&#34;"...)
		case c == '\r': // which a reader would take for the end of a line
			dst = append(dst, "&#xD;"...)
		case !isXML(c) || c == utf8.RuneError && size == 1:
			dst = append(dst, replacement...)
		default:
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	return dst
}

// appendCDATA appends text of an element as CDATA, as it is documented for user data. A
// reader gets back what [appendText] says; what CDATA can not carry stands between two
// of them.
func appendCDATA(dst []byte, s string) []byte {
	const begin, end = "<![CDATA[", "]]>"
	dst = append(dst, begin...)
	for i := 0; i < len(s); {
		c, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case strings.HasPrefix(s[i:], end):
			dst = append(dst, "]]"+end+begin+">"...)
			size = len(end)
		case c == '\r':
			dst = append(dst, end+"&#xD;"+begin...)
		case !isXML(c) || c == utf8.RuneError && size == 1:
			dst = append(dst, replacement...)
		default:
			dst = append(dst, s[i:i+size]...)
		}
		i += size
	}
	return append(dst, end...)
}

func appendElement(dst []byte, name, text string) []byte {
	dst = append(dst, '<')
	dst = append(dst, name...)
	dst = append(dst, '>')
	dst = appendText(dst, text)
	return appendEnd(dst, name)
}

func appendEnd(dst []byte, name string) []byte {
	dst = append(dst, "</"...)
	dst = append(dst, name...)
	return append(dst, '>')
}

func appendUserData(dst []byte, text string) []byte {
	dst = append(dst, "<userData>"...)
	dst = appendCDATA(dst, text)
	return append(dst, "</userData>"...)
}

func appendAttr(dst []byte, name, value string) []byte {
	dst = append(dst, ' ')
	dst = append(dst, name...)
	dst = append(dst, `="`...)
	dst = appendText(dst, value)
	return append(dst, '"')
}

// appendDate appends an attribute that is a date. One that is not known is empty.
func appendDate(dst []byte, name string, at store.Time) []byte {
	text := ""
	if !at.IsZero() {
		text = at.UTC().Format(dateForm)
	}
	return appendAttr(dst, name, text)
}

func appendTenant(dst []byte, t *store.Tenant) []byte {
	dst = appendAttr(append(dst, "<tenant"...), "id", t.ID.String())
	dst = appendDate(appendDate(dst, "created", t.Created), "updated", t.Updated)
	dst = appendElement(append(dst, '>'), "name", t.Name)
	dst = appendElement(dst, "description", t.Description)
	dst = appendUserData(dst, t.UserData)
	if t.Type == store.Complete {
		server := t.Administration.Server
		if server == "" {
			server = noServer
		}
		dst = appendAttr(append(dst, "<vKsc"...), "id", server)
		dst = appendElement(append(dst, "><user>"...), "name", t.Administration.User)
		dst = append(dst, "</user></vKsc>"...)
	}
	dst = appendElement(dst, "status", capital(t.Status.String()))
	dst = appendElement(dst, "type", capital(t.Type.String()))
	return append(dst, "</tenant>"...)
}

func appendVM(dst []byte, vm *store.VM) []byte {
	dst = appendAttr(append(dst, "<vm"...), "id", vm.ID.String())
	dst = appendAttr(dst, "biosId", vm.BIOS.String())
	dst = appendDate(appendDate(dst, "created", vm.Created), "updated", vm.Updated)
	dst = appendElement(append(dst, '>'), "name", vm.Name)
	dst = appendUserData(dst, vm.UserData)
	return append(dst, "</vm>"...)
}

// appendTask appends a task as it is to be shown. A completed one has a result, one that
// failed or was canceled an error, and others neither.
func appendTask(dst []byte, t *store.Task) []byte {
	shown := task.View(*t)
	dst = appendAttr(append(dst, "<task"...), "id", t.ID.String())
	dst = appendDate(appendDate(dst, "created", t.Created), "stateChanged", t.StateChanged)
	dst = appendDate(dst, "changed", t.Changed)
	dst = appendElement(append(dst, '>'), "state", capital(shown.State.String()))
	dst = appendElement(dst, "type", t.Type)
	dst = appendElement(dst, "stage", t.Stage)
	dst = appendElement(dst, "progress", strconv.Itoa(t.Done))
	switch shown.State {
	case store.TaskCompleted:
		dst = appendResult(dst, t)
	case store.TaskFailed, store.TaskCanceled:
		dst = appendElement(dst, "error", t.Error)
	}
	return append(dst, "</task>"...)
}

func appendResult(dst []byte, t *store.Task) []byte {
	tenant, text := tenancy.ResultOf(*t)
	if tenant == nil {
		return appendElement(dst, "result", text)
	}
	dst = appendTenant(append(dst, "<result>"...), tenant)
	return append(dst, "</result>"...)
}

func appendError(dst []byte, code, message string) []byte {
	dst = appendElement(append(dst, "<error>"...), "code", code)
	return append(appendElement(dst, "message", message), "</error>"...)
}

// capital returns a word of the table as the Integration Server writes it.
func capital(word string) string {
	if word == "" {
		return ""
	}
	return strings.ToUpper(word[:1]) + word[1:]
}

// parseDate reads a date as it is documented, in UTC, or with a zone behind it.
func parseDate(s string) (store.Time, error) {
	at, err := time.Parse(dateForm, s)
	if err != nil {
		at, err = time.Parse(time.RFC3339, s)
	}
	return store.Time{Time: at.UTC()}, err
}
