package viis

import (
	"context"
	"encoding/xml"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

// newLife is a world whose tasks are done, as far as nothing but the table is concerned.
func newLife(t *testing.T) *world {
	t.Helper()
	return newWorld(t, func(c *Config) {
		service, err := tenancy.New(tenancy.Config{Table: c.Table, Node: "gw-1", RecordOnly: true})
		check(t, err)
		t.Cleanup(func() { service.Stop(context.Background()) })
		c.Tenancy = service
	})
}

// An ended task, as a client reads it.
type ended struct {
	XMLName xml.Name `xml:"task"`
	ID      string   `xml:"id,attr"`
	State   string   `xml:"state"`
	Type    string   `xml:"type"`
	Result  *struct {
		Text   string `xml:",chardata"`
		Tenant *struct {
			ID       string `xml:"id,attr"`
			Name     string `xml:"name"`
			UserData string `xml:"userData"`
			Status   string `xml:"status"`
			Server   *struct {
				ID string `xml:"id,attr"`
			} `xml:"vKsc"`
		} `xml:"tenant"`
	} `xml:"result"`
	Error string `xml:"error"`
}

// completes sends a request whose task has to be of a kind and Completed, at once and
// when it is asked after.
func (w *world) completes(kind, method, path, body string) ended {
	w.t.Helper()
	a := w.must(202, method, path, body)
	var task ended
	if err := xml.Unmarshal([]byte(a.body), &task); err != nil || task.Type != kind || task.State != "Completed" || task.Result == nil {
		w.t.Fatalf("%s %s: %v %s, want %s completed", method, path, err, a.body, kind)
	}
	if again := w.must(200, "GET", "/tasks/"+task.ID, ""); again.body != a.body {
		w.t.Errorf("the task was\n%s and is\n%s", a.body, again.body)
	}
	return task
}

func TestLife(t *testing.T) {
	w := newLife(t)
	const userData = "<x>1 & 2</x> ]]> \x0b" // the last may not be sent
	task := w.completes("CreateTenant", "POST", "/tenants", "<tenant><name>acme</name><userData>&lt;x>1 &amp; 2&lt;/x> ]]&gt; </userData>"+account+"</tenant>")
	made := task.Result.Tenant
	if made == nil || made.Name != "acme" || made.UserData != userData[:len(userData)-1] || made.Status != "Inactive" || made.Server == nil || made.Server.ID != noServer {
		t.Fatalf("the result is %+v", made)
	}
	path := "/tenants/" + made.ID
	if read := w.must(200, "GET", path, ""); !strings.Contains(w.must(200, "GET", "/tasks", "").body, strings.TrimPrefix(read.body, declared)) {
		t.Errorf("the tenant is %s, and not the result of its task", read.body)
	}
	for verb, status := range map[string]string{"activate": "Active", "deactivate": "Inactive"} {
		if task := w.completes("ChangeTenantActivation", "POST", path+"/"+verb, ""); task.Result.Text != "true" {
			t.Errorf("%s comes to %q", verb, task.Result.Text)
		}
		if a := w.must(200, "GET", path, ""); !strings.Contains(a.body, "<status>"+status+"</status>") {
			t.Errorf("after %s: %s", verb, a.body)
		}
	}
	w.must(200, "POST", path+"/vms/register", `<vm biosId="`+aBIOS+`"/>`)
	if task := w.completes("DeleteTenant", "DELETE", path, ""); task.Result.Tenant == nil || task.Result.Tenant.Name != "acme" {
		t.Errorf("the deletion comes to %+v", task.Result)
	}
	w.refused(404, codeTenantNotFound, "GET", path, "")
	w.refused(404, codeTenantNotFound, "GET", path+"/vms", "")
	for _, q := range [][2]string{{"DELETE", path}, {"POST", path + "/activate"}, {"POST", path + "/deactivate"}} {
		a := w.must(202, q[0], q[1], "")
		if !strings.Contains(a.body, "<state>Failed</state>") || !strings.Contains(a.body, "<error>"+codeTenantNotFound+": ") {
			t.Errorf("%s %s of nobody: %s", q[0], q[1], a.body)
		}
	}
	simple := w.completes("CreateTenant", "POST", "/tenants", simpleWith("")).Result.Tenant
	w.must(200, "POST", "/tenants/"+simple.ID+"/vms/register", `<vm biosId="`+aBIOS+`"/>`)
	if simple.Server != nil {
		t.Errorf("a simple tenant has the server %+v", simple.Server)
	}
	w.refused(409, codeTaskEnded, "POST", "/tasks/"+task.ID+"/cancel", "")
}

// TestOthersKnowWhatWasDone: the task's keys, and those of what it changed.
func TestOthersKnowWhatWasDone(t *testing.T) {
	w := newLife(t)
	w.must(202, "POST", "/tenants", simpleWith(""))
	task, id := w.table.Tasks()[0], w.table.Tenants()[0].ID
	want := []store.Key{{Kind: store.KindTask, ID: task.ID}, {Kind: store.KindTenant, ID: id}, {Kind: store.KindActivation, ID: id}, {Kind: store.KindToken, ID: id}}
	w.knows("a tenant", want...)
	w.must(200, "GET", "/tasks/"+task.ID.String(), "")
	w.knows("who asks after it", want...)
}

func TestReadReport(t *testing.T) {
	w := newLife(t)
	report := w.completes("CreateTenantReport", "POST", "/reports/tenants?from=2026-11-22T01:00:00", "").Result.Text
	path := "/reports/tenants/" + report
	a := w.must(200, "GET", path, "", "Accept", "application/csv")
	if a.body != "" || a.header.Get("Content-Type") != "application/csv; charset=utf-8" || a.header.Get("Content-Length") != "0" || a.header.Get("ETag") != `"`+report+`"` {
		t.Errorf("the report is %v %q", a.header, a.body)
	}
	w.must(200, "GET", "/reports/tenants/"+strings.ToUpper(report), "")
	w.must(200, "HEAD", path, "")
	w.must(200, "GET", path, "", "Range", "bytes=0-9", "If-Range", `"another"`)
	if a := w.refused(416, codeRange, "GET", path, "", "Range", "bytes=0-9"); a.header.Get("Content-Range") != "bytes */0" {
		t.Errorf("Content-Range %q", a.header.Get("Content-Range"))
	}
	w.refused(406, codeNotAcceptable, "GET", path, "", "Accept", "application/xml")
	other := w.completes("CreateTenant", "POST", "/tenants", simpleWith(""))
	for _, id := range []string{"17", aBIOS, "true", other.ID} {
		w.refused(404, codeReportNotFound, "GET", "/reports/tenants/"+id, "")
	}
}

// TestTasksThatArriveBeforeWhatTheyDid: a gateway that hears of an end before it hears of
// what came of it waits for that, and not for ever.
func TestTasksThatArriveBeforeWhatTheyDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there, here := tableOf(t, "gw-1"), tableOf(t, "gw-2")
		service, err := tenancy.New(tenancy.Config{Table: there, Node: "gw-1"})
		check(t, err)
		defer service.Stop(context.Background())
		p := &peers{}
		api := &API{table: here, confirm: p.confirm}
		bring := func(key store.Key) {
			t.Helper()
			r, ok := there.Record(key)
			if !ok {
				t.Fatalf("there is no record %v", key)
			}
			_, err := here.Apply(store.Batch{Records: []store.Record{r}, From: "gw-1"})
			check(t, err)
		}
		// asks reports after how long, in a bubble, other gateways are asked; less than 0
		// if they are not.
		asks := func(task store.Task, meanwhile func()) time.Duration {
			start, before := time.Now(), p.asks
			done := make(chan struct{})
			go func() {
				api.settle(t.Context(), &task)
				close(done)
			}()
			time.Sleep(confirmFor / 2)
			synctest.Wait()
			if meanwhile != nil {
				meanwhile()
			}
			<-done
			if p.asks == before {
				return -1
			}
			return time.Since(start)
		}

		created, err := service.Create(audit.Who{Account: "root"}, tenancy.NewTenant{Tenant: store.Tenant{Name: "acme", Type: store.Simple, Discovery: store.DefaultDiscovery()}})
		check(t, err)
		tenant, _ := tenancy.ResultOf(created)
		key := store.Key{Kind: store.KindTenant, ID: tenant.ID}
		if after := asks(created, nil); after >= 0 {
			t.Errorf("others were told of a tenant that is not here, after %v", after)
		}
		if after := asks(created, func() { bring(key) }); after < confirmFor/2 || after > confirmFor/2+lookAgain {
			t.Errorf("others were told after %v, want as soon as the tenant is here", after)
		}
		deleted, err := service.Delete(audit.Who{Account: "root"}, tenant.ID, false)
		check(t, err)
		if after := asks(deleted, nil); after >= 0 {
			t.Errorf("others were told that a tenant is gone that is here, after %v", after)
		}
		if after := asks(deleted, func() { bring(key) }); after < confirmFor/2 || after > confirmFor/2+lookAgain {
			t.Errorf("others were told after %v, want as soon as the tenant is gone", after)
		}
		if after := asks(created, nil); after != confirmFor/2 {
			t.Errorf("of a tenant that was deleted since, others were told after %v, want at once", after)
		}
	})
}

func tableOf(t *testing.T, node string) *store.Table {
	t.Helper()
	table, err := store.Open(store.Config{Node: node})
	check(t, err)
	t.Cleanup(func() { _ = table.Close() })
	return table
}
