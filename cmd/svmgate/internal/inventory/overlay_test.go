package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/svmgate/svmgate/store"
)

// TestOverlay: what lies on top wins, to any depth, and what it does not mention
// stays.
func TestOverlay(t *testing.T) {
	id := SVMIDOf("x")
	bios := must(store.ParseBIOSID(bios1))
	items := func() []Item {
		return []Item{
			{Tenant: &Tenant{Name: ptr("acme"), Discovery: &Discovery{Tag: ptr("gold"), Locked: ptr(false)}}},
			{SVM: &SVM{ID: id, Name: ptr("svm1"), Address: ptr("10.0.0.1"), Path: &Path{Host: ptr("h"), Zone: ptr("z")}}},
			{VM: &VM{BIOS: bios, Name: ptr("web")}},
		}
	}
	over := []Item{
		{SVM: &SVM{Name: ptr("svm1"), Path: &Path{Host: ptr("h2")}, License: &License{State: ptr(store.LicenseValid)}, Tags: &[]string{}}},
		{SVM: &SVM{ID: id, Capacity: ptr(5)}},
		{VM: &VM{BIOS: bios, Version: ptr("12.0")}},
		{Tenant: &Tenant{Name: ptr("acme"), Type: ptr(store.Simple), Discovery: &Discovery{Tag: ptr("")}}},
		{Tenant: &Tenant{Name: ptr("new")}},
	}
	in := items()
	got := Overlay(in, over)
	want := []Item{
		{Tenant: &Tenant{Name: ptr("acme"), Type: ptr(store.Simple), Discovery: &Discovery{Tag: ptr(""), Locked: ptr(false)}}},
		{SVM: &SVM{ID: id, Name: ptr("svm1"), Address: ptr("10.0.0.1"), Capacity: ptr(5), Path: &Path{Host: ptr("h2"), Zone: ptr("z")},
			License: &License{State: ptr(store.LicenseValid)}, Tags: &[]string{}}},
		{VM: &VM{BIOS: bios, Name: ptr("web"), Version: ptr("12.0")}},
		{Tenant: &Tenant{Name: ptr("new")}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Overlay (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(items(), in); diff != "" {
		t.Errorf("Overlay changed its argument (-want +got):\n%s", diff)
	}
}
