package viis

import (
	"context"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/audit"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/protection"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/tenancy"
	"github.com/svmgate/svmgate/store"
)

// newLife is a world whose tasks are done, as far as nothing but the table is concerned.
func newLife(t *testing.T) *world {
	t.Helper()
	return newWorld(t, func(c *Config) {
		files := reportsOf(t, c.Table)
		service, err := tenancy.New(tenancy.Config{Table: c.Table, Node: "gw-1", RecordOnly: true, Reports: files})
		check(t, err)
		t.Cleanup(func() { service.Stop(context.Background()) })
		c.Tenancy = service
		c.Report = func(node string, id uuid.UUID) (protection.Report, error) {
			switch node {
			case "gw-1":
				return files.Open(id)
			case "gw-2":
				return nil, fmt.Errorf("%w: no route to host", protection.ErrAway)
			}
			return nil, errBug
		}
	})
}

// reportsOf are reports of what a table has, of which everything is collected.
func reportsOf(t *testing.T, table *store.Table) *protection.Files {
	t.Helper()
	book, err := protection.New(protection.Config{Table: table, Collect: true})
	check(t, err)
	files, err := protection.NewFiles("", book)
	check(t, err)
	return files
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

// reports has a report made, and returns its id.
func (w *world) reports(query string) string {
	w.t.Helper()
	var task ended
	check(w.t, xml.Unmarshal([]byte(w.must(202, "POST", "/reports/tenants"+query, "").body), &task))
	for end := time.Now().Add(time.Minute); task.State != "Completed"; time.Sleep(time.Millisecond) {
		if check(w.t, xml.Unmarshal([]byte(w.must(200, "GET", "/tasks/"+task.ID, "").body), &task)); time.Now().After(end) {
			w.t.Fatalf("the task is %+v", task)
		}
	}
	return task.Result.Text
}

func TestReadReport(t *testing.T) {
	w := newLife(t)
	report := w.reports("?from=2026-11-22T01:00:00")
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

// TestReportWithContents: lines of a VM, whole and in parts, from whoever made it.
func TestReportWithContents(t *testing.T) {
	w := newLife(t)
	tenant, today := w.tenant(1), store.DayOf(time.Now())
	w.put(func(tx *store.Tx) error {
		bios, err := store.ParseBIOSID(aBIOS)
		check(t, err)
		if _, err := tx.PutVM(store.VM{BIOS: bios, ID: store.VMID{7}, Tenant: tenant, Name: "web;1"}); err != nil {
			return err
		}
		_, err = tx.Protect(bios, today-3, today)
		return err
	})
	date := func(d store.Day) string { return d.Start().Format("2006-01-02") }
	want := tenant.String() + ";tenant " + tenant.String() + ";07000000-0000-0000-0000-000000000000;\"web;1\";" + date(today-3) + "T00:00:00;" + date(today-2) + "T23:59:59\n"
	report := w.reports("?tenantId=" + tenant.String() + "&to=" + date(today-1) + "T00:00:00")
	path := "/reports/tenants/" + report
	if a := w.must(200, "GET", path, ""); a.body != want || a.header.Get("Content-Length") != strconv.Itoa(len(want)) {
		t.Errorf("%v\n%swant\n%s", a.header, a.body, want)
	}
	if a := w.must(200, "HEAD", path, ""); a.header.Get("Content-Length") != strconv.Itoa(len(want)) {
		t.Errorf("HEAD: %v", a.header)
	}
	if a := w.must(206, "GET", path, "", "Range", "bytes=36-"); a.body != want[36:] || a.header.Get("ETag") != `"`+report+`"` {
		t.Errorf("from 36: %v %q", a.header, a.body)
	}
	if other := w.reports("?tenantId=" + aBIOS); w.must(200, "GET", "/reports/tenants/"+other, "").body != "" {
		t.Error("the report of another tenant has a line")
	}

	// Other gateways' reports: one that is away, and one that fails.
	for node, want := range map[string]string{"gw-2": codeNotReady, "gw-3": codeInternal} {
		id := uuid.NewString()
		w.put(func(tx *store.Tx) error {
			_, err := tx.PutTask(store.Task{ID: store.NewTaskID(), Type: "CreateTenantReport", Node: node, State: store.TaskCompleted, Result: []byte(id)})
			return err
		})
		status := map[string]int{codeNotReady: 503, codeInternal: 500}[want]
		if a := w.refused(status, want, "GET", "/reports/tenants/"+id, ""); status == 503 && !strings.Contains(a.body, node+", which made the report, does not answer") {
			t.Errorf("the report of %s: %s", node, a.body)
		}
	}
}

// TestTasksThatArriveBeforeWhatTheyDid: a gateway that hears of an end before it hears of
// what came of it waits for that, and not for ever.
func TestTasksThatArriveBeforeWhatTheyDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there, here := tableOf(t, "gw-1"), tableOf(t, "gw-2")
		service, err := tenancy.New(tenancy.Config{Table: there, Node: "gw-1", Reports: reportsOf(t, there)})
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
