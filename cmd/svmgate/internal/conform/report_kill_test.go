package conform

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A gateway that is killed while it writes a report fails the task when it is back, and
// nobody ever gets half of one; the next report is whole.
func TestKilledWhileReporting(t *testing.T) {
	const vms, periods = 5_000, 20
	k := &killing{T: t, world: startWorld(t, false, "--ksc=none", "--protection-reports=true")}
	k.await(t, false)
	id := func(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n+1) }
	var inventory, sessions strings.Builder
	for n := range vms {
		fmt.Fprintf(&inventory, `{"vm":{"biosId":"%s","name":"vm %d"}}`+"\n", id(n), n)
	}
	k.manage(t, "POST", "/v1/import", inventory.String())
	for n := range vms * periods {
		at := dayAgo(2*(n%periods)+1) + "T12:00:00Z"
		fmt.Fprintf(&sessions, `{"biosId":"%s","from":"%s","to":"%s"}`+"\n", id(n/periods), at, at)
		if (n+1)%10_000 == 0 {
			if text := k.manage(t, "POST", "/v1/svms/"+svmID+"/sessions", sessions.String()); !strings.Contains(string(text), `"refused":[]`) {
				t.Fatalf("sessions: %.300s", text)
			}
			sessions.Reset()
		}
	}
	dir := filepath.Join(k.gateways[0].dir, "data", "reports")
	parts := func() []string {
		list, err := filepath.Glob(filepath.Join(dir, "*.part"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	before := k.tasks()
	if status, text, err := k.request("POST", "/reports/tenants", ""); status != http.StatusAccepted || err != nil {
		t.Fatalf("%d %s, %v", status, text, err)
	}
	for end := time.Now().Add(patience); len(parts()) == 0; {
		if time.Now().After(end) {
			t.Fatal("no report is being written")
		}
	}
	if err := k.gateways[0].cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-k.gateways[0].ended
	left := parts()
	if len(left) != 1 {
		t.Fatalf("%v were left: the gateway was killed too late", left)
	}
	k.again()
	task := k.fresh(before)
	if task.State != "Failed" || !strings.HasPrefix(task.Error, "VIRMT_TaskInterrupted: ") {
		t.Errorf("the task is %+v, want it Failed, because it was interrupted", task)
	}
	half := strings.TrimSuffix(filepath.Base(left[0]), ".csv.part")
	if status, text, err := k.request("GET", "/reports/tenants/"+half, ""); status != http.StatusNotFound || err != nil {
		t.Errorf("the report that was begun is %d %.100s, %v", status, text, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v are left, %v", entries, err)
	}

	before = k.tasks()
	if status, text, err := k.request("POST", "/reports/tenants", ""); status != http.StatusAccepted || err != nil {
		t.Fatalf("%d %s, %v", status, text, err)
	}
	k.fresh(before)
	var made struct {
		State  string `xml:"state"`
		Result string `xml:"result"`
	}
	for _, task := range k.tasks() {
		if task.State == "Completed" && task.Type == "CreateTenantReport" {
			k.read("/tasks/"+task.ID, &made)
		}
	}
	status, text, err := k.request("GET", "/reports/tenants/"+made.Result, "")
	if lines := strings.Count(string(text), "\n"); status != 200 || err != nil || lines != vms*periods {
		t.Errorf("the next report is %d, with %d lines, %v; want %d", status, lines, err, vms*periods)
	}
}
