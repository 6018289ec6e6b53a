package vsphere

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory"
	"github.com/svmgate/svmgate/store"
)

// Rules say what the virtual machines of a vCenter are. The zero value reads all
// of them as VMs of no stated tenant.
type Rules struct {
	SVMName *regexp.Regexp // matches the names of SVMs; nil: none
	SVMTag  string         // "CATEGORY/NAME", a tag that SVMs have; empty: none

	// TenantFolder matches the inventory path of a VM's folder; its first group
	// is the tenant's name. Nil: folders tell nothing.
	TenantFolder *regexp.Regexp
	TenantTag    string // a category; the tag's name is the tenant's; empty: none

	Unmapped bool   // read VMs that the rules for tenants give to nobody, too
	Swapped  bool   // write BIOS IDs in the other byte order
	Pinned   bool   // mark SVMs as pinned: they need no reports to be up
	Site     string // stands in front of every zone
}

// Check reports a rule that can not work.
func (r *Rules) Check() error {
	if r.SVMTag != "" {
		if category, name, _ := strings.Cut(r.SVMTag, "/"); category == "" || name == "" {
			return fmt.Errorf("SVM tag %q: must be a category and a name, as in Role/SVM", r.SVMTag)
		}
	}
	if r.TenantFolder != nil && r.TenantFolder.NumSubexp() == 0 {
		return fmt.Errorf("tenant folder %q: must have a group in parentheses, which captures the tenant's name", r.TenantFolder)
	}
	return nil
}

// A Problem is a virtual machine that was left out, or read without something
// that it should have.
type Problem struct {
	VM     string // its inventory path
	Reason string
}

func (p Problem) String() string { return p.VM + ": " + p.Reason }

// Found is what [Read] read.
type Found struct {
	Items    []inventory.Item // tenants, SVMs, VMs, each sorted
	Problems []Problem        // sorted
	Unmapped int              // VMs that were left out because they are nobody's
}

// Read reads the inventory of a vCenter by the given rules. It holds all of it in
// memory.
func Read(ctx context.Context, cfg Config, rules Rules) (*Found, error) {
	if err := rules.Check(); err != nil {
		return nil, err
	}
	c, err := connect(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer c.close(ctx)
	machines, err := c.machines(ctx, &rules)
	if err != nil {
		return nil, err
	}
	return rules.apply(machines), nil
}

// A machine is a virtual machine as far as the rules look at it.
type machine struct {
	name    string
	folder  string // inventory path
	config  *types.VirtualMachineConfigInfo
	address string
	place   store.Path
	svmTag  bool
	tenants []string // by tags
}

func (m *machine) path() string { return m.folder + "/" + m.name }

// vmProperties is all that is read of a virtual machine: config as a whole would
// be a hundred times as much.
var vmProperties = []string{
	"name", "parent", "parentVApp", "runtime.host", "guest.ipAddress",
	"config.uuid", "config.instanceUuid", "config.template", "config.guestId", "config.guestFullName",
}

func (c *connection) machines(ctx context.Context, rules *Rules) ([]machine, error) {
	t, err := c.tree(ctx)
	if err != nil {
		return nil, err
	}
	var vms []mo.VirtualMachine
	if err := c.retrieve(ctx, "VirtualMachine", vmProperties, &vms); err != nil {
		return nil, err
	}
	svmTags, err := c.taggedIf(ctx, rules.svmCategory())
	if err != nil {
		return nil, err
	}
	tenantTags, err := c.taggedIf(ctx, rules.TenantTag)
	if err != nil {
		return nil, err
	}
	_, svmTag, _ := strings.Cut(rules.SVMTag, "/")
	out := make([]machine, 0, len(vms))
	for i := range vms {
		vm := &vms[i]
		m := machine{name: vm.Name, config: vm.Config, tenants: tenantTags[vm.Self]}
		m.svmTag = slices.Contains(svmTags[vm.Self], svmTag)
		switch {
		case vm.Parent != nil:
			m.folder = t.path(*vm.Parent)
		case vm.ParentVApp != nil:
			m.folder = t.path(*vm.ParentVApp)
		}
		if vm.Runtime.Host != nil {
			m.place = t.place(*vm.Runtime.Host, rules.Site)
		}
		if vm.Guest != nil {
			m.address = vm.Guest.IpAddress
		}
		out = append(out, m)
	}
	return out, nil
}

func (r *Rules) svmCategory() string {
	category, _, _ := strings.Cut(r.SVMTag, "/")
	return category
}

func (c *connection) taggedIf(ctx context.Context, category string) (map[types.ManagedObjectReference][]string, error) {
	if category == "" {
		return nil, nil
	}
	return c.tagged(ctx, category)
}

// apply turns machines into an inventory.
func (r *Rules) apply(machines []machine) *Found {
	f := new(Found)
	tenants := make(map[string]struct{})
	var svms, vms []inventory.Item
	shared := r.sharedIDs(machines)
	for i := range machines {
		m := &machines[i]
		switch {
		case m.config == nil:
			f.problem(m, "vCenter can not read its configuration; skipped")
		case m.config.Template:
		case r.isSVM(m):
			if svm := r.svm(m, f); svm != nil {
				svms = append(svms, inventory.Item{SVM: svm})
			}
		default:
			vm := r.vm(m, shared, f)
			if vm == nil {
				continue
			}
			if vm.Tenant != nil {
				tenants[vm.Tenant.Name] = struct{}{}
			}
			vms = append(vms, inventory.Item{VM: vm})
		}
	}
	for name := range tenants {
		f.Items = append(f.Items, inventory.Item{Tenant: &inventory.Tenant{Name: &name}})
	}
	f.Items = append(append(f.Items, svms...), vms...)
	Sort(f.Items)
	slices.SortFunc(f.Problems, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.VM, b.VM), strings.Compare(a.Reason, b.Reason))
	})
	return f
}

func (f *Found) problem(m *machine, format string, args ...any) {
	f.Problems = append(f.Problems, Problem{VM: m.path(), Reason: fmt.Sprintf(format, args...)})
}

func (r *Rules) isSVM(m *machine) bool {
	return m.svmTag || r.SVMName != nil && r.SVMName.MatchString(unescape(m.name))
}

// sharedIDs returns, for each BIOS UUID that several VMs have, their paths.
func (r *Rules) sharedIDs(machines []machine) map[string][]string {
	have := make(map[string][]string)
	for i := range machines {
		if m := &machines[i]; m.config != nil && !m.config.Template && !r.isSVM(m) {
			id := strings.ToLower(m.config.Uuid)
			have[id] = append(have[id], m.path())
		}
	}
	for id, paths := range have {
		if len(paths) == 1 {
			delete(have, id)
		}
		slices.Sort(paths)
	}
	return have
}

func (r *Rules) svm(m *machine, f *Found) *inventory.SVM {
	if m.config.InstanceUuid == "" {
		f.problem(m, "is an SVM without an instance UUID; skipped")
		return nil
	}
	name := unescape(m.name)
	svm := &inventory.SVM{
		ID:   inventory.DerivedID("vsphere", strings.ToLower(m.config.InstanceUuid)),
		Name: &name,
		Path: pathOf(m.place),
	}
	if m.address == "" {
		f.problem(m, "is an SVM whose guest tools report no address; written without one")
	} else {
		svm.Address = &m.address
	}
	if r.Pinned {
		svm.Pinned = &r.Pinned
	}
	return svm
}

func (r *Rules) vm(m *machine, shared map[string][]string, f *Found) *inventory.VM {
	tenant, err := r.tenant(m)
	if err != nil {
		f.problem(m, "%v; skipped", err)
		return nil
	}
	ruled := r.TenantFolder != nil || r.TenantTag != ""
	if tenant == "" && ruled && !r.Unmapped {
		f.Unmapped++
		return nil
	}
	id, err := store.ParseBIOSID(m.config.Uuid)
	if err != nil || id.IsZero() {
		f.problem(m, "has the BIOS UUID %q, which identifies nothing; skipped", m.config.Uuid)
		return nil
	}
	if paths := shared[strings.ToLower(m.config.Uuid)]; paths != nil {
		f.problem(m, "shares its BIOS UUID %s with %s; give each its own; skipped", id, others(paths, m.path()))
		return nil
	}
	if r.Swapped {
		id = id.Swapped()
	}
	name := unescape(m.name)
	class, kind := guestOf(m.config.GuestId, m.config.GuestFullName)
	vm := &inventory.VM{BIOS: id, Name: &name, OS: &class, Kind: &kind, Path: pathOf(m.place)}
	if ruled {
		vm.Tenant = &inventory.TenantRef{Name: tenant}
	}
	return vm
}

// others lists paths without one occurrence of own, and not all of very many.
func others(paths []string, own string) string {
	i := slices.Index(paths, own)
	rest := slices.Delete(slices.Clone(paths), i, i+1)
	if more := len(rest) - 3; more > 0 {
		return strings.Join(rest[:3], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(rest, ", ")
}

// tenant returns the name of the tenant that a VM belongs to, if the rules find
// one.
func (r *Rules) tenant(m *machine) (string, error) {
	if len(m.tenants) > 1 {
		slices.Sort(m.tenants)
		return "", fmt.Errorf("has several tags of category %s: %s", r.TenantTag, strings.Join(m.tenants, ", "))
	}
	if len(m.tenants) == 1 {
		return m.tenants[0], nil
	}
	if r.TenantFolder == nil {
		return "", nil
	}
	if groups := r.TenantFolder.FindStringSubmatch(m.folder); groups != nil {
		return unescape(groups[1]), nil
	}
	return "", nil
}

func pathOf(p store.Path) *inventory.Path {
	p.Host, p.Cluster, p.Zone = unescape(p.Host), unescape(p.Cluster), unescape(p.Zone)
	return &inventory.Path{Host: &p.Host, Cluster: &p.Cluster, Zone: &p.Zone}
}

// Sort orders an inventory: tenants by name, then SVMs by name, then VMs by
// tenant and name. Ties go by id, so that the order depends on nothing else.
func Sort(items []inventory.Item) {
	type key struct {
		kind               int
		tenant, name, last string
	}
	keyOf := func(item inventory.Item) key {
		switch {
		case item.Tenant != nil:
			return key{kind: 0, name: deref(item.Tenant.Name), last: item.Tenant.ID.String()}
		case item.SVM != nil:
			return key{kind: 1, name: deref(item.SVM.Name), last: item.SVM.ID.String()}
		case item.VM.Tenant != nil:
			return key{kind: 2, tenant: item.VM.Tenant.String(), name: deref(item.VM.Name), last: item.VM.BIOS.String()}
		default:
			return key{kind: 2, name: deref(item.VM.Name), last: item.VM.BIOS.String()}
		}
	}
	slices.SortFunc(items, func(x, y inventory.Item) int {
		a, b := keyOf(x), keyOf(y)
		return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.tenant, b.tenant), strings.Compare(a.name, b.name), strings.Compare(a.last, b.last))
	})
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
