package vsphere

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/cli"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory/vsphere/simvc"
	"github.com/svmgate/svmgate/store"
)

// run runs svmgate inventory with args.
func run(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := Command()
	var out, complaints bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&complaints)
	cmd.SetArgs(args)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err = cmd.ExecuteContext(t.Context())
	return out.String(), complaints.String(), err
}

func smallArgs(v *simvc.VCenter, more ...string) []string {
	return append([]string{"vsphere", "--url", v.URL.String(), "--ca-file", v.CAFile, "--svm-name", "^svm-", "--svm-tag", "Role/SVM",
		"--tenant-folder", "^/[^/]+/vm/Tenants/([^/]+)", "--tenant-tag", "Tenant"}, more...)
}

const overlay = `
tenants:
- {name: acme, type: simple}
- {name: elsewhere}
svms:
- {name: svm-silent, address: 10.9.0.9}
`

// TestCommand writes what Read read, under the overlay.
func TestCommand(t *testing.T) {
	v := start(t, small())
	dir := t.TempDir()
	over := filepath.Join(dir, "overlay.yaml")
	if err := os.WriteFile(over, []byte(overlay), 0o600); err != nil {
		t.Fatal(err)
	}
	args := smallArgs(v, "--overlay", over)
	out, complaints, err := run(t, append(args, "--format", "ndjson")...)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSpace(out), "\n")
	for _, want := range []string{
		`{"tenant":{"name":"acme","type":"simple"}}`, `{"tenant":{"name":"elsewhere"}}`,
		`"name":"svm-silent","address":"10.9.0.9","path":{"host":"fra1/esx9"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %s:\n%s", want, out)
		}
	}
	if len(got) != 11 || !strings.Contains(complaints, "tenants: 4, SVMs: 3, VMs: 4, machines left out as they are no tenant's: 1") ||
		!strings.Contains(complaints, "warning: /ams1/vm/Tenants/acme/clone1: shares its BIOS UUID") {
		t.Errorf("%d records, and complaints:\n%s", len(got), complaints)
	}

	// A file is written as a whole, in the format of its name.
	name := filepath.Join(dir, "inventory.yaml")
	if out, _, err := run(t, append(args, "--out", name)...); err != nil || out != "" {
		t.Fatalf("with --out: %q, %v", out, err)
	}
	text, err := os.ReadFile(name)
	if err != nil || !strings.HasPrefix(string(text), "tenants:\n") {
		t.Errorf("the file is %.100q, %v", text, err)
	}
	if _, _, err := run(t, append(args, "--out", name, "--strict")...); err == nil || !strings.Contains(err.Error(), "nothing was written, as 4 machines are doubtful") {
		t.Errorf("with --strict: %v", err)
	}
	if after, _ := os.ReadFile(name); !cmp.Equal(after, text) {
		t.Error("--strict wrote the file")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "inventory.yaml.*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestImport sends the inventory to a gateway and prints its answer.
func TestImport(t *testing.T) {
	v := start(t, small())
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "admin" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"detail":"wrong account"}`))
			return
		}
		format, err := inventory.FormatOf(r.Header.Get("Content-Type"))
		if r.Method != http.MethodPost || r.URL.Path != "/v1/import" || err != nil {
			http.NotFound(w, r)
			return
		}
		result, err := inventory.Load(table, r.Body, format, inventory.Options{})
		if err != nil {
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(result)
	}))
	defer gateway.Close()
	args := smallArgs(v, "--import", "--server", gateway.URL)
	out, complaints, err := run(t, append(args, "--user", "admin:s3cret")...)
	if out != "9 changed, 0 unchanged, 1 refused\n" || err == nil || !strings.Contains(complaints, "record 6: svm.address: is missing") {
		t.Errorf("import: %q, %v, complaints:\n%s", out, err, complaints)
	}
	if got := table.Stats(); got.VMs != 4 || got.Tenants != 3 || got.SVMs != 2 {
		t.Errorf("the table has %+v", got)
	}
	t.Setenv("SVMGATE_USER", "admin")
	t.Setenv("SVMGATE_PASSWORD", "wrong")
	if _, _, err := run(t, args...); err == nil || err.Error() != "401 Unauthorized: wrong account" {
		t.Errorf("with a wrong password: %v", err)
	}
	if _, _, err := run(t, smallArgs(v, "--import", "--server", gateway.URL+"/elsewhere")...); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("with a wrong server: %v", err)
	}
}

// TestUsage: what is wrong with a command line is found before anything is
// asked, and never shows a password.
func TestUsage(t *testing.T) {
	t.Setenv("SVMGATE_USER", "")
	const vc = "http://u:hunter2@127.0.0.1:1/sdk"
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("tenants:\n- name: a\n  typo: b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args []string
		want string
	}{
		{[]string{}, "inventory needs a command"},
		{[]string{"proxmox"}, `inventory takes no argument and was given "proxmox"`},
		{[]string{"vsphere", "vc"}, `vsphere takes no argument and was given "vc"`},
		{[]string{"vsphere"}, "--url is missing"},
		{[]string{"vsphere", "--url", "vc.example.org"}, "--url: must be like https://"},
		{[]string{"vsphere", "--url", "https://vc.example.org"}, "names no account"},
		{[]string{"vsphere", "--url", "https://u@vc.example.org"}, "no password for u: set SVMGATE_VSPHERE_PASSWORD"},
		{[]string{"vsphere", "--url", "https://u@vc.example.org", "--password-file", "/nonexistent"}, "--password-file: "},
		{[]string{"vsphere", "--url", vc, "--svm-name", "("}, "--svm-name: error parsing regexp"},
		{[]string{"vsphere", "--url", vc, "--tenant-folder", "x"}, "must have a group"},
		{[]string{"vsphere", "--url", vc, "--svm-tag", "x"}, "must be a category and a name"},
		{[]string{"vsphere", "--url", vc, "--unmapped", "x"}, "must be skip or keep"},
		{[]string{"vsphere", "--url", vc, "--bios-order", "x"}, "must be standard or swapped"},
		{[]string{"vsphere", "--url", vc, "--out", "a.csv"}, "can not be written as csv"},
		{[]string{"vsphere", "--url", vc, "--format", "xml"}, `"xml" is not a format`},
		{[]string{"vsphere", "--url", vc, "--timeout", "0s"}, "must be more than 0"},
		{[]string{"vsphere", "--url", vc, "--overlay", "/nonexistent"}, "--overlay: "},
		{[]string{"vsphere", "--url", vc, "--overlay", bad}, "line 3: tenant.typo: is not a known field"},
		{[]string{"vsphere", "--url", vc, "--import"}, "--import needs an account"},
		{[]string{"vsphere", "--url", vc, "--import", "--server", "http://a:b@c"}, "the account belongs in --user"},
		{[]string{"vsphere", "--nonsense"}, "unknown flag"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			_, _, err := run(t, tt.args...)
			var wrong cli.UsageError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want a usage error with %s", err, tt.want)
			}
		})
	}
	_, _, err := run(t, "vsphere", "--url", vc)
	var wrong cli.UsageError
	if err == nil || errors.As(err, &wrong) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("with nobody there: %v, want an error that is not of usage, without the password", err)
	}
}
