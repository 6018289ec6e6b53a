// Package simvc serves a made-up vCenter: govmomi's simulator, filled through
// its own API with the datacenters, clusters, hosts and virtual machines that a
// [Provider] lists. Tests read it, and the sample inventory is read from it; no
// gateway contains it.
package simvc

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vapi/rest"
	_ "github.com/vmware/govmomi/vapi/simulator" // serves tags
	"github.com/vmware/govmomi/vapi/tags"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// A Provider is what a vCenter holds.
type Provider struct {
	Datacenters []Datacenter
	Machines    []Machine
}

// A Datacenter has clusters, and hosts in none.
type Datacenter struct {
	Name     string
	Clusters []Cluster
	Hosts    []string
}

// A Cluster has hosts, whose names are unique in the provider.
type Cluster struct {
	Name  string
	Hosts []string
}

// A Machine is a virtual machine. An empty field is left to the simulator.
type Machine struct {
	Name     string
	Host     string
	Folder   string // below the datacenter's folder of machines, such as "Tenants/acme"
	GuestID  string
	UUID     string // BIOS UUID
	Instance string // instance UUID
	Address  string // of the guest
	Template bool
	Tags     []string // "Category/Name"
}

// A VCenter is a running simulator.
type VCenter struct {
	URL    *url.URL // with an account
	CAFile string   // the certificate that it shows, as PEM

	model   *simulator.Model
	server  *simulator.Server
	client  *govmomi.Client
	tags    *tags.Manager
	dir     string
	known   map[string]string // ids of tags by "Category/Name", and of categories by name
	hosts   map[string]host
	folders map[string]*object.Folder
	vms     map[string]*object.VirtualMachine
}

type host struct {
	datacenter string
	object     *object.HostSystem
	pool       *object.ResourcePool
}

// Start serves p on a free port of the loopback, over HTTPS. The caller must
// call Close.
func Start(ctx context.Context, p Provider) (*VCenter, error) {
	v := &VCenter{
		model: simulator.VPX(), hosts: map[string]host{}, folders: map[string]*object.Folder{},
		vms: map[string]*object.VirtualMachine{}, known: map[string]string{},
	}
	v.model.Datacenter = 0
	if err := v.model.Create(); err != nil {
		return nil, err
	}
	v.model.Service.RegisterEndpoints = true
	v.model.Service.Listen = &url.URL{Host: "127.0.0.1:0", User: url.UserPassword("reader", "secret")}
	v.model.Service.TLS = new(tls.Config)
	v.server = v.model.Service.NewServer()
	v.URL = v.server.URL
	if err := v.fill(ctx, p); err != nil {
		v.Close()
		return nil, fmt.Errorf("fill the simulated vCenter: %w", err)
	}
	return v, nil
}

// Close stops serving and removes what the simulator keeps on disk.
func (v *VCenter) Close() {
	v.server.Close()
	v.model.Remove()
	if v.dir != "" {
		_ = os.RemoveAll(v.dir)
	}
}

func (v *VCenter) fill(ctx context.Context, p Provider) (err error) {
	if v.dir, err = os.MkdirTemp("", "simvc-*"); err != nil {
		return err
	}
	if v.CAFile, err = v.server.CertificateFile(); err != nil {
		return err
	}
	if v.client, err = govmomi.NewClient(ctx, v.URL, true); err != nil {
		return err
	}
	session := rest.NewClient(v.client.Client)
	if err := session.Login(ctx, v.URL.User); err != nil {
		return err
	}
	v.tags = tags.NewManager(session)
	for _, dc := range p.Datacenters {
		if err := v.datacenter(ctx, dc); err != nil {
			return fmt.Errorf("datacenter %s: %w", dc.Name, err)
		}
	}
	for _, m := range p.Machines {
		if err := v.Add(ctx, m); err != nil {
			return fmt.Errorf("machine %s: %w", m.Name, err)
		}
	}
	return nil
}

func (v *VCenter) datacenter(ctx context.Context, d Datacenter) error {
	dc, err := object.NewRootFolder(v.client.Client).CreateDatacenter(ctx, d.Name)
	if err != nil {
		return err
	}
	folders, err := dc.Folders(ctx)
	if err != nil {
		return err
	}
	v.folders[d.Name+"/"] = folders.VmFolder
	for _, name := range d.Hosts {
		task, err := folders.HostFolder.AddStandaloneHost(ctx, types.HostConnectSpec{HostName: name}, true, nil, nil)
		if err := v.addHost(ctx, d.Name, name, task, err); err != nil {
			return err
		}
	}
	for _, c := range d.Clusters {
		cluster, err := folders.HostFolder.CreateCluster(ctx, c.Name, types.ClusterConfigSpecEx{})
		if err != nil {
			return err
		}
		for _, name := range c.Hosts {
			task, err := cluster.AddHost(ctx, types.HostConnectSpec{HostName: name}, true, nil, nil)
			if err := v.addHost(ctx, d.Name, name, task, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *VCenter) addHost(ctx context.Context, dc, name string, task *object.Task, err error) error {
	if err != nil {
		return err
	}
	info, err := task.WaitForResult(ctx, nil)
	if err != nil {
		return err
	}
	ref := info.Result.(types.ManagedObjectReference)
	if ref.Type == "ComputeResource" { // a host in no cluster comes wrapped
		hosts, err := object.NewComputeResource(v.client.Client, ref).Hosts(ctx)
		if err != nil {
			return err
		}
		ref = hosts[0].Reference()
	}
	h := object.NewHostSystem(v.client.Client, ref)
	pool, err := h.ResourcePool(ctx)
	if err != nil {
		return err
	}
	store, err := h.ConfigManager().DatastoreSystem(ctx)
	if err != nil {
		return err
	}
	if _, err := store.CreateLocalDatastore(ctx, "disk-"+dc, v.dir); err != nil {
		return err
	}
	v.hosts[name] = host{datacenter: dc, object: h, pool: pool}
	return nil
}

// Add creates a machine.
func (v *VCenter) Add(ctx context.Context, m Machine) error {
	at, ok := v.hosts[m.Host]
	if !ok {
		return fmt.Errorf("there is no host %q", m.Host)
	}
	folder, err := v.folder(ctx, at.datacenter, m.Folder)
	if err != nil {
		return err
	}
	spec := types.VirtualMachineConfigSpec{
		Name: m.Name, GuestId: m.GuestID, Uuid: m.UUID, InstanceUuid: m.Instance,
		Files: &types.VirtualMachineFileInfo{VmPathName: "[disk-" + at.datacenter + "]"},
	}
	if m.Address != "" {
		spec.ExtraConfig = []types.BaseOptionValue{&types.OptionValue{Key: "SET.guest.ipAddress", Value: m.Address}}
	}
	task, err := folder.CreateVM(ctx, spec, at.pool, at.object)
	if err != nil {
		return err
	}
	info, err := task.WaitForResult(ctx, nil)
	if err != nil {
		return err
	}
	vm := object.NewVirtualMachine(v.client.Client, info.Result.(types.ManagedObjectReference))
	v.vms[m.Name] = vm
	if m.Template {
		if err := vm.MarkAsTemplate(ctx); err != nil {
			return err
		}
	}
	for _, tag := range m.Tags {
		id, err := v.tag(ctx, tag)
		if err != nil {
			return err
		}
		if err := v.tags.AttachTag(ctx, id, vm.Reference()); err != nil {
			return err
		}
	}
	return nil
}

// folder returns a folder of machines, made if it is new.
func (v *VCenter) folder(ctx context.Context, dc, path string) (*object.Folder, error) {
	if f, ok := v.folders[dc+"/"+path]; ok {
		return f, nil
	}
	parent, name := "", path
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent, name = path[:i], path[i+1:]
	}
	in, err := v.folder(ctx, dc, parent)
	if err != nil {
		return nil, err
	}
	f, err := in.CreateFolder(ctx, name)
	if err != nil {
		return nil, err
	}
	v.folders[dc+"/"+path] = f
	return f, nil
}

// tag returns the id of the tag "Category/Name", made if it is new.
func (v *VCenter) tag(ctx context.Context, tag string) (string, error) {
	if id, ok := v.known[tag]; ok {
		return id, nil
	}
	category, name, _ := strings.Cut(tag, "/")
	in, ok := v.known[category]
	if !ok {
		var err error
		in, err = v.tags.CreateCategory(ctx, &tags.Category{Name: category, Cardinality: "MULTIPLE", AssociableTypes: []string{"VirtualMachine"}})
		if err != nil {
			return "", err
		}
		v.known[category] = in
	}
	id, err := v.tags.CreateTag(ctx, &tags.Tag{Name: name, CategoryID: in})
	v.known[tag] = id
	return id, err
}

// Move moves a machine to another host of its datacenter.
func (v *VCenter) Move(ctx context.Context, machine, to string) error {
	vm, known := v.vms[machine]
	at, ok := v.hosts[to]
	if !known || !ok {
		return fmt.Errorf("there is no machine %q or no host %q", machine, to)
	}
	where, pool := at.object.Reference(), at.pool.Reference()
	task, err := vm.Relocate(ctx, types.VirtualMachineRelocateSpec{Host: &where, Pool: &pool}, types.VirtualMachineMovePriorityDefaultPriority)
	if err != nil {
		return err
	}
	return task.Wait(ctx)
}

// Sessions returns how many sessions are open, besides the one that fills.
func (v *VCenter) Sessions(ctx context.Context) (int, error) {
	var m mo.SessionManager
	err := v.client.RetrieveOne(ctx, *v.client.ServiceContent.SessionManager, []string{"sessionList"}, &m)
	return len(m.SessionList) - 1, err
}
