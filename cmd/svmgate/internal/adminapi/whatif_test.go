package adminapi

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

// newForecastWorld is a world with two SVMs and some VMs more, all of acme's.
func newForecastWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for i := range 2 {
		w.must(201, "PUT", fmt.Sprintf("/v1/svms/00000000-0000-0000-0000-0000000000b%d", i),
			fmt.Sprintf(`{"name":"svm-%d","address":"10.9.1.%d","version":"6.0","license":{"state":"valid"}}`, i+2, i))
	}
	for i := range 30 {
		w.must(201, "PUT", "/v1/vms/"+store.BIOSID{14: 1, 15: byte(i)}.String(), `{"tenant":"`+w.tenant.String()+`"}`)
	}
	return w
}

func TestWhatIf(t *testing.T) {
	w := newForecastWorld(t)
	revision := w.table.Stats().Revision
	tests := []struct {
		name, body string
		want       func(f *discovery.Forecast) bool
	}{
		{"nothing", `{}`, func(f *discovery.Forecast) bool { return f.Agents == 31 && f.AtOnce.Served == 31 && len(f.SVMs) == 3 }},
		{"an SVM is lost, by name", `{"lose":["svm-1"]}`, func(f *discovery.Forecast) bool {
			return f.Moves.AtOnce > 0 && f.Flows[0].From.ID == ownSVM && f.SVMs[0].Change == "lost"
		}},
		{"all are lost, by id and name", `{"lose":["` + ownSVM.String() + `","svm-2","svm-3"]}`, func(f *discovery.Forecast) bool {
			return f.AtOnce.NoSVM == 31 && f.Stranded == 1 && f.Tenants[0].Name == "acme"
		}},
		{"two come", `{"add":2,"like":"svm-1"}`, func(f *discovery.Forecast) bool { return len(f.SVMs) == 5 && f.SVMs[4].Name == "new-2" }},
		{"one comes", `{"add":[{"name":"big","capacity":5000}]}`, func(f *discovery.Forecast) bool {
			return len(f.SVMs) == 4 && f.SVMs[3].Name == "big" && f.SVMs[3].Capacity == 5000
		}},
		{"a tenant is deactivated", `{"deactivate":["acme"]}`, func(f *discovery.Forecast) bool { return f.AtOnce.Inactive == 31 }},
		{"agents come", `{"agents":20}`, func(f *discovery.Forecast) bool { return f.Newcomers == 20 && f.AtOnce.Served == 51 }},
		{"agents of tenants come", `{"agents":{"acme":20,"*":5}}`, func(f *discovery.Forecast) bool { return f.Newcomers == 25 && f.Agents == 56 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var f discovery.Forecast
			w.must(200, "POST", whatIfPath, tt.body).json(t, &f)
			if !tt.want(&f) {
				t.Errorf("%s answers %+v", tt.body, f)
			}
		})
	}
	if w.table.Stats().Revision != revision {
		t.Error("a forecast changed the table")
	}
}

// What can not be is refused, and the field is named.
func TestWhatIfRefuses(t *testing.T) {
	w := newForecastWorld(t)
	w.must(201, "PUT", "/v1/svms/00000000-0000-0000-0000-0000000000c1", `{"name":"svm-1","address":"10.9.2.1"}`)
	for _, tt := range []struct{ body, says string }{
		{`[]`, "must be an object"},
		{`{"loose":[]}`, `field "loose" is unknown`},
		{`{"lose":"svm-1"}`, "lose must be an array"},
		{`{"lose":["svm-9"]}`, `lose[0]: there is no SVM with the id or the name "svm-9"`},
		{`{"lose":["svm-1"]}`, `lose[0]: 2 have the name "svm-1"; give an id`},
		{`{"lose":["00000000-0000-0000-0000-0000000000ff"]}`, "lose: SVM 00000000-0000-0000-0000-0000000000ff: not found"},
		{`{"add":"two"}`, "add must be a number, or an array"},
		{`{"add":-1}`, "add: -1 SVMs"},
		{`{"add":[{"address":"not an address"}]}`, "add: address"},
		{`{"add":[{"capacity":"many"}]}`, "add[0].capacity must be a whole number"},
		{`{"like":"nobody"}`, "like: there is no SVM"},
		{`{"activate":[7]}`, "activate[0] must be the id or the name"},
		{`{"activate":["acme"],"deactivate":["acme"]}`, "deactivate: tenant"},
		{`{"agents":{"nobody":1}}`, `agents: there is no tenant with the id or the name "nobody"`},
		{`{"agents":{"acme":"some"}}`, "agents.acme must be a whole number"},
		{`{"agents":{"acme":1,"` + w.tenant.String() + `":1}}`, "given twice"},
		{`{"agents":100000000}`, "agents: 100000000 agents"},
	} {
		a := w.do("POST", whatIfPath, tt.body)
		if a.status != 400 || !strings.Contains(a.body, strings.ReplaceAll(tt.says, `"`, `\"`)) {
			t.Errorf("%s: %d %s, want 400 and %q", tt.body, a.status, a.body, tt.says)
		}
	}
	if a := w.do("POST", whatIfPath, ""); a.status != 400 && a.status != 415 {
		t.Errorf("without a body: %d", a.status)
	}
}

func TestOneForecastAtATime(t *testing.T) {
	w := newWorld(t)
	w.api.forecasts.Lock()
	if a := w.do("POST", whatIfPath, "{}"); a.status != 409 || a.code() != "another_is_running" {
		t.Errorf("while another is running: %d %s, want 409 another_is_running", a.status, a.code())
	}
	w.api.forecasts.Unlock()
	w.must(200, "POST", whatIfPath, "{}")
}
