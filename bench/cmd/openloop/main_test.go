package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/bench"
)

// TestCommand runs the command as a user types it.
func TestCommand(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer server.Close()
	inventory := filepath.Join(t.TempDir(), "inventory.ndjson")
	run := func(args ...string) (int, string, string) {
		var out, errOut bytes.Buffer
		code := run(t.Context(), args, &out, &errOut)
		return code, out.String(), errOut.String()
	}

	if code, _, errOut := run("-write-inventory", inventory, "-vms", "50", "-tenants", "3", "-svms", "2"); code != 0 {
		t.Fatalf("-write-inventory: %d %s", code, errOut)
	}
	code, out, errOut := run("-target", server.URL, "-inventory", inventory, "-rate", "2000", "-count", "100")
	var res bench.Result
	if err := json.Unmarshal([]byte(out), &res); code != 0 || err != nil || res.Steps[0].Answered != 100 || res.Asked.Agents != 50 {
		t.Errorf("%d, %v: %s%s", code, err, out, errOut)
	}
	status = http.StatusServiceUnavailable
	code, out, errOut = run("-target", server.URL, "-inventory", inventory, "-rate", "2000", "-count", "10")
	if code != 1 || !strings.Contains(out, `"status 503": 10`) || !strings.Contains(errOut, "10 of 10 requests") {
		t.Errorf("%d: %s%s", code, out, errOut)
	}

	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"-help", 0, "requests a second"},
		{"-nonsense", 2, "-nonsense"},
		{"extra", 2, "extra"},
		{"", 2, "-agents FILE"},
		{"-agents a -inventory b", 2, "one of"},
		{"-agents /does/not/exist", 1, "/does/not/exist"},
		{"-agents " + empty, 1, "names no BIOS ID"},
		{"-inventory " + inventory + " -rate 0", 2, "Rate"},
		{"-inventory " + inventory + " -target http://192.0.2.1", 2, "-allow-remote"},
		{"-write-inventory x -vms -1", 2, "negative"},
	} {
		code, _, errOut := run(strings.Fields(tt.args)...)
		if code != tt.code || !strings.Contains(errOut, tt.want) {
			t.Errorf("openloop %s: %d %s; want %d, %q", tt.args, code, errOut, tt.code, tt.want)
		}
	}
}
