package adminapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// path fills the parameters of a route with things that exist.
func (w *world) path(r *route) string {
	p := strings.NewReplacer("{name}", "watcher", "{biosId}", w.vm.String()).Replace(r.pattern)
	if strings.HasPrefix(p, "/v1/svms") {
		return strings.ReplaceAll(p, "{id}", ownSVM.String())
	}
	return strings.ReplaceAll(p, "{id}", w.tenant.String())
}

// A world has one tenant, one SVM and one VM.
type world struct {
	*gateway
	tenant store.TenantID
	vm     store.BIOSID
}

func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	return newWorldOn(t, store.Config{}, change...)
}

func newWorldOn(t *testing.T, kept store.Config, change ...func(*Config)) *world {
	t.Helper()
	w := &world{gateway: newGatewayOn(t, kept, change...), tenant: store.TenantID{15: 0x7E}, vm: store.BIOSID{15: 0xB1}}
	w.must(201, "POST", "/v1/tenants", `{"id":"`+w.tenant.String()+`","name":"acme","status":"active",
		"administration":{"server":"17","address":"ksc.example","user":"acme-admin"}}`)
	w.must(201, "PUT", "/v1/svms/"+ownSVM.String(), `{"name":"svm-1","address":"10.9.0.7","version":"6.0","license":{"state":"valid"}}`)
	w.must(201, "PUT", "/v1/vms/"+w.vm.String(), `{"name":"web-1","tenant":"`+w.tenant.String()+`","os":"server","kind":"linux"}`)
	return w
}

// TestEveryRouteForEveryRole asks every route as everybody. Whoever may not is
// told so before anything else is looked at, so the requests need not be right.
func TestEveryRouteForEveryRole(t *testing.T) {
	w := newWorld(t)
	for i := range routes {
		r := &routes[i]
		report := r.pattern == "/v1/svms/{id}/report" || r.pattern == "/v1/svms/{id}/sessions"
		may := map[string]bool{
			"root":        true,
			"watcher":     r.access == reads,
			"appliance":   report,
			"integration": false,
		}
		for account, allowed := range may {
			a := w.as(account, r.method, w.path(r), "", "If-Match", `"never"`)
			switch {
			case !allowed && (a.status != 403 || a.code() != "forbidden"):
				t.Errorf("%s %s as %s: %d %s, want 403 forbidden", r.method, r.pattern, account, a.status, a.code())
			case allowed && (a.status == 401 || a.status == 403):
				t.Errorf("%s %s as %s: %d, but the role covers it", r.method, r.pattern, account, a.status)
			}
		}
		strangers := []string{""}
		if i == 0 {
			strangers = append(strangers, "nobody") // which takes a real hash
		}
		for _, account := range strangers {
			a := w.as(account, r.method, w.path(r), "")
			if a.status != 401 || a.code() != "unauthorized" || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic ") {
				t.Errorf("%s %s as %q: %d %s, want 401 unauthorized", r.method, r.pattern, account, a.status, a.code())
			}
		}
	}
}

// TestRefusedChangesNothing watches that a 403 comes before the write.
func TestRefusedChangesNothing(t *testing.T) {
	w := newWorld(t)
	before := w.table.Stats().Revision
	for _, account := range []string{"watcher", "appliance", "integration", "nobody"} {
		for _, path := range []string{"/v1/tenants/" + w.tenant.String(), "/v1/svms/" + ownSVM.String(), "/v1/vms/" + w.vm.String(), "/v1/users/watcher"} {
			w.as(account, "DELETE", path, "")
		}
		w.as(account, "POST", "/v1/tenants", `{"name":"mine"}`)
	}
	if after := w.table.Stats().Revision; after != before {
		t.Errorf("revision %d, want %d: something was written", after, before)
	}
}

func TestSVMAccountsReportForTheirOwn(t *testing.T) {
	w := newWorld(t)
	const other = "/v1/svms/00000000-0000-0000-0000-0000000000a2"
	w.must(201, "PUT", other, `{"address":"10.9.0.8"}`)
	if a := w.as("appliance", "POST", "/v1/svms/"+ownSVM.String()+"/report", `{"connectedAgents":7}`); a.status != 200 {
		t.Errorf("own report: %d %s, want 200", a.status, a.body)
	}
	for _, path := range []string{other + "/report", "/v1/svms/00000000-0000-0000-0000-0000000000a3/report", "/v1/svms/x/report"} {
		if a := w.as("appliance", "POST", path, `{"connectedAgents":7}`); a.status != 403 {
			t.Errorf("POST %s: %d, want 403", path, a.status)
		}
	}
}

func TestMethods(t *testing.T) {
	w := newWorld(t, with(&peers{}))
	for _, tt := range []struct{ method, path, allow string }{
		{"DELETE", "/v1/tenants", "GET, HEAD, POST"},
		{"PUT", "/v1/tenants/" + w.tenant.String(), "GET, HEAD, PATCH, DELETE"},
		{"GET", "/v1/import", "POST"},
		{"OPTIONS", "/v1/svms", "GET, HEAD"},
		{"TRACE", "/v1/users", "GET, HEAD, POST"},
	} {
		a := w.do(tt.method, tt.path, "")
		if a.status != 405 || a.code() != "method_not_allowed" || a.header.Get("Allow") != tt.allow {
			t.Errorf("%s %s: %d, Allow %q; want 405, %q", tt.method, tt.path, a.status, a.header.Get("Allow"), tt.allow)
		}
	}
	for i := range routes {
		if r := &routes[i]; r.method == "GET" {
			get, head := w.do("GET", w.path(r), ""), w.do("HEAD", w.path(r), "")
			if get.status != 200 || head.status != 200 || head.body != "" {
				t.Errorf("%s: GET %d, HEAD %d with %d bytes; want 200, 200 with none", r.pattern, get.status, head.status, len(head.body))
			}
			if g, h := get.header.Get("Content-Length"), head.header.Get("Content-Length"); g != h {
				t.Errorf("%s: Content-Length of GET %s, of HEAD %s", r.pattern, g, h)
			}
		}
	}
}

func TestNotReady(t *testing.T) {
	ready := false
	w := newGateway(t, func(c *Config) { c.Ready = func() bool { return ready } })
	a := w.do("GET", "/v1/tenants", "")
	if a.status != http.StatusServiceUnavailable || a.code() != "not_ready" || a.header.Get("Retry-After") == "" {
		t.Errorf("before: %d %s, want 503 not_ready with Retry-After", a.status, a.code())
	}
	ready = true
	w.must(200, "GET", "/v1/tenants", "")
}

func TestNewWantsWhatItNeeds(t *testing.T) {
	_, err := New(Config{})
	if err == nil || !strings.Contains(err.Error(), "Table must not be nil") {
		t.Errorf("New(Config{}) = %v, want it to name Table", err)
	}
}
