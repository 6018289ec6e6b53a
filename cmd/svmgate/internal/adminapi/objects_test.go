package adminapi

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// TestEveryOperation gets a success out of every operation of the document. That
// the answers fit the document is checked on the way.
func TestEveryOperation(t *testing.T) {
	w := newWorld(t, with(&peers{}), collecting(t))
	tenant, svm, vm := "/v1/tenants/"+w.tenant.String(), "/v1/svms/"+ownSVM.String(), "/v1/vms/"+w.vm.String()
	for _, q := range []struct {
		status             int
		method, path, body string
	}{
		{200, "GET", "/openapi.json", ""},
		{200, "GET", "/v1/tenants", ""},
		{200, "GET", "/v1/tenants?name=acme", ""},
		{200, "GET", tenant, ""},
		{200, "PATCH", tenant, `{"description":"first customer","subnets":["10.1.0.0/16"],"discovery":{"tag":""}}`},
		{200, "POST", tenant + "/activate?wait=majority&timeout=5s", ""},
		{200, "POST", tenant + "/token", ""},
		{200, "POST", tenant + "/token", "{}"},
		{200, "GET", tenant + "/deployment", ""},
		{200, "GET", tenant + "/handover", ""},
		{200, "GET", tenant + "/firewall?format=json", ""},
		{200, "GET", "/v1/svms", ""},
		{200, "GET", "/v1/licenses?limit=1", ""},
		{200, "GET", svm, ""},
		{200, "PUT", svm, `{"address":"svm-1.example","version":"6.0","kinds":["linux"],"license":{"state":"valid","expires":"2030-01-01T00:00:00Z"}}`},
		{200, "PATCH", svm, `{"capacity":500,"pinned":true}`},
		{200, "POST", svm + "/report", `{"connectedAgents":3}`},
		{200, "POST", svm + "/sessions", `{"biosId":"` + w.vm.String() + `","from":"2026-01-01T00:00:00Z","to":"2026-01-01T01:00:00Z"}`},
		{200, "GET", "/v1/reports/protection?tenant=" + w.tenant.String() + "&from=2026-01-01", ""},
		{200, "POST", svm + "/drain", ""},
		{200, "POST", svm + "/drain", `{"over":"1h"}`},
		{200, "GET", "/v1/svms", ""},
		{200, "POST", svm + "/undrain", ""},
		{200, "GET", "/v1/vms?tenant=" + w.tenant.String(), ""},
		{200, "GET", vm, ""},
		{200, "PUT", vm, `{"tenant":"` + w.tenant.String() + `","version":"12.0"}`},
		{200, "GET", "/v1/explain" + vm[len("/v1/vms"):] + "?version=12.0&os=server", ""},
		{200, "GET", "/v1/agents" + vm[len("/v1/vms"):] + "/svm?version=12.0", ""},
		{200, "POST", whatIfPath, `{"lose":["` + ownSVM.String() + `"],"add":1,"agents":{"*":2}}`},
		{200, "POST", "/v1/import?dry-run=true", `{"vms":[{"biosId":"` + w.vm.String() + `"}]}`},
		{200, "GET", "/v1/cluster", ""},
		{200, "GET", "/v1/cluster/keys", ""},
		{200, "POST", "/v1/cluster/keys", `{"change":"add","key":"` + aKey + `"}`},
		{200, "GET", "/v1/users", ""},
		{201, "POST", "/v1/users", `{"name":"new@one.example","role":"svm","password":"x","svms":["` + ownSVM.String() + `"]}`},
		{200, "GET", "/v1/users/new@one.example", ""},
		{204, "DELETE", "/v1/users/new@one.example", ""},
		{200, "POST", tenant + "/deactivate?wait=all", ""},
		{200, "GET", "/v1/explain" + vm[len("/v1/vms"):], ""},
		{200, "GET", "/v1/agents" + vm[len("/v1/vms"):] + "/svm", ""},
		{204, "DELETE", vm, ""},
		{204, "DELETE", svm, ""},
		{204, "DELETE", tenant, ""},
		{200, "GET", "/v1/events?type=admin.&tenant=" + w.tenant.String(), ""},
	} {
		w.must(q.status, q.method, q.path, q.body)
	}
	w.must(200, "POST", "/v1/agents/svm", `{"biosId":"`+w.vm.String()+`"}`+"\n", "Content-Type", "application/x-ndjson")
	backup := w.must(200, "GET", "/v1/backup", "").body
	w.must(200, "POST", "/v1/restore?as-new=true", backup, "Content-Type", backupType)
	for path, item := range w.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !w.seen[op.OperationID] {
				t.Errorf("%s %s was never answered with success", method, path)
			}
		}
	}
}

func TestTenantLife(t *testing.T) {
	g := newGateway(t)
	a := g.must(201, "POST", "/v1/tenants", `{"name":"acme","type":"complete","subnets":["10.1.0.0/16"]}`)
	var created store.Tenant
	a.json(t, &created)
	if created.Status != store.Inactive || created.Discovery != store.DefaultDiscovery() {
		t.Errorf("new tenant %+v, want it inactive with default discovery", created)
	}
	path := "/v1/tenants/" + created.ID.String()
	if got := a.header.Get("Location"); got != path {
		t.Errorf("Location %q, want %q", got, path)
	}
	if got := g.must(200, "GET", path, "").body; got != a.body {
		t.Errorf("read %s\nwant what creation answered: %s", got, a.body)
	}
	for _, tt := range []struct{ verb, want string }{{"activate", "active"}, {"activate", "active"}, {"deactivate", "inactive"}} {
		var got struct{ Status string }
		g.must(200, "POST", path+"/"+tt.verb, "").json(t, &got)
		if got.Status != tt.want {
			t.Errorf("after %s: status %q, want %q", tt.verb, got.Status, tt.want)
		}
	}
	if a := g.do("POST", "/v1/tenants", `{"name":"acme"}`); a.status != 409 || a.code() != "exists" {
		t.Errorf("same name: %d %s, want 409 exists", a.status, a.code())
	}
	if a := g.do("POST", "/v1/tenants", `{"name":"other","id":"`+created.ID.String()+`"}`); a.status != 409 {
		t.Errorf("same id: %d %s, want 409", a.status, a.code())
	}
	g.must(204, "DELETE", path, "")
	for _, q := range [][2]string{{"GET", ""}, {"DELETE", ""}, {"PATCH", ""}, {"POST", "/activate"}, {"POST", "/deactivate"}, {"POST", "/token"}} {
		body := ""
		if q[0] == "PATCH" {
			body = "{}"
		}
		if a := g.do(q[0], path+q[1], body); a.status != 404 || a.code() != "tenant_not_found" {
			t.Errorf("%s %s: %d %s, want 404 tenant_not_found", q[0], q[1], a.status, a.code())
		}
	}
}

// TestMergePatch holds the patches of RFC 7396 against what they must leave.
func TestMergePatch(t *testing.T) {
	tests := []struct {
		name, patch, want string // want: the changed part of the tenant
	}{
		{"absent stays", `{}`, `{"description":"d","discovery":{"tag":"gold","locked":false},"subnets":["10.0.0.0/8"]}`},
		{"value replaces", `{"description":"e"}`, `{"description":"e","discovery":{"tag":"gold","locked":false},"subnets":["10.0.0.0/8"]}`},
		{"null is the default", `{"description":null,"subnets":null}`, `{"description":"","discovery":{"tag":"gold","locked":false},"subnets":[]}`},
		{"objects merge", `{"discovery":{"locked":true}}`, `{"description":"d","discovery":{"tag":"gold","locked":true},"subnets":["10.0.0.0/8"]}`},
		{"null inside resets one", `{"discovery":{"locked":null}}`, `{"description":"d","discovery":{"tag":"gold","locked":true},"subnets":["10.0.0.0/8"]}`},
		{"null object resets all", `{"discovery":null}`, `{"description":"d","discovery":{"tag":"","locked":true},"subnets":["10.0.0.0/8"]}`},
		{"lists are replaced", `{"subnets":["10.9.0.0/16","fd00::/8"]}`, `{"description":"d","discovery":{"tag":"gold","locked":false},"subnets":["10.9.0.0/16","fd00::/8"]}`},
		{"read-only may come along", `{"created":"2020-01-01T00:00:00Z","revision":1}`, `{"description":"d","discovery":{"tag":"gold","locked":false},"subnets":["10.0.0.0/8"]}`},
	}
	g := newGateway(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := fmt.Sprintf(`{"name":"t%d","description":"d","subnets":["10.0.0.0/8"],"discovery":{"tag":"gold","locked":false}}`, i)
			path := g.must(201, "POST", "/v1/tenants", body).header.Get("Location")
			type part struct {
				Description string
				Discovery   struct {
					Tag    string
					Locked bool
				}
				Subnets []string
			}
			var got, want part
			g.must(200, "PATCH", path, tt.patch, "Content-Type", "application/merge-patch+json").json(t, &got)
			answer{body: tt.want}.json(t, &want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("after PATCH %s (-want +got):\n%s", tt.patch, diff)
			}
		})
	}
}

// TestRoundTrip sends objects back as they were read: that must change nothing.
func TestRoundTrip(t *testing.T) {
	w := newWorld(t)
	for path, method := range map[string]string{
		"/v1/svms/" + ownSVM.String(): "PUT", "/v1/vms/" + w.vm.String(): "PUT",
	} {
		before := w.must(200, "GET", path, "")
		after := w.must(200, method, path, before.body)
		if before.header.Get("ETag") != after.header.Get("ETag") {
			t.Errorf("%s: ETag %s became %s", path, before.header.Get("ETag"), after.header.Get("ETag"))
		}
	}
	path := "/v1/tenants/" + w.tenant.String()
	before := w.must(200, "GET", path, "")
	if a := w.do("PATCH", path, before.body); a.status != 400 || !strings.Contains(a.body, "status") {
		t.Errorf("PATCH with status: %d %s, want 400 naming status", a.status, a.body)
	}
	without := strings.Replace(before.body, `"status":"active",`, "", 1)
	if after := w.must(200, "PATCH", path, without); after.body != before.body {
		t.Errorf("after %s\nwant %s", after.body, before.body)
	}
}

func TestIfMatch(t *testing.T) {
	w := newWorld(t)
	tenant, svm, vm := "/v1/tenants/"+w.tenant.String(), "/v1/svms/"+ownSVM.String(), "/v1/vms/"+w.vm.String()
	for _, q := range []struct{ object, method, path, body string }{
		{tenant, "PATCH", tenant, `{"description":"2"}`},
		{tenant, "POST", tenant + "/deactivate", ""},
		{svm, "PATCH", svm, `{"name":"2"}`},
		{svm, "PUT", svm, `{"address":"10.9.0.9"}`},
		{svm, "POST", svm + "/drain", ""},
		{vm, "PUT", vm, `{"name":"2"}`},
		{"/v1/users/watcher", "DELETE", "/v1/users/watcher", ""},
		{vm, "DELETE", vm, ""},
		{svm, "DELETE", svm, ""},
		{tenant, "DELETE", tenant, ""},
	} {
		tag := w.must(200, "GET", q.object, "").header.Get("ETag")
		for _, stale := range []string{`"1"`, "W/" + tag, strings.Trim(tag, `"`), `"1", "2"`} {
			if a := w.do(q.method, q.path, q.body, "If-Match", stale); a.status != 412 || a.code() != "precondition_failed" {
				t.Errorf("%s %s with If-Match %s: %d, want 412", q.method, q.path, stale, a.status)
			}
		}
		if now := w.must(200, "GET", q.object, "").header.Get("ETag"); now != tag {
			t.Fatalf("%s %s: refused, but ETag %s became %s", q.method, q.path, tag, now)
		}
		if a := w.do(q.method, q.path, q.body, "If-Match", `"1", `+tag); a.status/100 != 2 {
			t.Errorf("%s %s with its ETag: %d %s, want success", q.method, q.path, a.status, a.body)
		}
		if q.method == "DELETE" {
			continue
		}
		if now := w.must(200, "GET", q.object, "").header.Get("ETag"); now == tag {
			t.Errorf("%s %s changed the object, but not its ETag", q.method, q.path)
		}
		if a := w.do(q.method, q.path, q.body, "If-Match", "*"); a.status != 200 {
			t.Errorf("%s %s with If-Match *: %d, want 200", q.method, q.path, a.status)
		}
	}
	if a := w.do("PUT", vm, `{}`, "If-Match", "*"); a.status != 412 {
		t.Errorf("PUT of what is not there, with If-Match *: %d, want 412", a.status)
	}
}

func TestTokenIsShownOnceAndOverlaps(t *testing.T) {
	w := newWorld(t)
	path := "/v1/tenants/" + w.tenant.String() + "/token"
	var first, second renewedToken
	w.must(200, "POST", path, "").json(t, &first)
	w.must(200, "POST", path, "").json(t, &second)
	if first.Token == second.Token || !first.PreviousValidUntil.IsZero() {
		t.Errorf("tokens %q and %q must differ, and the first has no previous (%v)", first.Token, second.Token, first.PreviousValidUntil)
	}
	if left := time.Until(second.PreviousValidUntil.Time); left < DefaultTokenOverlap-time.Minute || left > DefaultTokenOverlap {
		t.Errorf("the previous token is valid for %v, want %v", left, DefaultTokenOverlap)
	}
	for _, token := range []string{first.Token, second.Token} {
		if id, ok := w.table.TenantByToken(sha256.Sum256([]byte(token))); !ok || id != w.tenant {
			t.Errorf("token %q is %v, %v; want it to be the tenant's", token, id, ok)
		}
	}
	if body := w.must(200, "GET", "/v1/tenants/"+w.tenant.String(), "").body; strings.Contains(body, second.Token) {
		t.Error("the token is shown again")
	}
}

func TestTokenOverlapIsASetting(t *testing.T) {
	for _, tt := range []struct {
		overlap time.Duration
		valid   bool // the token before
	}{{time.Hour, true}, {-1, false}} {
		w := newWorld(t, func(c *Config) { c.TokenOverlap = tt.overlap })
		path := "/v1/tenants/" + w.tenant.String() + "/token"
		var first, second renewedToken
		w.must(200, "POST", path, "").json(t, &first)
		w.must(200, "POST", path, "").json(t, &second)
		if _, ok := w.table.TenantByToken(sha256.Sum256([]byte(first.Token))); ok != tt.valid {
			t.Errorf("overlap %v: the token before is valid: %v, want %v", tt.overlap, ok, tt.valid)
		}
		if until := second.PreviousValidUntil; until.IsZero() == tt.valid || time.Until(until.Time) > tt.overlap && tt.valid {
			t.Errorf("overlap %v: the token before is said to be valid until %v", tt.overlap, until)
		}
	}
}

func TestSVMReports(t *testing.T) {
	w := newWorld(t)
	path := "/v1/svms/" + ownSVM.String()
	var got store.SVM
	w.must(200, "POST", path+"/report", `{"connectedAgents":7,"license":{"state":"expired"},"path":{"host":"h1"}}`).json(t, &got)
	if got.ConnectedAgents != 7 || got.License.State != store.LicenseExpired || got.Path.Host != "h1" {
		t.Errorf("after the report: %+v", got)
	}
	if got.Version != "6.0" || got.Address != "10.9.0.7" || got.Name != "svm-1" {
		t.Errorf("the report changed what it did not mention: %+v", got)
	}
	for field, text := range map[string]string{
		"name": `"x"`, "address": `"10.0.0.1"`, "tags": `[]`, "tenants": `[]`, "capacity": `5`, "hardCap": `5`,
		"pinned": `true`, "state": `"ready"`, "id": `"` + ownSVM.String() + `"`, "lastReport": `""`,
	} {
		if a := w.do("POST", path+"/report", `{"connectedAgents":8,"`+field+`":`+text+`}`); a.status != 400 || !strings.Contains(a.body, field) {
			t.Errorf("report of %s: %d %s, want 400 naming it", field, a.status, a.body)
		}
	}
	w.must(200, "GET", path, "").json(t, &got)
	if got.ConnectedAgents != 7 {
		t.Errorf("%d agents, want 7: a refused report had an effect", got.ConnectedAgents)
	}
	if a := w.do("POST", "/v1/svms/00000000-0000-0000-0000-0000000000ff/report", `{}`); a.status != 404 || a.code() != "svm_not_found" {
		t.Errorf("unknown SVM: %d %s, want 404 svm_not_found", a.status, a.code())
	}
}

func TestDrainOutlivesAnInventory(t *testing.T) {
	w := newWorld(t)
	path := "/v1/svms/" + ownSVM.String()
	state := func(method, path, body string) string {
		var s struct{ State string }
		w.must(200, method, path, body).json(t, &s)
		return s.State
	}
	steps := []struct{ method, path, body, want string }{
		{"POST", path + "/drain", "", "draining"},
		{"PUT", path, `{"address":"10.9.0.7"}`, "draining"},
		{"POST", path + "/report", `{}`, "draining"},
		{"PATCH", path, `{"capacity":10}`, "draining"},
		{"POST", path + "/undrain", "", "ready"},
		{"POST", path + "/undrain", "", "ready"},
		{"PUT", path, `{"address":"10.9.0.7","state":"draining"}`, "draining"},
		{"PATCH", path, `{"state":null}`, "ready"},
	}
	for _, s := range steps {
		if got := state(s.method, s.path, s.body); got != s.want {
			t.Errorf("%s %s %s: state %q, want %q", s.method, s.path, s.body, got, s.want)
		}
	}
}

// TestPatchOfASilentSVM watches that configuring an SVM that is down because it
// is silent neither revives it nor makes "down" an administrator's wish.
func TestPatchOfASilentSVM(t *testing.T) {
	w := newWorld(t)
	path := "/v1/svms/" + ownSVM.String()
	w.table.Sweep(time.Now().Add(time.Hour))
	var s store.SVM
	for _, step := range []struct {
		body string
		want store.SVMState
	}{{`{"name":"renamed"}`, store.Down}, {`{"pinned":true}`, store.Ready}} {
		w.must(200, "PATCH", path, step.body)
		w.table.Sweep(time.Now().Add(time.Hour))
		w.must(200, "GET", path, "").json(t, &s)
		if s.State != step.want {
			t.Errorf("after PATCH %s: %v, want %v", step.body, s.State, step.want)
		}
	}
}

func TestVMKeepsItsRecordID(t *testing.T) {
	w := newWorld(t)
	path := "/v1/vms/" + w.vm.String()
	var before, after store.VM
	w.must(200, "GET", path, "").json(t, &before)
	w.must(200, "PUT", "/v1/vms/%7B"+strings.ToUpper(w.vm.String())+"%7D", `{"name":"moved"}`).json(t, &after)
	if after.ID != before.ID || !after.Tenant.IsZero() || after.Name != "moved" || !after.Created.Equal(before.Created.Time) {
		t.Errorf("before %+v\nafter %+v", before, after)
	}
	if a := w.do("PUT", path, `{"tenant":"00000000-0000-0000-0000-0000000000cc"}`); a.status != 400 || !strings.Contains(a.body, "tenant") {
		t.Errorf("unknown tenant: %d %s, want 400 naming it", a.status, a.body)
	}
}

func TestUsers(t *testing.T) {
	g := newGateway(t)
	a := g.must(201, "POST", "/v1/users", `{"name":"ops","role":"admin","password":"`+password+`"}`)
	if strings.Contains(a.body, password) || strings.Contains(a.body, "ash") {
		t.Errorf("the answer has the password or its hash: %s", a.body)
	}
	if a := g.as("ops", "GET", "/v1/users", ""); a.status != 200 {
		t.Errorf("the new account gets %d, want 200", a.status)
	}
	if a := g.do("POST", "/v1/users", `{"name":"ops","role":"viewer","password":"x"}`); a.status != 409 {
		t.Errorf("same name: %d, want 409", a.status)
	}
	g.must(204, "DELETE", "/v1/users/ops", "")
	if a := g.as("ops", "GET", "/v1/users", ""); a.status != 401 {
		t.Errorf("the deleted account gets %d, want 401", a.status)
	}
	if a := g.do("DELETE", "/v1/users/root", ""); a.status != 409 || a.code() != "last_admin" {
		t.Errorf("last admin: %d %s, want 409 last_admin", a.status, a.code())
	}
	for _, method := range []string{"GET", "DELETE"} {
		if a := g.do(method, "/v1/users/nobody", ""); a.status != 404 || a.code() != "user_not_found" {
			t.Errorf("%s of an unknown account: %d %s, want 404 user_not_found", method, a.status, a.code())
		}
	}
}

// TestExplainAgreesWithTheAgentPlane asks the same questions both ways.
func TestExplainAgreesWithTheAgentPlane(t *testing.T) {
	w := newWorld(t)
	w.must(200, "PATCH", "/v1/tenants/"+w.tenant.String(), `{"discovery":{"locked":false}}`)
	for i := range 20 {
		w.must(201, "PUT", fmt.Sprintf("/v1/svms/00000000-0000-0000-0000-0000000001%02x", i),
			fmt.Sprintf(`{"address":"10.9.1.%d","version":"6.%d","encryption":%t,"tags":%s}`, i, i%3, i%4 == 0, []string{`[]`, `["gold"]`}[i%5/4]))
	}
	many := strings.TrimSuffix(strings.Repeat(ownSVM.String()+",", 17), ",")
	bios := w.vm.String()
	for _, q := range []string{
		"", "?version=12.0", "?version=12.1&os=server", "?os=mainframe&kind=plan9", "?version=x", "?os=&kind=",
		"?failed=" + ownSVM.String(), "?failed=", "?failed=x", "?failed=" + many, "?failed=" + many[:37*16-1], "?failed=" + ownSVM.String() + ",",
		"?current=" + ownSVM.String(), "?current=x", "?current=", "?limit=1", "?limit=16", "?limit=17", "?limit=0", "?limit=+1", "?limit=01",
		"?tag=gold", "?tag=", "?tag=%ff", "?tag=" + strings.Repeat("t", 129), "?protection=on", "?protection=yes",
		"?algorithm=extended&path=ignore", "?algorithm=extended", "?algorithm=x", "?path=zone", "?path=x",
		"?biosIdOrder=swapped", "?biosIdOrder=x", "?colour=red", "?version=12.0&version=12.1",
	} {
		asked := w.do("GET", "/v1/agents/"+bios+"/svm"+q, "")
		explained := w.do("GET", "/v1/explain/"+bios+q, "")
		if asked.status != explained.status || asked.code() != explained.code() {
			t.Errorf("%s: the agent plane says %d %s, explain %d %s", q, asked.status, asked.code(), explained.status, explained.code())
			continue
		}
		if asked.status != 200 {
			continue
		}
		var decision struct {
			Result string
			SVMs   []struct{ ID store.SVMID }
		}
		var why struct {
			Result     string
			Candidates []discovery.Candidate
		}
		check(t, json.Unmarshal([]byte(asked.body), &decision))
		check(t, json.Unmarshal([]byte(explained.body), &why))
		if decision.Result != why.Result {
			t.Errorf("%s: the agent plane says %s, explain %s", q, decision.Result, why.Result)
		}
		for i, s := range decision.SVMs {
			if c := why.Candidates[i]; c.ID != s.ID || c.Rank != i+1 {
				t.Errorf("%s: the agent plane ranks %v at %d, explain has %v there with rank %d", q, s.ID, i+1, c.ID, c.Rank)
			}
		}
		if len(why.Candidates) != 21 {
			t.Errorf("%s: %d SVMs are explained, want all 21", q, len(why.Candidates))
		}
	}
}
