package daemon

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svmgate/svmgate/store"
)

// send sends a request to the admin plane as admin.
func (r *running) send(method, path, body string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.plane("admin").url()+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.SetBasicAuth("admin", "one")
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := r.client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp, string(text)
}

const reportsPath = "/api/2.0/virtualization/reports/tenants"

// reported has a report made, and returns its path.
func (r *running) reported() string {
	r.t.Helper()
	var task struct {
		ID     string `xml:"id,attr"`
		State  string `xml:"state"`
		Result string `xml:"result"`
	}
	_, text := r.send("POST", reportsPath, "")
	if err := xml.Unmarshal([]byte(text), &task); err != nil {
		r.t.Fatal(err, text)
	}
	eventually(r.t, "the report is made", func() bool {
		_, text := r.send("GET", "/api/2.0/virtualization/tasks/"+task.ID, "")
		return xml.Unmarshal([]byte(text), &task) == nil && task.State == "Completed"
	})
	return reportsPath + "/" + task.Result
}

// What SVMs tell one gateway, every gateway reports; a report that one has made, every
// gateway has, as long as that one is there, and after it was started again.
func TestProtectionReports(t *testing.T) {
	dir := t.TempDir()
	flags := map[string]string{"admin-password": "one", "protection-reports": "true", "data": dir}
	first := start(t, join("gw-1", flags))
	second := start(t, join("gw-2", map[string]string{"protection-reports": "true"}, first))
	vm, svm := store.BIOSID{15: 1}, store.SVMID{15: 0xA1}
	if err := first.assembly.table.Update(func(tx *store.Tx) error {
		if _, err := tx.PutSVM(store.SVM{ID: svm, SVMConfig: store.SVMConfig{Address: "10.9.0.7", Capacity: 1}}); err != nil {
			return err
		}
		_, err := tx.PutVM(store.VM{BIOS: vm, Name: "web-1"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC()
	session := fmt.Sprintf(`{"biosId":"%s","from":"%s","to":"%s"}`, vm, now.AddDate(0, 0, -3).Format(time.RFC3339), now.Format(time.RFC3339))
	if resp, text := first.send("POST", "/v1/svms/"+svm.String()+"/sessions", session); resp.StatusCode != 200 || !strings.Contains(text, `"changed":1`) {
		t.Fatalf("%s %s", resp.Status, text)
	}
	lines := ""
	eventually(t, "gw-2 reports it", func() bool {
		_, lines = second.send("GET", "/v1/reports/protection?format=csv", "")
		return strings.HasPrefix(lines, ";;") && strings.Count(lines, "\n") == 1
	})

	path := first.reported()
	for name, r := range map[string]*running{"gw-1": first, "gw-2": second} {
		eventually(t, name+" has the report", func() bool { resp, _ := r.send("HEAD", path, ""); return resp.StatusCode == 200 })
		if resp, text := r.send("GET", path, ""); text != lines || resp.ContentLength != int64(len(lines)) {
			t.Errorf("%s has %s, want %s", name, text, lines)
		}
	}
	first.stop()
	eventually(t, "gw-2 says that gw-1 is away", func() bool {
		resp, text := second.send("GET", path, "")
		return resp.StatusCode == 503 && resp.Header.Get("Retry-After") != "" && strings.Contains(text, "gateway gw-1, which made the report, does not answer")
	})
	again := start(t, join("gw-1", flags, second))
	for _, r := range []*running{again, second} {
		eventually(t, "the report is there again", func() bool { _, text := r.send("GET", path, ""); return text == lines })
	}
	_, page := again.get("ops", "/metrics", "")
	for _, line := range []string{"svmgate_protection_collecting 1", "svmgate_protection_reports 1"} {
		if !strings.Contains(page, "\n"+line+"\n") {
			t.Errorf("the metrics do not have %s", line)
		}
	}
	if files, err := filepath.Glob(filepath.Join(dir, "reports", "*")); err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

// What agents say of themselves is reported where they authenticate, and is there when
// the gateway has stopped.
func TestProtectionOfAgents(t *testing.T) {
	dir := t.TempDir()
	flags := map[string]string{"admin-password": "one", "protection-reports": "true", "agent-auth": "token", "data": dir}
	r := start(t, flags)
	r.addTenant("acme")
	acme, _ := r.assembly.table.TenantByName("acme")
	vm := store.BIOSID{15: 1}
	if err := r.assembly.table.Update(func(tx *store.Tx) error {
		_, err := tx.PutVM(store.VM{BIOS: vm, Tenant: acme.ID, Name: "web-1"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	_, text := r.send("POST", "/v1/tenants/"+acme.ID.String()+"/token", "")
	_, token, _ := strings.Cut(text, `"token":"`)
	token, _, _ = strings.Cut(token, `"`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, r.plane("agent").url()+"/v1/agents/"+vm.String()+"/state",
		strings.NewReader(`{"connectedTo":"00000000-0000-0000-0000-0000000000a1"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Fatalf("the agent's word: %s", resp.Status)
	}
	eventually(t, "the day is written down", func() bool { _, ok := r.assembly.table.Protection(acme.ID, vm); return ok })
	path := r.reported()
	_, lines := r.send("GET", path, "")
	if !strings.HasPrefix(lines, acme.ID.String()+";acme;") {
		t.Errorf("the report is %q", lines)
	}
	r.stop()
	if err := os.WriteFile(filepath.Join(dir, "reports", "left.csv.part"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	flags["protection-reports"] = "false"
	again := start(t, flags)
	if _, text := again.send("GET", path, ""); text != lines {
		t.Errorf("after a restart the report is %q, want %q", text, lines)
	}
	if _, text := again.send("GET", again.reported(), ""); text != "" {
		t.Errorf("with collection off a report is %q", text)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "reports", "*.part")); err != nil || len(left) != 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}
