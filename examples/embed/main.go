// Command embed is the gateway's decision in a program of your own: a table in
// memory, a selector over it, two tenants, three SVMs. Run it with
//
//	go run ./examples/embed
package main

import (
	"fmt"
	"log"

	"github.com/svmgate/svmgate/discovery"
	"github.com/svmgate/svmgate/store"
)

func main() {
	table, err := store.Open(store.Config{}) // with a Journal, from store.OpenDir, it would last
	check(err)
	defer table.Close()

	acme := store.Tenant{ID: store.NewTenantID(), Name: "acme", Type: store.Complete, Discovery: store.DefaultDiscovery()}
	zeta := store.Tenant{ID: store.NewTenantID(), Name: "zeta", Type: store.Simple, Discovery: store.DefaultDiscovery()}
	agents := map[string]store.BIOSID{"acme": {1}, "zeta": {2}} // BIOS IDs of their VMs

	check(table.Update(func(tx *store.Tx) error { // all of it or nothing
		must := func(_ bool, err error) { check(err) }
		for _, tenant := range []store.Tenant{acme, zeta} {
			must(tx.PutTenant(tenant))
			must(tx.PutVM(store.VM{BIOS: agents[tenant.Name], Tenant: tenant.ID, Path: store.Path{Host: "host-2"}}))
		}
		for i := range 3 {
			svm := store.SVM{ID: store.NewSVMID()}
			svm.Address, svm.Pinned = fmt.Sprintf("10.9.0.%d", i+1), true
			svm.Path.Host, svm.License.State = fmt.Sprintf("host-%d", i+1), store.LicenseValid
			must(tx.PutSVM(svm))
		}
		_, err := tx.SetActive(acme.ID, true)
		return err
	}))

	selector, err := discovery.New(discovery.Config{Table: table})
	check(err)
	defer selector.Close()
	ask := func(tenant string) {
		var answer discovery.Answer
		selector.Select(&discovery.Query{BIOS: agents[tenant]}, &answer)
		fmt.Printf("%s: %s, %s\n", tenant, answer.Result, answer.SVMs()[0].SVM.Address)
	}
	ask("acme") // 10.9.0.2 is on the VM's own host
	ask("zeta") // simple: never activated, always served
	check(table.Update(func(tx *store.Tx) error { _, err := tx.SetActive(acme.ID, false); return err }))
	ask("acme") // at once: the SVM that does not exist
	ask("zeta")
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
