package vsphere

import (
	"context"
	"strings"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/svmgate/svmgate/store"
)

// A node is a folder, datacenter, cluster, host or vApp.
type node struct {
	name   string // as vCenter has it: a slash in it is %2f
	parent types.ManagedObjectReference
}

// tree is everything that virtual machines are in.
type tree map[types.ManagedObjectReference]node

func (c *connection) tree(ctx context.Context) (tree, error) {
	t := make(tree)
	var folders []mo.Folder
	var datacenters []mo.Datacenter
	var computes []mo.ComputeResource // clusters among them
	var hosts []mo.HostSystem
	for _, kind := range []struct {
		name string
		dst  any
	}{
		{"Folder", &folders}, {"Datacenter", &datacenters}, {"ComputeResource", &computes}, {"HostSystem", &hosts},
	} {
		if err := c.retrieve(ctx, kind.name, []string{"name", "parent"}, kind.dst); err != nil {
			return nil, err
		}
	}
	for i := range folders {
		t.add(&folders[i].ManagedEntity)
	}
	for i := range datacenters {
		t.add(&datacenters[i].ManagedEntity)
	}
	for i := range computes {
		t.add(&computes[i].ManagedEntity)
	}
	for i := range hosts {
		t.add(&hosts[i].ManagedEntity)
	}
	var apps []mo.VirtualApp
	if err := c.retrieve(ctx, "VirtualApp", []string{"name", "parentFolder", "parentVApp"}, &apps); err != nil {
		return nil, err
	}
	for _, app := range apps {
		parent := app.ParentFolder
		if parent == nil {
			parent = app.ParentVApp
		}
		if parent != nil {
			t[app.Self] = node{name: app.Name, parent: *parent}
		}
	}
	return t, nil
}

func (t tree) add(e *mo.ManagedEntity) {
	n := node{name: e.Name}
	if e.Parent != nil {
		n.parent = *e.Parent
	}
	t[e.Self] = n
}

// maxLevels bounds a walk to the root: folders nest, but not for ever.
const maxLevels = 64

// path returns the inventory path of ref, such as "/ams1/vm/Tenants/acme",
// without the root folder, which has no parent.
func (t tree) path(ref types.ManagedObjectReference) string {
	var path string
	for range maxLevels {
		n, ok := t[ref]
		if !ok || n.parent.Value == "" {
			break
		}
		path = "/" + n.name + path
		ref = n.parent
	}
	return path
}

// place returns where a host is; see the package comment.
func (t tree) place(host types.ManagedObjectReference, site string) store.Path {
	n, ok := t[host]
	if !ok {
		return store.Path{}
	}
	zone := t.above(n.parent, "Datacenter")
	p := store.Path{Zone: join(site, t.path(zone))}
	if n.parent.Type != "ClusterComputeResource" {
		p.Host = join(p.Zone, n.name)
		return p
	}
	// The folder called "host" in which every datacenter keeps its clusters says
	// nothing.
	within := strings.TrimPrefix(strings.TrimPrefix(t.path(n.parent), t.path(zone)), "/")
	if _, below, ok := strings.Cut(within, "/"); ok {
		within = below
	}
	p.Cluster = join(p.Zone, within)
	p.Host = join(p.Cluster, n.name)
	return p
}

// above returns the closest ancestor of a type, ref included.
func (t tree) above(ref types.ManagedObjectReference, kind string) types.ManagedObjectReference {
	for range maxLevels {
		n, ok := t[ref]
		if ref.Type == kind || !ok {
			break
		}
		ref = n.parent
	}
	return ref
}

func join(a, b string) string {
	return strings.Trim(a+"/"+strings.Trim(b, "/"), "/")
}

// unescape returns a name as people write it: vCenter keeps three characters as
// %2f, %5c and %25.
var unescape = strings.NewReplacer("%2f", "/", "%2F", "/", "%5c", `\`, "%5C", `\`, "%25", "%").Replace
