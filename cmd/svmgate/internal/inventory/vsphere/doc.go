// Package vsphere reads an inventory from a vCenter Server: where its virtual
// machines run, which of them are SVMs and whose the others are.
//
// # The same vCenter gives the same bytes
//
// What [Read] returns is sorted, and holds nothing that changes by itself: two
// runs over an unchanged vCenter are equal, and after a VM moved to another
// host its record alone differs. So yesterday's file and today's can be
// compared, and importing an unchanged one changes nothing.
//
// # Placements
//
// The levels of a path are compared by equality across everything a provider
// has, so they are qualified until no two places share one:
//
//	zone     the datacenter's inventory path, such as "ams1" or "eu/ams1"
//	cluster  zone and the cluster, such as "ams1/prod"
//	host     cluster and the host, such as "ams1/prod/esx1.example.org"
//
// A host outside any cluster has an empty cluster, which equals nothing, and the
// host level "ams1/esx9.example.org". Two vCenters that name datacenters alike
// are kept apart by a site, which stands in front: "north/ams1/prod".
//
// # SVMs
//
// A VM whose name matches [Rules.SVMName], or that has the tag [Rules.SVMTag],
// is an SVM. Its id is derived from the VM's instance UUID, which vCenter keeps
// unique and which outlives renaming and moving. Its address is what its guest
// tools report; while they are silent the record has none, and an import leaves
// the address it has.
//
// # Tenants
//
// A VM belongs to the tenant that its tag of category [Rules.TenantTag] names,
// else to the one that [Rules.TenantFolder] captures from the inventory path of
// its folder, such as "/ams1/vm/Tenants/acme/web". A VM that these rules give to
// nobody is left out, unless [Rules.Unmapped]: registered in no tenant, its
// agent would always be served. Without any rule all VMs are read and say
// nothing of a tenant.
//
// # VMs
//
// A VM is known by its BIOS UUID, config.uuid, as vCenter shows it: the order of
// RFC 9562. Guests do not agree on it: Windows, and Linux on virtual hardware of
// version 13 or newer, show the first three fields byte-swapped. If agents
// present that form, either read it here ([Rules.Swapped]) or let them say
// biosIdOrder=swapped, but not both. Templates are skipped. VMs that share a
// BIOS UUID, as clones do, can not be told apart: all of them are skipped and
// named. Guest class and kind come from the configured guest id, not from the
// running guest, whose answer comes and goes; guest.go has the table.
//
// # Tests
//
// They run against govmomi's own simulator, over HTTPS. The large one makes 64
// hosts and 2,000 VMs, which takes minutes:
//
//	go test -run TestVSphereLarge -vsphere.large -v ./cmd/svmgate/internal/inventory/vsphere
package vsphere
