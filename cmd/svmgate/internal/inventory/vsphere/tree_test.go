package vsphere

import (
	"testing"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/svmgate/svmgate/store"
)

func ref(kind, id string) types.ManagedObjectReference {
	return types.ManagedObjectReference{Type: kind, Value: id}
}

// TestPlaces: levels are qualified until no two places share one, wherever
// folders stand between them.
func TestPlaces(t *testing.T) {
	var (
		root     = ref("Folder", "root")
		eu       = ref("Folder", "eu")
		dc       = ref("Datacenter", "dc")
		hosts    = ref("Folder", "hosts")
		machines = ref("Folder", "machines")
		rack     = ref("Folder", "rack")
		cluster  = ref("ClusterComputeResource", "c")
		alone    = ref("ComputeResource", "a")
		app      = ref("VirtualApp", "app")
	)
	tr := tree{
		root: {name: "Datacenters"}, eu: {"eu", root}, dc: {"ams1", eu}, hosts: {"host", dc}, machines: {"vm", dc},
		rack: {"rack7", hosts}, cluster: {"prod", rack}, alone: {"esx9", hosts}, app: {"shop", machines},
		ref("HostSystem", "1"): {"esx1", cluster}, ref("HostSystem", "9"): {"esx9", alone},
		ref("HostSystem", "5"): {"esx5", ref("ClusterComputeResource", "hidden")},
	}
	tests := []struct {
		host, site string
		want       store.Path
	}{
		{"1", "", store.Path{Host: "eu/ams1/rack7/prod/esx1", Cluster: "eu/ams1/rack7/prod", Zone: "eu/ams1"}},
		{"9", "", store.Path{Host: "eu/ams1/esx9", Zone: "eu/ams1"}},
		{"1", "north", store.Path{Host: "north/eu/ams1/rack7/prod/esx1", Cluster: "north/eu/ams1/rack7/prod", Zone: "north/eu/ams1"}},
		{"5", "", store.Path{Host: "esx5"}}, // the account may not see its cluster
		{"nowhere", "north", store.Path{}},
	}
	for _, tt := range tests {
		if got := tr.place(ref("HostSystem", tt.host), tt.site); got != tt.want {
			t.Errorf("place(%q, %q) = %+v, want %+v", tt.host, tt.site, got, tt.want)
		}
	}
	if got, want := tr.path(app), "/eu/ams1/vm/shop"; got != want {
		t.Errorf("path of a vApp = %q, want %q", got, want)
	}
	// A tree that vCenter changed while it was read may hold a circle.
	tr[eu] = node{"eu", dc}
	tr.path(app)
	tr.place(ref("HostSystem", "1"), "")
}
