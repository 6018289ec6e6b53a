package sink

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/svmgate/svmgate/store"
)

// Parts of a message of RFC 5424.
const (
	facilityDaemon = 3
	facilityAudit  = 13

	appName      = "svmgate"
	maxHostname  = 255
	maxMessageID = 32
	// structureID names the structured data. The number is one of those that are for
	// documentation (RFC 5612), as this project has none of its own.
	structureID = "event@32473"
	stamp       = "2006-01-02T15:04:05.000Z07:00"
	byteOrder   = "\xEF\xBB\xBF" // says that the text is UTF-8
)

// appendSyslog appends an event as a message of RFC 5424. Before and After are left out:
// many servers cut a message at 2 KiB.
func appendSyslog(dst []byte, e *store.Event, host, process string) []byte {
	facility := facilityDaemon
	if isAudit(e.Type) {
		facility = facilityAudit
	}
	dst = append(dst, '<')
	dst = strconv.AppendInt(dst, int64(facility*8+levelOf(e.Type).severity()), 10)
	dst = append(dst, ">1 "...)
	dst = e.Time.UTC().AppendFormat(dst, stamp)
	for _, word := range []string{printable(host, maxHostname), appName, process, printable(e.Type, maxMessageID)} {
		dst = append(append(dst, ' '), word...)
	}
	dst = append(dst, " ["+structureID...)
	dst = appendParameter(dst, "id", e.ID.String())
	dst = appendParameter(dst, "type", e.Type)
	for _, f := range fieldsOf(e) {
		dst = appendParameter(dst, f.name, f.value)
	}
	dst = append(dst, ']')
	if e.Message == "" {
		return dst
	}
	dst = append(dst, " "+byteOrder...)
	return append(dst, oneLine(e.Message)...)
}

// appendParameter escapes what section 6.3.3 says.
func appendParameter(dst []byte, name, value string) []byte {
	dst = append(append(append(dst, ' '), name...), `="`...)
	for _, c := range []byte(oneLine(value)) {
		if c == '"' || c == '\\' || c == ']' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// oneLine replaces what is no text: a server that separates messages by lines could be
// told one that nobody sent.
func oneLine(text string) string {
	if !strings.ContainsFunc(text, unicode.IsControl) && utf8.ValidString(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
}

// printable is a word of a header: visible ASCII, not empty and not too long.
func printable(word string, most int) string {
	word = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, word)
	if word == "" {
		return "-"
	}
	return word[:min(len(word), most)]
}
