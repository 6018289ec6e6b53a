package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/store"
)

// A world in a table is a world as written: ids, tenants and places.
func TestWorld(t *testing.T) {
	w := World{Seed: 3, Tenants: 7, SVMs: 5, VMs: 40}
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := w.Load(table); err != nil {
		t.Fatal(err)
	}
	if s := table.Stats(); s.Tenants != 7 || s.SVMs != 5 || s.VMs != 40 {
		t.Fatalf("the table has %d tenants, %d SVMs, %d VMs", s.Tenants, s.SVMs, s.VMs)
	}
	for i := range w.VMs {
		vm, ok := table.VM(w.BIOS(i))
		if !ok || vm.Tenant != w.Tenant(i%7).ID || vm.Path != w.VM(i).Path {
			t.Errorf("VM %d: %+v, %v", i, vm, ok)
		}
	}
	tenant, ok := table.Tenant(w.Tenant(3).ID)
	if !ok || tenant.Status != store.Active {
		t.Errorf("tenant 3: %+v, %v", tenant, ok)
	}

	var text bytes.Buffer
	if err := w.WriteInventory(&text); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for line := range strings.Lines(text.String()) {
		var record map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &record); err != nil || len(record) != 1 {
			t.Fatalf("%s: %v", line, err)
		}
		if strings.Contains(line, "null") || strings.Contains(line, `"id":""`) {
			t.Fatalf("%s: an inventory has neither null nor empty ids", line)
		}
		for kind := range record {
			counts[kind]++
		}
	}
	if diff := cmp.Diff(map[string]int{"tenant": 7, "svm": 5, "vm": 40}, counts); diff != "" {
		t.Error(diff)
	}
	ids, err := ReadAgents(&text)
	if err != nil {
		t.Fatal(err)
	}
	var want []store.BIOSID
	for i := range w.VMs {
		want = append(want, w.BIOS(i))
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Error(diff)
	}
}

func TestReadAgents(t *testing.T) {
	a, b := World{}.BIOS(0), World{}.BIOS(1)
	for name, text := range map[string]string{
		"list":           a.String() + "\n\n" + strings.ToUpper(b.String()) + "\r\n",
		"list in braces": "{" + a.String() + "}\n" + strings.ReplaceAll(b.String(), "-", ""),
		"CSV":            "biosId,tenant,name\n" + a.String() + ",acme,x\n" + b.String() + ",,\n",
		"YAML":           "vms:\n  - biosId: " + a.String() + "\n    name: x\n  - name: y\n    biosId: '" + b.String() + "'\n",
		"YAML, flow":     "vms: [{biosId: " + a.String() + "}, {biosId: \"{" + b.String() + "}\"}]",
		"JSON":           `{"tenants":[{"id":"` + b.String() + `"}],"vms":[{"biosId":"` + a.String() + `"},{"biosId" : "` + b.String() + `"}]}`,
	} {
		ids, err := ReadAgents(strings.NewReader(text))
		if diff := cmp.Diff([]store.BIOSID{a, b}, ids); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	for text, want := range map[string]string{
		"":                            "names no BIOS ID",
		"biosId,tenant\n":             "names no BIOS ID",
		a.String() + "\nnonsense\n":   "line 2",
		"vms:\n - biosId: nonsense\n": `biosId "nonsense"`,
	} {
		if _, err := ReadAgents(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadAgents(%q) = %v, want %q", text, err, want)
		}
	}
}

// The sample inventory of the repository can be asked from.
func TestReadSample(t *testing.T) {
	f, err := os.Open("../examples/sample/inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if ids, err := ReadAgents(f); err != nil || len(ids) == 0 {
		t.Errorf("%d ids, %v", len(ids), err)
	}
}
