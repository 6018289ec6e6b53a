package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/svmgate/svmgate/store"
)

// A World is tenants, SVMs and VMs of given numbers, made from a seed: the same
// again whenever they are asked for, so that nothing of them is kept. VMs run on
// as many hosts as there are SVMs, which is how the product is deployed, and
// belong to the tenants in turn. Each tenant's are on neighbouring hosts.
type World struct {
	Seed               uint64
	Tenants, SVMs, VMs int

	// EachTenant and EachSVM, if set, change the i-th of them.
	EachTenant func(i int, t *store.Tenant)
	EachSVM    func(i int, s *store.SVM)
}

// Kinds of ids. They keep ids of one number apart.
const (
	tenantIDs = iota + 1
	svmIDs
	biosIDs
	vmIDs
)

func (w World) id(kind, i int) (id [16]byte) {
	source := rand.NewPCG(w.Seed, uint64(kind)<<56|uint64(i))
	for n := 0; n < len(id); n += 8 {
		v := source.Uint64()
		for b := range 8 {
			id[n+b] = byte(v >> (8 * b))
		}
	}
	return id
}

// BIOS returns the BIOS ID of the i-th VM.
func (w World) BIOS(i int) store.BIOSID { return w.id(biosIDs, i) }

// Tenant returns the i-th tenant: complete, active, with default settings.
func (w World) Tenant(i int) store.Tenant {
	t := store.Tenant{
		ID: w.id(tenantIDs, i), Name: fmt.Sprintf("tenant-%d", i), Status: store.Active, Discovery: store.DefaultDiscovery(),
		Subnets: []string{}, // an inventory has no null; likewise below
	}
	if w.EachTenant != nil {
		w.EachTenant(i, &t)
	}
	return t
}

// SVM returns the i-th SVM: pinned, licensed, of version 6.0, on host i.
func (w World) SVM(i int) store.SVM {
	s := store.SVM{
		ID: w.id(svmIDs, i),
		SVMConfig: store.SVMConfig{
			Name: fmt.Sprintf("svm-%d", i), Address: fmt.Sprintf("10.9.%d.%d", i/250%250, i%250+1), Pinned: true,
			Tags: []string{}, Tenants: []store.TenantID{},
		},
		SVMFacts: store.SVMFacts{
			Version: "6.0", Path: w.path(i), License: store.License{State: store.LicenseValid},
			Kinds: []store.AgentKind{},
		},
	}
	if w.EachSVM != nil {
		w.EachSVM(i, &s)
	}
	return s
}

// VM returns the i-th VM.
func (w World) VM(i int) store.VM {
	vm := store.VM{
		BIOS: w.BIOS(i), ID: w.id(vmIDs, i), Name: fmt.Sprintf("vm-%d", i), OS: store.OSServer, Kind: store.AgentLinux, Version: "12.0",
		Path: w.path(i),
	}
	if w.Tenants > 0 {
		vm.Path, vm.Tenant = w.path(i/w.Tenants+i%w.Tenants), w.id(tenantIDs, i%w.Tenants)
	}
	return vm
}

// path is that of host i, modulo the number of hosts: 16 hosts to a cluster, 16
// clusters to a zone.
func (w World) path(i int) store.Path {
	host := i % max(w.SVMs, 1)
	return store.Path{
		Host: fmt.Sprintf("host-%d", host), Cluster: fmt.Sprintf("cluster-%d", host/16), Zone: fmt.Sprintf("zone-%d", host/256),
	}
}

// Load writes the world into a table, some thousands of records at a time.
func (w World) Load(t *store.Table) error {
	put := []struct {
		n  int
		do func(tx *store.Tx, i int) error
	}{
		{w.Tenants, func(tx *store.Tx, i int) error {
			tenant := w.Tenant(i)
			if _, err := tx.PutTenant(tenant); err != nil {
				return err
			}
			_, err := tx.SetActive(tenant.ID, tenant.Status == store.Active)
			return err
		}},
		{w.SVMs, func(tx *store.Tx, i int) error { _, err := tx.PutSVM(w.SVM(i)); return err }},
		{w.VMs, func(tx *store.Tx, i int) error { _, err := tx.PutVM(w.VM(i)); return err }},
	}
	const chunk = 8192
	for _, p := range put {
		for from := 0; from < p.n; from += chunk {
			err := t.Update(func(tx *store.Tx) error {
				for i := from; i < min(from+chunk, p.n); i++ {
					if err := p.do(tx, i); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("bench: load world: %w", err)
			}
		}
	}
	return nil
}

// WriteInventory writes the world as NDJSON, for svmgate import.
func (w World) WriteInventory(out io.Writer) error {
	buf := bufio.NewWriter(out)
	enc := json.NewEncoder(buf)
	write := func(kind string, n int, one func(i int) any) error {
		for i := range n {
			if err := enc.Encode(map[string]any{kind: one(i)}); err != nil {
				return fmt.Errorf("bench: write inventory: %w", err)
			}
		}
		return nil
	}
	if err := write("tenant", w.Tenants, func(i int) any { return w.Tenant(i) }); err != nil {
		return err
	}
	if err := write("svm", w.SVMs, func(i int) any { return w.SVM(i) }); err != nil {
		return err
	}
	if err := write("vm", w.VMs, func(i int) any { return w.VM(i) }); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("bench: write inventory: %w", err)
	}
	return nil
}
