package express

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const (
	alikeID    = "4c4c4544-0035-104e-804d-000000000065"
	alikeFirst = "GET /v1/agents/" + alikeID + "/svm?limit=3&os=server HTTP/1.1\r\nHost: gate:7270\r\nAuthorization: Bearer abcdef\r\nAccept: */*\r\n\r\n"
)

// Whatever a connection remembers, a request is read as one that is the first, and has the
// number of another only if its query is the same.
func TestRememberedIsReadAnew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		some := []string{
			alikeFirst, question, strings.ReplaceAll(alikeFirst, "?limit=3&os=server", ""),
			strings.ReplaceAll(alikeFirst, "limit=3", "limit=4"), strings.ReplaceAll(alikeFirst, "limit=3&os", "limit=33&s"),
			strings.ReplaceAll(alikeFirst, "Bearer", "Accept: "), strings.ReplaceAll(alikeFirst, "?limit=3&os=server", "?"),
			strings.ReplaceAll(alikeFirst, "*/*", strings.Repeat("x", maxAlike)),
			strings.ReplaceAll(alikeFirst, "Authorization: Bearer abcdef", "Accept: aaaaaa bbbbbbbbbbbbb"),
		}
		of := map[uint64][]byte{}
		r := &Request{again: true}
		for range rapid.IntRange(1, 12).Draw(t, "requests") {
			text := []byte(rapid.SampledFrom(some).Draw(t, "request"))
			if rapid.Bool().Draw(t, "changed") {
				at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
				if i := bytes.Index(text, []byte("Bearer")); i >= 0 && rapid.Bool().Draw(t, "in the authorization") {
					at = i + rapid.IntRange(0, len("Bearer abcdef")-1).Draw(t, "at")
				}
				text[at] = rapid.SampledFrom([]byte("x \r\n:%=&?a\x00\xff")).Draw(t, "byte")
			}
			first := new(Request)
			got, want := r.parse(text[:len(text):len(text)]), first.parse(text[:len(text):len(text)])
			if got != want {
				t.Fatalf("%q is read: %t, and if it is the first: %t", text, got, want)
			}
			if !got {
				continue
			}
			if !bytes.Equal(r.ID, first.ID) || !reflect.DeepEqual(r.Query, first.Query) || !bytes.Equal(r.Authorization, first.Authorization) {
				t.Fatalf("%q is read as %q, %q and %q, if it is the first as %q, %q and %q",
					text, r.ID, r.Query, r.Authorization, first.ID, first.Query, first.Authorization)
			}
			if before, known := of[r.QueryNumber]; r.QueryNumber > 0 && known && !bytes.Equal(before, r.Query) {
				t.Fatalf("queries %q and %q have one number", before, r.Query)
			}
			of[r.QueryNumber] = bytes.Clone(r.Query)
		}
	})
}

// Agents ask with the same words again and again: those are compared, not read.
func TestAlikeRequestsAreRemembered(t *testing.T) {
	r := &Request{again: true}
	other := strings.ReplaceAll(strings.ReplaceAll(alikeFirst, alikeID, strings.ToUpper(alikeID)), "abcdef", "ghijkl")
	for i, text := range []string{alikeFirst, alikeFirst, other} {
		if !r.parse([]byte(text)) || r.QueryNumber != 1 {
			t.Errorf("request %d: number %d, want 1", i, r.QueryNumber)
		}
	}
	if string(r.Authorization) != "Bearer ghijkl" || string(r.Query) != "limit=3&os=server" {
		t.Errorf("authorization %q, query %q", r.Authorization, r.Query)
	}
	if text := []byte(alikeFirst); testing.AllocsPerRun(100, func() { r.parse(text) }) != 0 {
		t.Error("reading a request that is alike allocates")
	}
	if r = new(Request); !r.parse([]byte(alikeFirst)) || len(r.before.rest) > 0 {
		t.Error("a connection remembers its first request, which mostly is its only one")
	}
}
