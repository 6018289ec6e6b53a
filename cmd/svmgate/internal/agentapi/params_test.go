package agentapi

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// sameQuery compares queries; no failed SVMs is no failed SVMs.
func sameQuery(want, got discovery.Query) string {
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}

// Each bad question is refused with a detail that names what is wrong.
func TestBadParameters(t *testing.T) {
	a := newAPI(t, newTable(t), Config{})
	uuid := svmOf(acme)
	tests := []struct{ query, code, detail string }{
		{"limit=0", "invalid_parameter", `limit "0": want a number from 1 to 16`},
		{"limit=", "invalid_parameter", `limit "": want`},
		{"limit=03", "invalid_parameter", `limit "03": want`},
		{"limit=%2B3", "invalid_parameter", `limit "+3": want`},
		{"limit=-1", "invalid_parameter", "limit"},
		{"limit=99999999999999999999", "invalid_parameter", "limit"},
		{"current=x", "invalid_parameter", `current "x": want the id of an SVM`},
		{"current=" + uuid + "0", "invalid_parameter", "current"},
		{"failed=" + uuid + ",x", "invalid_parameter", `failed "x": want up to 16 ids`},
		{"failed=" + uuid + ",", "invalid_parameter", `failed "": want`},
		{"failed=,", "invalid_parameter", "failed"},
		{"failed=" + strings.Repeat(uuid+",", 16) + uuid, "invalid_parameter", "failed has more than 16 ids"},
		{"protection=yes", "invalid_parameter", `protection "yes": want on or off`},
		{"protection=ON", "invalid_parameter", "protection"},
		{"algorithm=fast", "invalid_parameter", `algorithm "fast": want standard or extended`},
		{"path=rack", "invalid_parameter", `path "rack": want host, cluster, zone or ignore`},
		{"tag=" + strings.Repeat("t", 129), "invalid_parameter", "tag"},
		{"tag=%ff", "invalid_parameter", "tag"},
		{"biosIdOrder=little", "invalid_parameter", `biosIdOrder "little": want swapped`},
		{"biosId=" + uuid, "unknown_parameter", "biosId is part of the path"},
		{"wait=", "invalid_parameter", `wait "": want whole seconds or a duration such as 60s, from 1s to 5m`},
		{"wait=0", "invalid_parameter", "wait"},
		{"wait=999ms", "invalid_parameter", "wait"},
		{"wait=301", "invalid_parameter", "wait"},
		{"wait=5m1ns", "invalid_parameter", "wait"},
		{"wait=-60s", "invalid_parameter", "wait"},
		{"wait=%2B60", "invalid_parameter", "wait"},
		{"wait=1e2", "invalid_parameter", "wait"},
		{"wait=60s&wait=60s", "invalid_parameter", "wait is given twice"},
		{"wait=" + strings.Repeat("0", 32) + "1s", "invalid_parameter", "wait"},
		{"wait=60s&revision=", "invalid_parameter", `revision "": want the revision of an answer, a number below 9007199254740992`},
		{"revision=9007199254740992", "invalid_parameter", "revision"},
		{"revision=-1", "invalid_parameter", "revision"},
		{"revision=0x7", "invalid_parameter", "revision"},
		{"revision=1_0", "invalid_parameter", "revision"},
		{"protecton=on", "unknown_parameter", `"protecton" is unknown; known are version, os`},
		{"Version=12.0", "unknown_parameter", `"Version"`},
		{"=1", "unknown_parameter", `""`},
		{"version=12.0&version=12.0", "invalid_parameter", "version is given twice"},
		{"version=12.0&vers%69on=12.1", "invalid_parameter", "version is given twice"},
		{"version=12.0;os=server", "invalid_parameter", "&"},
		{"tag=%zz", "invalid_parameter", "percent-encoded"},
		{"tag=%4", "invalid_parameter", "percent-encoded"},
		{"%=1", "invalid_parameter", "percent-encoded"},
		{"tag=" + strings.Repeat("%41", 1000), "invalid_parameter", "tag"},
	}
	for _, tt := range tests {
		ctx := call(a.Handler, "GET", "/v1/agents/"+vmOf(acme)+"/svm?"+tt.query, "")
		body := strings.ReplaceAll(string(ctx.Response.Body()), `\"`, `"`)
		if ctx.Response.StatusCode() != 400 || !strings.Contains(body, `"code":"`+tt.code+`"`) || !strings.Contains(body, tt.detail) {
			t.Errorf("%s:\n got %d %s\nwant 400 %s %s", tt.query, ctx.Response.StatusCode(), body, tt.code, tt.detail)
		}
		if len(body) > 600 {
			t.Errorf("%.20s…: the answer repeats what was sent: %d bytes", tt.query, len(body))
		}
	}
}

func TestGoodParameters(t *testing.T) {
	s := new(scratch)
	svm := svmOf(acme)
	for _, query := range []string{
		"", "&", "&&limit=3&", "limit=16", "current=", "failed=", "tag=", "os", "version",
		"tag=a+b%2Bc%20", "tag=" + strings.Repeat("t", 128), "tag=%E2%82%AC", "current=%7B" + svm + "%7D",
		"failed=" + strings.Repeat(svm+",", 15) + svm, "failed=" + svm + "%2C" + svm,
		"wait=1", "wait=1s", "wait=300", "wait=5m", "wait=1.5s", "revision=0", "revision=9007199254740991", "wait=60s&revision=7",
		"version=12.0.0.455&os=desktop&kind=windows&protection=off&algorithm=standard&path=ignore&biosIdOrder=swapped",
	} {
		if bad := s.readQuestion([]byte(vmOf(acme)), []byte(query)); bad != nil {
			t.Errorf("%q is refused: %s", query, bad.detail)
			continue
		}
		want, err := slowQuestion(vmOf(acme), query)
		if err != nil {
			t.Fatalf("%q: the slow reader refuses it: %v", query, err)
		}
		if diff := sameQuery(want, s.query); diff != "" {
			t.Errorf("%q (-slow +fast):\n%s", query, diff)
		}
	}
}

// What is decoded for one question makes room for the next.
func TestDecodedTextIsBounded(t *testing.T) {
	s := new(scratch)
	for range 1000 {
		if bad := s.readQuestion([]byte(vmOf(acme)), []byte("tag="+strings.Repeat("%41", 100))); bad != nil {
			t.Fatal(bad.detail)
		}
	}
	if cap(s.text) > 4096 {
		t.Errorf("a thousand questions of 100 decoded bytes keep %d", cap(s.text))
	}
}

// FuzzQuery holds the reader of questions to one built on net/url: they accept
// the same and read the same, and nothing of one question is left for the next.
func FuzzQuery(f *testing.F) {
	for _, seed := range [][2]string{
		{vmOf(acme), ""},
		{"%7B" + vmOf(acme) + "%7D", "version=12.0&os=server&kind=linux&limit=3"},
		{vmOf(acme), "failed=" + svmOf(1) + "," + svmOf(2) + "&current=" + svmOf(3)},
		{vmOf(acme), "tag=a+b%20&protection=on&algorithm=extended&path=zone&biosIdOrder=swapped"},
		{vmOf(acme), "tag=%zz;limit=1&&=&limit"},
		{"4c4c", "wait=1"},
		{vmOf(acme), "wait=60s&revision=9007199254740991"},
		{"%2", "%"},
	} {
		f.Add(seed[0], seed[1])
	}
	s := new(scratch)
	f.Fuzz(func(t *testing.T, id, query string) {
		id, query = id[:min(len(id), 256)], query[:min(len(query), 2048)]
		bad := s.readQuestion([]byte(id), []byte(query))
		want, err := slowQuestion(id, query)
		if (bad == nil) != (err == nil) {
			t.Fatalf("%q ? %q: fast %+v, slow %v", id, query, bad, err)
		}
		if bad != nil {
			if bad.detail == "" || bad.code == "" || bad.status != 400 {
				t.Fatalf("%q ? %q: refused as %+v", id, query, bad)
			}
			return
		}
		if diff := sameQuery(want, s.query); diff != "" {
			t.Fatalf("%q ? %q (-slow +fast):\n%s", id, query, diff)
		}
	})
}

// FuzzURI: whatever stands in a request line, the handler answers and does not
// panic, and a path without our prefix is never a question.
func FuzzURI(f *testing.F) {
	for _, seed := range []string{"", "/", "/v1/agents/svm", "/v1/agents//svm", "http://x", "http://x/v1/agents/a/svm?b", "/v1/agents/a/svm?", "*", "?"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		path, _ := splitURI([]byte(uri))
		id, route := matchRoute(path)
		if route != routeNone && !strings.HasPrefix(string(path), "/v1/agents/") {
			t.Errorf("%q is route %d", uri, route)
		}
		if route == routeOne && (len(id) == 0 || strings.Contains(string(id), "/")) {
			t.Errorf("%q asks for %q", uri, id)
		}
	})
}

// BenchmarkParse reads the BIOS ID and the query of a question, of random VMs.
func BenchmarkParse(b *testing.B) {
	for _, bm := range []struct{ name, form string }{
		{"none", "BIOS?"},
		{"usual", "BIOS?version=12.0.0.455&os=server&kind=linux&current=SVM"},
		{"all", "%7BBIOS%7D?version=12.0&os=server&kind=linux&current=SVM&failed=SVM,SVM&limit=3&tag=a%20b&protection=on&algorithm=extended&path=zone"},
	} {
		ids, queries := make([][]byte, 1<<12), make([][]byte, 1<<12)
		for i := range ids {
			some := func() string { return store.BIOSID(id(rand.IntN(1 << 24))).String() }
			text := strings.NewReplacer("BIOS", some(), "SVM", some()).Replace(bm.form)
			ids[i], queries[i], _ = bytes.Cut([]byte(text), question)
		}
		b.Run("what=uri/query="+bm.name, func(b *testing.B) {
			b.ReportAllocs()
			s := new(scratch)
			for i := 0; b.Loop(); i++ {
				if bad := s.readQuestion(ids[i%len(ids)], queries[i%len(ids)]); bad != nil {
					b.Fatal(bad.detail)
				}
			}
		})
	}
}
