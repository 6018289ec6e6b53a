package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
	"github.com/svmgate/svmgate/store"
)

const folder = "../../../../../../examples/sample/"

// TestSampleIsCurrent: the committed sample is what a vCenter gives.
func TestSampleIsCurrent(t *testing.T) {
	got, err := sample(t.Context(), folder+"overlay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(folder + "inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the sample is not current; run samplegen (-committed +made):\n%s", diff)
	}
}

// TestSampleLoads: every record of the sample is good, its SVMs are up, and its
// tenants are of every sort.
func TestSampleLoads(t *testing.T) {
	table, err := store.Open(store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	text, err := os.ReadFile(folder + "inventory.yaml")
	if err != nil {
		t.Fatal(err)
	}
	r, err := inventory.Load(table, bytes.NewReader(text), inventory.YAML, inventory.Options{Atomic: true})
	if err != nil || !r.OK() || r.Changed != 5+12+60 {
		t.Fatalf("Load: %+v, %v, want 5 tenants, 12 SVMs and 60 VMs", r, err)
	}
	for _, svm := range table.SVMs() {
		if svm.State != store.Ready || !svm.Pinned {
			t.Errorf("SVM %s is %v, pinned %v", svm.Name, svm.State, svm.Pinned)
		}
	}
	for name, want := range map[string][2]string{
		"acme": {"complete", "active"}, "globex": {"complete", "inactive"}, "initech": {"simple", "inactive"},
		"hooli": {"complete", "active"}, "umbrella": {"complete", "active"},
	} {
		tenant, ok := table.TenantByName(name)
		if got := [2]string{tenant.Type.String(), tenant.Status.String()}; !ok || got != want {
			t.Errorf("tenant %s is %v, want %v", name, got, want)
		}
	}
	page, err := os.ReadFile(folder + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range regexp.MustCompile(`42[0-9a-f]{6}-[-0-9a-f]{27}`).FindAllString(string(page), -1) {
		bios, err := store.ParseBIOSID(id)
		if _, ok := table.VM(bios); err != nil || !ok {
			t.Errorf("README.md names %s, which the sample does not have", id)
		}
	}
}
