package adminapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

// unaudited are the writes that are no administrative action, and why.
var unaudited = map[string]string{
	"POST /v1/svms/{id}/report":   "an SVM tells of itself",
	"POST /v1/svms/{id}/sessions": "an SVM tells of itself",
	"POST /v1/whatif":             "changes nothing",
	"POST /v1/agents/svm":         "asks only",
	"POST /v1/restore":            "TestWhatIsNoChangeIsAudited",
	"POST /v1/cluster/keys":       "TestWhatIsNoChangeIsAudited",
}

// audits has, for every write that is an administrative action, what tells of it.
var audits = []struct {
	route, body   string
	event         string
	before, after string // a part of what is told; "-" if nothing is
}{
	{"POST /v1/tenants", `{"name":"other"}`, "admin.tenant_create", "-", `"name":"other"`},
	{"PATCH /v1/tenants/{id}", `{"description":"of May"}`, "admin.tenant_update", `{"description":""}`, `{"description":"of May"}`},
	{"POST /v1/tenants/{id}/deactivate", ``, "admin.tenant_deactivate", `{"status":"active"}`, `{"status":"inactive"}`},
	{"POST /v1/tenants/{id}/activate", ``, "admin.tenant_activate", `{"status":"inactive"}`, `{"status":"active"}`},
	{"POST /v1/tenants/{id}/token", ``, "admin.token_renew", "-", "-"},
	{"PATCH /v1/svms/{id}", `{"hardCap":7}`, "admin.svm_update", `{"hardCap":0}`, `{"hardCap":7}`},
	{"PUT /v1/svms/{id}", `{"name":"svm-1","address":"10.9.0.8"}`, "admin.svm_put", `"address":"10.9.0.7"`, `"address":"10.9.0.8"`},
	{"POST /v1/svms/{id}/drain", ``, "admin.svm_drain", `"state":"ready"`, `"state":"draining"`},
	{"POST /v1/svms/{id}/undrain", ``, "admin.svm_undrain", `"state":"draining"`, `"state":"ready"`},
	{"PUT /v1/vms/{biosId}", `{"name":"web-2"}`, "admin.vm_put", `"name":"web-1"`, `"name":"web-2"`},
	{"DELETE /v1/vms/{biosId}", ``, "admin.vm_delete", `"name":"web-2"`, "-"},
	{"DELETE /v1/svms/{id}", ``, "admin.svm_forget", `"address":"10.9.0.8"`, "-"},
	{"DELETE /v1/tenants/{id}", ``, "admin.tenant_delete", `"name":"acme"`, "-"},
	{"POST /v1/users", `{"name":"eve","role":"viewer","password":"very secret"}`, "admin.user_create", "-", `"role":"viewer"`},
	{"DELETE /v1/users/{name}", ``, "admin.user_delete", `"name":"watcher"`, "-"},
	{"POST /v1/import", `{"tenants":[{"name":"third"}]}`, "admin.import", "-", `"changed":1`},
	{"GET /v1/backup", ``, "admin.backup", "-", "-"},
}

// TestEveryWriteIsAudited does what every route does, and looks for who did it.
func TestEveryWriteIsAudited(t *testing.T) {
	w := newWorld(t)
	told := map[string]bool{}
	for _, tt := range audits {
		told[tt.route] = true
		method, _, _ := strings.Cut(tt.route, " ")
		r, _, _ := match(method, strings.Split(strings.TrimPrefix(w.path(&route{pattern: strings.Fields(tt.route)[1]}), "/"), "/"))
		if r == nil {
			t.Fatalf("%s is no route", tt.route)
		}
		since := w.newest()
		if a := w.as("root", method, w.path(r), tt.body); a.status >= 300 {
			t.Fatalf("%s: %d %s", tt.route, a.status, a.body)
		}
		e, ok := w.audited(since)
		switch {
		case !ok || e.Type != tt.event:
			t.Errorf("%s is told as %q, want %q", tt.route, e.Type, tt.event)
		case e.Actor != "root" || e.From == "":
			t.Errorf("%s was done by %q from %q", tt.route, e.Actor, e.From)
		case !shows(e.Before, tt.before) || !shows(e.After, tt.after):
			t.Errorf("%s: before %s, after %s; want %s and %s", tt.route, e.Before, e.After, tt.before, tt.after)
		}
		if all := string(e.Before) + string(e.After) + e.Message; strings.Contains(all, "secret") || strings.Contains(all, "argon2") {
			t.Errorf("%s tells a secret: %s", tt.route, all)
		}
	}
	for _, r := range routes {
		name := r.method + " " + r.pattern
		if r.method != "GET" && !told[name] && unaudited[name] == "" {
			t.Errorf("%s is neither audited nor said to need none", name)
		}
	}
}

func shows(got json.RawMessage, want string) bool {
	if want == "-" {
		return len(got) == 0
	}
	return strings.Contains(string(got), want)
}

// newest is the version of the latest event.
func (g *gateway) newest() (v store.Version) {
	g.table.Events(v, func(e *store.Event) bool { v = e.Version; return true })
	return v
}

// audited returns the first audit after a version.
func (g *gateway) audited(after store.Version) (found store.Event, ok bool) {
	g.table.Events(after, func(e *store.Event) bool {
		if ok = strings.HasPrefix(e.Type, "admin."); ok {
			found = *e
		}
		return !ok
	})
	return found, ok
}

// TestNothingIsAuditedTwice has what is told of a status, and what is not told at all.
func TestNothingIsAuditedTwice(t *testing.T) {
	w := newWorld(t)
	types := func(method, path, body string) (list []string) {
		since := w.newest()
		w.as("root", method, path, body)
		w.table.Events(since, func(e *store.Event) bool { list = append(list, e.Type); return true })
		return list
	}
	tenant, svm, vm := "/v1/tenants/"+w.tenant.String(), "/v1/svms/"+ownSVM.String(), "/v1/vms/"+w.vm.String()
	for _, tt := range []struct{ name, method, path, body, want string }{
		{"a status that changes", "POST", tenant + "/deactivate", "", "admin.tenant_deactivate tenant.deactivated"},
		{"one that stays is no new occasion", "POST", tenant + "/deactivate", "", "admin.tenant_deactivate"},
		{"and back", "POST", tenant + "/activate", "", "admin.tenant_activate tenant.activated"},
		{"a write that changes nothing", "PUT", vm, `{"name":"web-1","tenant":"` + w.tenant.String() + `","os":"server","kind":"linux"}`, ""},
		{"a patch that changes nothing", "PATCH", tenant, `{"name":"acme"}`, ""},
		{"a report by an administrator", "PATCH", svm, `{"connectedAgents":7}`, ""},
		{"what is refused", "DELETE", "/v1/users/root", "", ""},
		{"an import that changes nothing", "POST", "/v1/import", `{"tenants":[{"name":"acme"}]}`, ""},
		{"a simulated import", "POST", "/v1/import?dry-run=true", `{"tenants":[{"name":"fourth"}]}`, ""},
	} {
		if got := strings.Join(types(tt.method, tt.path, tt.body), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestWhatIsNoChangeIsAudited has actions that are not one change of the table.
func TestWhatIsNoChangeIsAudited(t *testing.T) {
	w := newWorld(t, with(&peers{}))
	backup := w.backup()
	w.must(204, "DELETE", "/v1/vms/"+w.vm.String(), "")
	for _, tt := range []struct {
		path, body, contentType, event string
		status                         int
	}{
		{restoreAsNew, backup.body, backupType, "admin.restore", 200},
		{"/v1/cluster/keys", `{"change":"add","key":"` + aKey + `"}`, "application/json", "admin.cluster_key", 200},
		{"/v1/cluster/keys", `{"change":"add","key":""}`, "application/json", "", 400},
	} {
		since := w.newest()
		w.must(tt.status, "POST", tt.path, tt.body, "Content-Type", tt.contentType)
		if e, _ := w.audited(since); e.Type != tt.event || strings.Contains(e.Message, aKey) {
			t.Errorf("%s is told as %q %q, want %q", tt.path, e.Type, e.Message, tt.event)
		}
	}
}
