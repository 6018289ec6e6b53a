package cli

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

func unset(t *testing.T, name string) {
	t.Helper()
	check(t, os.Unsetenv(name)) // t.Setenv restores it
}

func TestImport(t *testing.T) {
	g := newGateway(t)
	path := file(t, "sample.yaml", sample)
	wantAll(t, "dry run", g.must("import", path, "--dry-run"), "6 would change, 0 unchanged, 0 refused")
	if n := g.table.Stats().VMs; n != 0 {
		t.Errorf("%d VMs after a dry run, want none", n)
	}
	wantAll(t, "import", g.must("import", path), "6 changed, 0 unchanged, 0 refused")
	wantAll(t, "import again", g.must("import", path), "0 changed, 6 unchanged, 0 refused")
	r := execute(strings.NewReader(sample), "import", "-", "--server", g.server, "--user", "root:"+password)
	if r.err != nil || !strings.Contains(r.out, "6 unchanged") {
		t.Errorf("import -: %q, %v", r.out, r.err)
	}
	g.must("tenant", "deactivate", "acme")
	wantAll(t, "status stays", g.must("import", path), "0 changed")
	wantAll(t, "--with-status", g.must("import", path, "--with-status"), "1 changed, 5 unchanged")
	if out := g.must("import", path, "--output", "json"); out != `{"changed":0,"unchanged":6,"refused":[]}`+"\n" {
		t.Errorf("JSON %q", out)
	}
}

func TestImportOfABrokenLine(t *testing.T) {
	g := newGateway(t)
	var b strings.Builder
	b.WriteString("biosId,tenant,name,os,kind,host,cluster,zone\n")
	for line := 2; line <= 20; line++ {
		os := map[bool]string{true: "mainframe", false: "server"}[line == 17]
		fmt.Fprintf(&b, "00000000-0000-0000-0000-%012d,,vm-%d,%s,,h1,,\n", line, line, os)
	}
	for _, tt := range []struct {
		args []string
		vms  int
	}{{[]string{"--atomic"}, 0}, {[]string{"--dry-run"}, 0}, {nil, 18}} {
		r := g.run(append([]string{"import", file(t, "vms.csv", b.String())}, tt.args...)...)
		if r.exit() != 1 || !strings.Contains(r.errOut, "line 17: ") || !strings.Contains(r.errOut, "os") {
			t.Errorf("%v: exit %d, %q, %v; want 1 naming line 17 and os", tt.args, r.exit(), r.errOut, r.err)
		}
		if n := g.table.Stats().VMs; n != tt.vms {
			t.Errorf("%v: %d VMs, want %d", tt.args, n, tt.vms)
		}
	}
	for name, want := range map[string]string{"none.yaml": "no such file", file(t, "x.json", `{"vms":`): "line 1"} {
		if r := g.run("import", name); r.exit() != 1 || !strings.Contains(r.err.Error(), want) {
			t.Errorf("%s: exit %d, %v; want 1 with %q", name, r.exit(), r.err, want)
		}
	}
}

func TestPrune(t *testing.T) {
	g := newSample(t)
	smaller := file(t, "smaller.yaml", strings.Join(strings.SplitAfter(sample, "\n")[:5], "")+ // without svm-2 …
		"vms:\n- {biosId: 00000000-0000-0000-0000-0000000000b1, tenant: acme, name: renamed}\n") // … and without db
	if r := g.run("import", smaller, "--prune"); r.exit() != 2 || !strings.Contains(r.errOut, "svm-2") || !strings.Contains(r.errOut, "db") {
		t.Errorf("where nobody can be asked: exit %d, %q, %v; want 2 after showing svm-2 and db", r.exit(), r.errOut, r.err)
	}
	if r := g.run("import", smaller, "--prune", "--dry-run"); r.err != nil || !strings.Contains(r.errOut, "svm-2") {
		t.Errorf("dry run: %q, %v; want svm-2 shown", r.errOut, r.err)
	}
	if s := g.table.Stats(); s.SVMs != 2 || s.VMs != 2 {
		t.Errorf("%+v, want nothing removed", s)
	}
	if vm, _ := g.table.VM(store.BIOSID{15: 0xB1}); vm.Name != "web" {
		t.Error("the file was imported although pruning was not agreed to")
	}
	r := g.run("import", smaller, "--prune", "--yes")
	if s := g.table.Stats(); r.err != nil || s.SVMs != 1 || s.VMs != 1 || s.Tenants != 2 {
		t.Errorf("%v: %+v, want svm-2 and db removed", r.err, s)
	}
	// A list of VMs says nothing of tenants and SVMs.
	vms := file(t, "vms.csv", "biosId,tenant,name,os,kind,host,cluster,zone\n00000000-0000-0000-0000-0000000000b7,globex,new,,,,,\n")
	r = g.run("import", vms, "--prune", "--yes")
	if s := g.table.Stats(); r.err != nil || s.SVMs != 1 || s.VMs != 1 || s.Tenants != 2 || !strings.Contains(r.errOut, "removed 1 object\n") {
		t.Errorf("%v, %q: %+v, want only VMs removed", r.err, r.errOut, s)
	}
	// A tenant goes with its VMs, which are then not missed.
	none := file(t, "one.yaml", "tenants:\n- {name: acme}\nvms:\n- {biosId: 00000000-0000-0000-0000-0000000000b1, tenant: acme}\n")
	r = g.run("import", none, "--prune", "--yes")
	if s := g.table.Stats(); r.err != nil || s.Tenants != 1 || s.VMs != 1 {
		t.Errorf("%v, %q: %+v, want acme with one VM left", r.err, r.errOut, s)
	}
	if r := g.run("import", none, "--prune"); r.err != nil || !strings.Contains(r.errOut, "nothing to prune") {
		t.Errorf("%v, %q; want nothing to prune", r.err, r.errOut)
	}
	bad := file(t, "bad.yaml", "vms:\n- {biosId: 00000000-0000-0000-0000-0000000000b1, colour: red}\n")
	if r := g.run("import", bad, "--prune", "--yes"); r.exit() != 1 || g.table.Stats().VMs != 1 {
		t.Errorf("a file with an error: exit %d, %v; want 1 and nothing removed", r.exit(), r.err)
	}
}
