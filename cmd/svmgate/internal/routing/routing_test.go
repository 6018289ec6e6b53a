package routing

import (
	"slices"
	"testing"
)

func TestSplit(t *testing.T) {
	for path, want := range map[string][]string{
		"/":            {""},
		"/v1/tenants":  {"v1", "tenants"},
		"/v1/a%2Fb/c":  {"v1", "a/b", "c"},
		"/v1/%7B1%7D/": {"v1", "{1}", ""},
	} {
		if got, ok := Split([]byte(path)); !ok || !slices.Equal(got, want) {
			t.Errorf("Split(%q) = %q, %v; want %q", path, got, ok, want)
		}
	}
	for _, path := range []string{"/%", "/a/%zz", "/%2"} {
		if got, ok := Split([]byte(path)); ok {
			t.Errorf("Split(%q) = %q, want false", path, got)
		}
	}
}

func TestFind(t *testing.T) {
	type row struct{ method, pattern string }
	table := []row{{"GET", "/a"}, {"POST", "/a"}, {"GET", "/a/{id}"}, {"DELETE", "/a/{id}"}, {"POST", "/a/{id}/b/{name}"}}
	of := func(r *row) (string, Pattern) { return r.method, Pattern(r.pattern) }
	tests := []struct {
		method, path    string
		found           string
		params, allowed []string
	}{
		{"GET", "/a", "GET /a", nil, []string{"GET", "HEAD", "POST"}},
		{"HEAD", "/a", "GET /a", nil, []string{"GET", "HEAD", "POST"}},
		{"PUT", "/a", "", nil, []string{"GET", "HEAD", "POST"}},
		{"DELETE", "/a/7", "DELETE /a/{id}", []string{"7"}, []string{"GET", "HEAD", "DELETE"}},
		{"POST", "/a/7/b/x", "POST /a/{id}/b/{name}", []string{"7", "x"}, []string{"POST"}},
		{"HEAD", "/a/7/b/x", "", nil, []string{"POST"}},
		{"GET", "/a/", "", nil, nil},
		{"GET", "/b", "", nil, nil},
		{"GET", "/a/7/b", "", nil, nil},
		{"GET", "/", "", nil, nil},
	}
	for _, tt := range tests {
		segments, _ := Split([]byte(tt.path))
		found, params, allowed := Find(table, of, tt.method, segments)
		name := ""
		if found != nil {
			name = found.method + " " + found.pattern
		}
		if name != tt.found || !slices.Equal(params, tt.params) || !slices.Equal(allowed, tt.allowed) {
			t.Errorf("%s %s: %q %q %q, want %q %q %q", tt.method, tt.path, name, params, allowed, tt.found, tt.params, tt.allowed)
		}
	}
}
