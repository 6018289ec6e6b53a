package adminapi

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestHostileBodies sends what must be refused, and watches that the answer
// names what is wrong and that nothing was changed.
func TestHostileBodies(t *testing.T) {
	w := newWorld(t)
	tenants, tenant := "/v1/tenants", "/v1/tenants/"+w.tenant.String()
	svm, vm := "/v1/svms/"+ownSVM.String(), "/v1/vms/"+w.vm.String()
	tests := []struct {
		name, method, path, body, code, detail string
	}{
		{"empty body", "POST", tenants, " ", "invalid_json", "empty"},
		{"not JSON", "POST", tenants, "{\n\"name\":\n x}", "invalid_json", "line 3"},
		{"an array", "POST", tenants, `[]`, "invalid_json", "must be an object, not an array"},
		{"null", "PATCH", tenant, `null`, "invalid_json", "not null"},
		{"two values", "POST", tenants, `{"name":"a"} {}`, "invalid_json", "after top-level value"},
		{"trailing comma", "POST", tenants, `{"name":"a",}`, "invalid_json", "invalid character"},
		{"cut off", "POST", tenants, `{"name":"a`, "invalid_json", "unexpected end"},
		{"a byte order mark", "POST", tenants, "\ufeff{}", "invalid_json", "invalid character"},
		{"invalid UTF-8", "POST", tenants, "{\"name\":\"\xff\"}", "invalid_json", "byte 9"},
		{"overlong UTF-8", "POST", tenants, "{\"name\":\"\xc0\xaf\"}", "invalid_json", "UTF-8"},
		{"half a surrogate pair", "POST", tenants, `{"name":"\ud800"}`, "invalid_json", "surrogate"},
		{"the other half", "POST", tenants, `{"name":"\udc00\ud800"}`, "invalid_json", "surrogate"},
		{"halves of different pairs", "POST", tenants, `{"name":"\ud800\u0041"}`, "invalid_json", "surrogate"},
		{"too deep", "POST", tenants, strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40), "invalid_json", "deeper than 16"},
		{"a JSON bomb", "POST", tenants, strings.Repeat("[", 100_000), "invalid_json", ""},
		{"a key twice", "POST", tenants, `{"name":"a","name":"b"}`, "duplicate_key", "name"},
		{"a key twice, escaped", "POST", tenants, `{"name":"a","n\u0061me":"b"}`, "duplicate_key", "name"},
		{"a key twice, inside", "POST", tenants, `{"name":"a","discovery":{"tag":"a","tag":"b"}}`, "duplicate_key", "discovery.tag"},
		{"unknown field", "POST", tenants, `{"name":"a","colour":1}`, "unknown_field", `"colour"`},
		{"unknown field inside", "POST", tenants, `{"name":"a","discovery":{"tags":[]}}`, "unknown_field", `"discovery.tags"`},
		{"unknown field, null", "PATCH", tenant, `{"colour":null}`, "unknown_field", `"colour"`},
		{"other case", "POST", tenants, `{"Name":"a"}`, "unknown_field", `"Name"`},
		{"no name", "POST", tenants, `{}`, "invalid_field", "name"},
		{"name null", "PATCH", tenant, `{"name":null}`, "invalid_field", "name"},
		{"null outside a patch", "POST", tenants, `{"name":"a","description":null}`, "invalid_field", "description must be a string, not null"},
		{"wrong type", "POST", tenants, `{"name":5}`, "invalid_field", "name must be a string, not a number"},
		{"wrong type of an object", "PATCH", tenant, `{"discovery":[]}`, "invalid_field", "discovery must be an object, not an array"},
		{"wrong type of a flag", "PATCH", tenant, `{"discovery":{"locked":"yes"}}`, "invalid_field", "discovery.locked must be true or false"},
		{"wrong type in a list", "PATCH", tenant, `{"subnets":["10.0.0.0/8",7]}`, "invalid_field", "subnets[1] must be a string"},
		{"null in a list", "PATCH", tenant, `{"subnets":[null]}`, "invalid_field", "subnets[0]"},
		{"wrong enum", "POST", tenants, `{"name":"a","type":"big"}`, "invalid_field", `"complete", "simple"`},
		{"wrong enum inside", "PATCH", tenant, `{"discovery":{"path":"rack"}}`, "invalid_field", "discovery.path"},
		{"no network", "PATCH", tenant, `{"subnets":["10.0.0.0"]}`, "invalid_field", "subnets"},
		{"malformed id", "POST", tenants, `{"name":"a","id":"12"}`, "invalid_field", "id"},
		{"another id", "PATCH", tenant, `{"id":"` + ownSVM.String() + `"}`, "invalid_field", "id"},
		{"status", "PATCH", tenant, `{"status":"active"}`, "invalid_field", "activate"},
		{"status null", "PATCH", tenant, `{"status":null}`, "invalid_field", "status"},
		{"read-only of a wrong type", "PATCH", tenant, `{"created":5}`, "invalid_field", "created"},
		{"long name", "PATCH", tenant, `{"name":"` + strings.Repeat("n", 300) + `"}`, "invalid_field", "256"},
		{"control character", "PATCH", tenant, `{"name":"a\u0007"}`, "invalid_field", "name"},
		{"no address", "PUT", svm, `{}`, "invalid_field", "address"},
		{"fraction", "PATCH", svm, `{"capacity":1.5}`, "invalid_field", "capacity"},
		{"exponent", "PATCH", svm, `{"capacity":1e3}`, "invalid_field", "capacity"},
		{"huge number", "PATCH", svm, `{"capacity":99999999999999999999}`, "invalid_field", "capacity"},
		{"negative number", "PATCH", svm, `{"hardCap":-1}`, "invalid_field", "hardCap"},
		{"negative report", "POST", svm + "/report", `{"connectedAgents":-1}`, "invalid_field", "connectedAgents"},
		{"wrong time", "PATCH", svm, `{"license":{"expires":"tomorrow"}}`, "invalid_field", "license.expires"},
		{"wrong kind", "PATCH", svm, `{"kinds":["linux","beos"]}`, "invalid_field", "kinds[1]"},
		{"endless list", "PATCH", svm, `{"tags":[` + strings.Repeat(`"t",`, 20_000) + `"t"]}`, "invalid_field", "tags"},
		{"other VM", "PUT", vm, `{"biosId":"` + ownSVM.String() + `"}`, "invalid_field", "biosId"},
		{"no role", "POST", "/v1/users", `{"name":"x","password":"y"}`, "invalid_field", "role"},
		{"wrong role", "POST", "/v1/users", `{"name":"x","password":"y","role":"god"}`, "invalid_field", "role"},
		{"no password", "POST", "/v1/users", `{"name":"x","role":"admin"}`, "invalid_field", "password"},
		{"long password", "POST", "/v1/users", `{"name":"x","role":"admin","password":"` + strings.Repeat("p", 1025) + `"}`, "invalid_field", "1024"},
		{"colon in a name", "POST", "/v1/users", `{"name":"x:y","role":"admin","password":"y"}`, "invalid_field", "name: want 1 to 64"},
		{"slash in a name", "POST", "/v1/users", `{"name":"x/y","role":"admin","password":"y"}`, "invalid_field", "name: want 1 to 64"},
		{"two dots for a name", "POST", "/v1/users", `{"name":"..","role":"admin","password":"y"}`, "invalid_field", "name: want 1 to 64"},
		{"no name of an account", "POST", "/v1/users", `{"role":"admin","password":"y"}`, "invalid_field", "name: want 1 to 64"},
		{"SVMs of an admin", "POST", "/v1/users", `{"name":"x","role":"admin","password":"y","svms":["` + ownSVM.String() + `"]}`, "invalid_field", "svms"},
		{"no SVMs of an svm", "POST", "/v1/users", `{"name":"x","role":"svm","password":"y"}`, "invalid_field", "svms"},
		{"a body where none is read", "POST", svm + "/undrain", `{"hard":true}`, "unexpected_body", "no body"},
		{"a drain of another kind", "POST", svm + "/drain", `{"hard":true}`, "unknown_field", "over, rate"},
		{"a drain in two ways", "POST", svm + "/drain", `{"over":"1m","rate":5}`, "invalid_field", "exclude"},
		{"a drain over a number", "POST", svm + "/drain", `{"over":600}`, "invalid_field", "over must be a string"},
		{"a drain over nothing", "POST", svm + "/drain", `{"over":""}`, "invalid_field", "such as 10m"},
		{"a drain back in time", "POST", svm + "/drain", `{"over":"-1s"}`, "invalid_field", "0s (at once)"},
		{"an endless drain", "POST", svm + "/drain", `{"over":"24h1s"}`, "invalid_field", "24h"},
		{"a drain of nobody a minute", "POST", svm + "/drain", `{"rate":0}`, "invalid_field", "at least 1"},
		{"half an agent a minute", "POST", svm + "/drain", `{"rate":0.5}`, "invalid_field", "whole number"},
		{"a drain set by hand", "PATCH", svm, `{"drain":{"since":"soon","over":5}}`, "invalid_field", "drain.since"},
	}
	before := w.table.Stats().Revision
	for _, tt := range tests {
		a := w.do(tt.method, tt.path, tt.body)
		if a.status != 400 || a.code() != tt.code || !strings.Contains(detail(t, a), tt.detail) {
			t.Errorf("%s: %d %s\nwant 400 %s with %q", tt.name, a.status, a.body, tt.code, tt.detail)
		}
	}
	if after := w.table.Stats().Revision; after != before {
		t.Errorf("revision %d, want %d: something was written", after, before)
	}
}

func detail(t *testing.T, a answer) string {
	t.Helper()
	var p struct{ Detail string }
	a.json(t, &p)
	return p.Detail
}

func TestHostileQueriesAndPaths(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct{ method, path, code, detail string }{
		{"GET", "/v1/tenants?limit=0", "invalid_parameter", "limit"},
		{"GET", "/v1/tenants?limit=1001", "invalid_parameter", "1000"},
		{"GET", "/v1/tenants?limit=ten", "invalid_parameter", "limit"},
		{"GET", "/v1/tenants?limit=", "invalid_parameter", "limit"},
		{"GET", "/v1/tenants?limit=1&limit=2", "invalid_parameter", "limit is given twice"},
		{"GET", "/v1/tenants?colour=red", "unknown_parameter", "colour"},
		{"GET", "/v1/tenants?Limit=1", "unknown_parameter", "limit, after, name"},
		{"GET", "/v1/tenants/" + w.tenant.String() + "?limit=1", "unknown_parameter", "takes none"},
		{"GET", "/v1/svms?after=!", "invalid_parameter", "after"},
		{"GET", "/v1/svms?after=AAAA", "invalid_parameter", "after"},
		{"GET", "/v1/tenants?after=AAAA", "invalid_parameter", "after"},
		{"GET", "/v1/vms?after=%00", "invalid_parameter", "after"},
		{"GET", "/v1/vms?tenant=acme", "invalid_parameter", "tenant"},
		{"POST", "/v1/tenants/" + w.tenant.String() + "/activate?wait=most", "invalid_parameter", "majority"},
		{"POST", "/v1/tenants/" + w.tenant.String() + "/activate?timeout=5", "invalid_parameter", "timeout"},
		{"POST", "/v1/tenants/" + w.tenant.String() + "/activate?timeout=2h", "invalid_parameter", "1m0s"},
		{"POST", "/v1/tenants/" + w.tenant.String() + "/token?overlap=1h", "unknown_parameter", "overlap"},
		{"POST", "/v1/import?atomic=yes", "invalid_parameter", "true or false"},
		{"GET", "/v1/tenants/12", "invalid_id", `"12"`},
		{"GET", "/v1/tenants/00000000-0000-0000-0000-000000000000", "invalid_id", "id"},
		{"GET", "/v1/svms/%7B%7D", "invalid_id", "{}"},
		{"GET", "/v1/vms/" + strings.Repeat("a", 3000), "invalid_id", "biosId"},
		{"GET", "/v1/explain/12", "invalid_id", "biosId"},
	} {
		if a := w.do(tt.method, tt.path, ""); a.status != 400 || a.code() != tt.code || !strings.Contains(detail(t, a), tt.detail) {
			t.Errorf("%s %s: %d %s\nwant 400 %s with %q", tt.method, tt.path, a.status, a.body, tt.code, tt.detail)
		}
	}
}

func TestMediaTypes(t *testing.T) {
	w := newWorld(t)
	n := 0
	for _, tt := range []struct {
		contentType string
		want        int
	}{
		{"application/json", 201},
		{"application/json; charset=utf-8", 201},
		{"Application/JSON;charset=UTF-8", 201},
		{"application/vnd.svmgate.tenant+json", 201},
		{"application/json; charset=latin1", 415},
		{"text/plain", 415},
		{"application/x-www-form-urlencoded", 415},
		{"multipart/form-data; boundary=x", 415},
		{"text/json", 415},
		{"+json", 415},
		{"json", 415},
		{"", 415},
	} {
		n++
		a := w.do("POST", "/v1/tenants", fmt.Sprintf(`{"name":"t%d"}`, n), "Content-Type", tt.contentType)
		if a.status != tt.want {
			t.Errorf("Content-Type %q: %d %s, want %d", tt.contentType, a.status, a.body, tt.want)
		}
	}
	if a := w.do("POST", "/v1/import", "x", "Content-Type", "text/plain"); a.status != 415 || !strings.Contains(a.body, "text/csv") {
		t.Errorf("import of text/plain: %d %s, want 415 that says what is read", a.status, a.body)
	}
	if a := w.do("DELETE", "/v1/vms/"+w.vm.String(), "a=b", "Content-Type", "application/x-www-form-urlencoded"); a.status != 415 {
		t.Errorf("a form to DELETE: %d, want 415", a.status)
	}
}

func TestCrossSite(t *testing.T) {
	w := newWorld(t)
	drain := "/v1/svms/" + ownSVM.String() + "/drain"
	for _, tt := range []struct {
		name, header, value string
		want                int
	}{
		{"a program", "X-Nothing", "", 200},
		{"a page of the gateway", "Sec-Fetch-Site", "same-origin", 200},
		{"typed by the user", "Sec-Fetch-Site", "none", 200},
		{"a page of a sibling", "Sec-Fetch-Site", "same-site", 403},
		{"a page from elsewhere", "Sec-Fetch-Site", "cross-site", 403},
		{"an unknown word", "Sec-Fetch-Site", "moon", 403},
		{"own origin", "Origin", "http://gateway", 200},
		{"other origin", "Origin", "http://evil.example", 403},
		{"other port", "Origin", "http://gateway:8080", 403},
		{"no origin", "Origin", "null", 403},
		{"a broken origin", "Origin", "http://[", 403},
	} {
		if a := w.do("POST", drain, "", tt.header, tt.value); a.status != tt.want || tt.want == 403 && a.code() != "cross_origin" {
			t.Errorf("%s: %d %s, want %d", tt.name, a.status, a.code(), tt.want)
		}
		if a := w.do("GET", "/v1/svms", "", tt.header, tt.value); a.status != 200 {
			t.Errorf("%s: GET %d, want 200", tt.name, a.status)
		}
	}
}

// TestTooLarge sends bodies beyond their bound, with their length and in chunks,
// which an import does not take at all.
func TestTooLarge(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxBody, c.MaxImport = 1000, 4000 })
	body := `{"name":"` + strings.Repeat("n", 2000) + `"}`
	if a := w.do("POST", "/v1/tenants", body); a.status != 413 || a.code() != "body_too_large" {
		t.Errorf("body: %d %s, want 413", a.status, a.code())
	}
	if a := w.do("POST", "/v1/import", `{"vms":[]}`+strings.Repeat(" ", 4000)); a.status != 413 || a.code() != "body_too_large" {
		t.Errorf("import: %d %s, want 413", a.status, a.code())
	}
	for path, want := range map[string]int{"/v1/tenants": 413, "/v1/import": 411} {
		chunked := struct{ *strings.Reader }{strings.NewReader(strings.Repeat(" ", 5000))}
		req, err := http.NewRequest("POST", "http://gateway"+path, chunked)
		check(t, err)
		req.ContentLength = -1
		req.SetBasicAuth("root", password)
		req.Header.Set("Content-Type", "application/json")
		resp, err := w.client.Do(req)
		check(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("POST %s in chunks: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// TestNothingOfARefusedBodyIsARequest sends a body that nobody reads and that
// consists of requests. None of them may be answered: what is short is read
// away, and behind what is long the connection is closed.
func TestNothingOfARefusedBodyIsARequest(t *testing.T) {
	w := newWorld(t)
	transport := w.client.Transport.(*http.Transport)
	const hidden = "GET /v1/tenants HTTP/1.1\r\nHost: gateway\r\n\r\n"
	for _, tt := range []struct {
		size int
		want []int
	}{{1, []int{401, 404}}, {drainLimit / 2, []int{401, 404}}, {drainLimit + 1<<20, []int{401}}} {
		conn, err := transport.DialContext(context.Background(), "tcp", "gateway")
		check(t, err)
		body := strings.Repeat(hidden, tt.size/len(hidden)+1)
		// A client that is hung up on can not write the rest; that is no failure.
		go func() {
			_, _ = fmt.Fprintf(conn, "POST /v1/tenants HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n\r\n%s"+
				"GET /nothing HTTP/1.1\r\nHost: gateway\r\nAuthorization: Basic %s\r\nConnection: close\r\n\r\n",
				len(body), body, base64.StdEncoding.EncodeToString([]byte("root:"+password)))
		}()
		if got := readAnswers(conn); !slices.Equal(got, tt.want) {
			t.Errorf("%d bytes of requests: answers %v, want %v", len(body), got, tt.want)
		}
		_ = conn.Close()
	}
}

func readAnswers(conn net.Conn) (status []int) {
	r := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return status
		}
		status = append(status, resp.StatusCode)
		body := make([]byte, max(0, resp.ContentLength))
		if _, err := io.ReadFull(r, body); err != nil {
			return status
		}
	}
}
