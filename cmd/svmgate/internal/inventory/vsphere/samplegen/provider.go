package main

import (
	"crypto/sha1"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/svmgate/svmgate/cmd/svmgate/internal/inventory/vsphere/simvc"
)

// provider is a small service provider: two datacenters, three clusters, eight
// hosts with an SVM each, four more SVMs that are special, and the machines of
// five tenants. What a vCenter can not know is in overlay.yaml.
func provider() simvc.Provider {
	p := simvc.Provider{Datacenters: []simvc.Datacenter{
		{Name: "ams1", Clusters: []simvc.Cluster{
			{Name: "prod-a", Hosts: hosts("ams1", 1, 3)},
			{Name: "prod-b", Hosts: hosts("ams1", 4, 6)},
		}},
		{Name: "fra1", Clusters: []simvc.Cluster{{Name: "prod", Hosts: hosts("fra1", 1, 2)}}},
	}}
	for i, host := range allHosts {
		short, _, _ := strings.Cut(host, ".example.")
		p.Machines = append(p.Machines, machine("svm-"+strings.ReplaceAll(short, ".", "-"), host, "Security", "sles15_64Guest", fmt.Sprintf("10.90.0.%d", 11+i)))
	}
	for i, svm := range []struct{ name, host string }{
		{"svm-legacy", allHosts[2]}, {"svm-gold-ams1", allHosts[4]}, {"svm-gold-fra1", allHosts[7]}, {"svm-vdi", allHosts[5]},
	} {
		p.Machines = append(p.Machines, machine(svm.name, svm.host, "Security", "sles15_64Guest", fmt.Sprintf("10.90.0.%d", 31+i)))
	}
	for _, group := range []struct {
		tenant, role, guest string
		n                   int
		hosts               []string
	}{
		{"acme", "app", "ubuntu64Guest", 6, allHosts[:6]},
		{"acme", "db", "rhel9_64Guest", 2, allHosts[6:]},
		{"acme", "desk", "windows9_64Guest", 10, allHosts[3:6]},
		{"globex", "web", "debian12_64Guest", 8, allHosts[:3]},
		{"globex", "sql", "windows2019srv_64Guest", 4, allHosts[:3]},
		{"hooli", "node", "ubuntu64Guest", 10, allHosts[6:]},
		{"hooli", "build", "windows2019srvNext_64Guest", 4, allHosts[3:6]},
		{"initech", "files", "windows8Server64Guest", 4, allHosts[:2]},
		{"initech", "desk", "windows7_64Guest", 4, allHosts[1:3]},
	} {
		for i := range group.n {
			name := fmt.Sprintf("%s-%s-%02d", group.tenant, group.role, i+1)
			p.Machines = append(p.Machines, machine(name, group.hosts[i%len(group.hosts)], "Tenants/"+group.tenant, group.guest, ""))
		}
	}
	for i := range 8 {
		m := machine(fmt.Sprintf("umbrella-lab-%02d", i+1), allHosts[(3*i)%8], "Shared", "almalinux_64Guest", "")
		m.Tags = []string{"Customer/umbrella"}
		p.Machines = append(p.Machines, m)
	}
	// What an inventory leaves out: a template, and what belongs to nobody.
	golden := machine("golden-ubuntu", allHosts[0], "Tenants/acme", "ubuntu64Guest", "")
	golden.Template = true
	p.Machines = append(p.Machines, golden, machine("backup-proxy", allHosts[1], "Infrastructure", "debian12_64Guest", ""))
	return p
}

var allHosts = append(hosts("ams1", 1, 6), hosts("fra1", 1, 2)...)

func hosts(dc string, from, to int) (names []string) {
	for i := from; i <= to; i++ {
		names = append(names, fmt.Sprintf("esx%02d.%s.example.org", i, dc))
	}
	return names
}

// machine has UUIDs that depend on its name only, with the prefixes that vSphere
// uses.
func machine(name, host, folder, guest, address string) simvc.Machine {
	return simvc.Machine{
		Name: name, Host: host, Folder: folder, GuestID: guest, Address: address,
		UUID: uuidOf(0x42, "bios", name), Instance: uuidOf(0x50, "instance", name),
	}
}

func uuidOf(first byte, kind, name string) string {
	sum := sha1.Sum([]byte("svmgate sample " + kind + " " + name))
	id := uuid.UUID(sum[:16])
	id[0] = first
	return id.String()
}
