// Package routing finds what a request asks for in the table of an API.
package routing

import (
	"net/url"
	"strings"
)

// Split returns the decoded segments of a path; false if an escape in it is broken.
// They are split before they are decoded, so that an encoded slash belongs to a name.
func Split(path []byte) ([]string, bool) {
	segments := strings.Split(strings.TrimPrefix(string(path), "/"), "/")
	for i, s := range segments {
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return nil, false
		}
		segments[i] = decoded
	}
	return segments, true
}

// A Pattern is a path whose segments in braces are parameters, such as
// "/v1/tenants/{id}".
type Pattern string

// Segments returns the segments of the pattern.
func (p Pattern) Segments() []string {
	return strings.Split(strings.TrimPrefix(string(p), "/"), "/")
}

// Match reports whether a path is of the pattern, and returns what its parameters are.
// No parameter is empty.
func (p Pattern) Match(segments []string) (params []string, ok bool) {
	want := p.Segments()
	if len(want) != len(segments) {
		return nil, false
	}
	for i, w := range want {
		switch {
		case w[0] == '{' && segments[i] != "":
			params = append(params, segments[i])
		case w != segments[i]:
			return nil, false
		}
	}
	return params, true
}

// Find returns what in a table answers a method and path, with its parameters. If
// nothing does, allowed still has the methods that the path knows; it is empty if the
// path is unknown. HEAD is GET without the body.
func Find[R any](table []R, of func(*R) (method string, pattern Pattern), method string, segments []string) (found *R, params, allowed []string) {
	for i := range table {
		knows, pattern := of(&table[i])
		values, ok := pattern.Match(segments)
		if !ok {
			continue
		}
		allowed = append(allowed, knows)
		if knows == "GET" {
			allowed = append(allowed, "HEAD")
		}
		if knows == method || knows == "GET" && method == "HEAD" {
			found, params = &table[i], values
		}
	}
	return found, params, allowed
}
