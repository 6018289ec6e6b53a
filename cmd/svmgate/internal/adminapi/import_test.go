package adminapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
)

type imported struct {
	Changed, Unchanged int
	Refused            []inventory.Refusal
}

func (g *gateway) importText(query, contentType, text string) (got imported) {
	g.t.Helper()
	g.must(200, "POST", "/v1/import"+query, text, "Content-Type", contentType).json(g.t, &got)
	return got
}

const (
	inventoryYAML = `tenants:
- {name: acme, status: active}
svms:
- {id: 00000000-0000-0000-0000-0000000000a1, address: 10.9.0.7, version: 6.0}
vms:
- {biosId: 00000000-0000-0000-0000-0000000000b1, tenant: acme}
`
	inventoryJSON = `{"tenants":[{"name":"acme","status":"active"}],
"svms":[{"id":"00000000-0000-0000-0000-0000000000a1","address":"10.9.0.7","version":"6.0"}],
"vms":[{"biosId":"00000000-0000-0000-0000-0000000000b1","tenant":"acme"}]}`
	inventoryNDJSON = `{"vm":{"biosId":"00000000-0000-0000-0000-0000000000b1","tenant":"acme"}}
{"svm":{"id":"00000000-0000-0000-0000-0000000000a1","address":"10.9.0.7","version":"6.0"}}
{"tenant":{"name":"acme","status":"active"}}
`
)

// TestImportFormats loads one inventory in every format into gateways of their
// own, twice each: all must end with the same objects, and the second time must
// change nothing.
func TestImportFormats(t *testing.T) {
	var first string
	for contentType, text := range map[string]string{
		"application/yaml": inventoryYAML, "application/json; charset=utf-8": inventoryJSON, "application/x-ndjson": inventoryNDJSON,
	} {
		g := newGateway(t)
		if got := g.importText("?dry-run=true", contentType, text); got.Changed != 3 || len(got.Refused) != 0 {
			t.Errorf("%s, dry run: %+v, want 3 changed", contentType, got)
		}
		if s := g.table.Stats(); s.VMs != 0 || s.SVMs != 0 || s.Tenants != 0 {
			t.Errorf("%s: the dry run left %+v", contentType, s)
		}
		if got := g.importText("", contentType, text); got.Changed != 3 || got.Unchanged != 0 || len(got.Refused) != 0 {
			t.Errorf("%s: %+v, want 3 changed", contentType, got)
		}
		if got := g.importText("", contentType, text); got.Changed != 0 || got.Unchanged != 3 {
			t.Errorf("%s again: %+v, want 3 unchanged", contentType, got)
		}
		var tenants struct {
			Items []struct{ ID, Name, Status string }
		}
		g.must(200, "GET", "/v1/tenants", "").json(t, &tenants)
		var vm struct{ Tenant string }
		g.must(200, "GET", "/v1/vms/00000000-0000-0000-0000-0000000000b1", "").json(t, &vm)
		got := fmt.Sprint(tenants.Items, vm)
		if len(tenants.Items) != 1 || tenants.Items[0].ID != vm.Tenant || first != "" && got != first {
			t.Errorf("%s: %s, want the same as from the others: %s", contentType, got, first)
		}
		first = got
	}
}

// brokenCSV has 30 VMs; the one on line 17 has an unknown guest class.
func brokenCSV() string {
	var b strings.Builder
	b.WriteString(inventory.CSVHeader + "\n")
	for line := 2; line <= 31; line++ {
		os := "server"
		if line == 17 {
			os = "mainframe"
		}
		fmt.Fprintf(&b, "00000000-0000-0000-0000-%012d,,vm-%d,%s,linux,h1,c1,z1\n", line, line, os)
	}
	return b.String()
}

func TestImportOfABrokenLine(t *testing.T) {
	g := newGateway(t)
	for _, tt := range []struct {
		query     string
		changed   int
		unchanged int
		vms       int
	}{
		{"?atomic=true", 0, 0, 0},
		{"?atomic=true&dry-run=true", 0, 0, 0},
		{"?dry-run=true", 29, 0, 0},
		{"", 29, 0, 29},
		{"?atomic=true", 0, 0, 29},
		{"?atomic=false", 0, 29, 29},
	} {
		got := g.importText(tt.query, "text/csv", brokenCSV())
		if len(got.Refused) != 1 || got.Refused[0].Line != 17 || !strings.Contains(got.Refused[0].Reason, "os") || !strings.Contains(got.Refused[0].Reason, "mainframe") {
			t.Errorf("%s: refused %+v, want line 17 for its field os", tt.query, got.Refused)
		}
		if got.Changed != tt.changed || got.Unchanged != tt.unchanged || g.table.Stats().VMs != tt.vms {
			t.Errorf("%s: %d changed, %d unchanged, %d VMs; want %d, %d, %d",
				tt.query, got.Changed, got.Unchanged, g.table.Stats().VMs, tt.changed, tt.unchanged, tt.vms)
		}
	}
}

func TestImportRespectsStatus(t *testing.T) {
	g := newGateway(t)
	g.importText("", "application/yaml", inventoryYAML)
	var page struct{ Items []struct{ ID, Status string } }
	g.must(200, "GET", "/v1/tenants", "").json(t, &page)
	path := "/v1/tenants/" + page.Items[0].ID
	g.must(200, "POST", path+"/deactivate", "")
	for _, tt := range []struct{ query, want string }{{"", "inactive"}, {"?with-status=false", "inactive"}, {"?with-status=true", "active"}} {
		g.importText(tt.query, "application/yaml", inventoryYAML)
		var tenant struct{ Status string }
		g.must(200, "GET", path, "").json(t, &tenant)
		if tenant.Status != tt.want {
			t.Errorf("after import%s: %s, want %s", tt.query, tenant.Status, tt.want)
		}
	}
}

func TestImportOfWhatIsNoInventory(t *testing.T) {
	g := newGateway(t)
	for contentType, text := range map[string]string{
		"application/json": `{"vms":[{"biosId":"00000000-0000-0000-0000-0000000000b1"}`,
		"application/yaml": "vms: [",
		"text/csv":         "id,name\n",
	} {
		if a := g.do("POST", "/v1/import", text, "Content-Type", contentType); a.status != 400 || a.code() != "invalid_inventory" || !strings.Contains(a.body, "line") {
			t.Errorf("%s: %d %s, want 400 invalid_inventory naming the line", contentType, a.status, a.body)
		}
	}
	if s := g.table.Stats(); s.VMs != 0 {
		t.Errorf("%d VMs, want none", s.VMs)
	}
}

// TestImportStreams sends an inventory that is larger than what is read with the headers.
func TestImportStreams(t *testing.T) {
	g := newGateway(t)
	var b strings.Builder
	for i := range 5_000 {
		fmt.Fprintf(&b, `{"vm":{"biosId":"00000000-0000-0000-0001-%012d","name":"vm-%d"}}`+"\n", i, i)
	}
	req, err := http.NewRequest("POST", "http://gateway/v1/import", struct{ *strings.Reader }{strings.NewReader(b.String())})
	check(t, err)
	req.ContentLength = int64(b.Len())
	req.SetBasicAuth("root", password)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := g.client.Do(req)
	check(t, err)
	resp.Body.Close()
	if resp.StatusCode != 200 || g.table.Stats().VMs != 5_000 {
		t.Errorf("%s with %d VMs, want 200 with 5,000", resp.Status, g.table.Stats().VMs)
	}
}
