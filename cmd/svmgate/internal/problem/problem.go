// Package problem writes errors as RFC 9457 problem details, the one form that
// every HTTP answer of svmgate that is not a success has (the Integration
// Server's XML API excepted).
//
// A body is {"type","title","status","detail","code"}: code is stable and meant
// for programs, detail is a sentence for people and may change. The detail is
// escaped, so text that came from the network may be quoted in it.
package problem

import (
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fasthttp"
)

// ContentType is the media type of a problem.
const ContentType = "application/problem+json"

// Write makes the answer of ctx a problem. It replaces status, content type and
// body and leaves other headers as they are. It keeps neither string.
func Write(ctx *fasthttp.RequestCtx, status int, code, detail string) {
	ctx.Response.ResetBody()
	ctx.Response.SetStatusCode(status)
	ctx.Response.Header.SetContentType(ContentType)
	var buf [512]byte // most problems fit, and then nothing is allocated
	ctx.Response.AppendBody(Append(buf[:0], status, code, detail))
}

// Append appends the JSON of a problem to dst. The type is always "about:blank",
// which makes the title the name of the status (RFC 9457, section 4.2.1): code
// tells problems apart.
func Append(dst []byte, status int, code, detail string) []byte {
	dst = append(dst, `{"type":"about:blank","title":`...)
	dst = appendString(dst, fasthttp.StatusMessage(status))
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, `,"detail":`...)
	dst = appendString(dst, detail)
	dst = append(dst, `,"code":`...)
	dst = appendString(dst, code)
	return append(dst, '}')
}

// appendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD: a
// client must be able to parse an error about its own bad bytes.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c == 0x7f:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
		i++
	}
	return append(dst, '"')
}
