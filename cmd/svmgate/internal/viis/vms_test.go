package viis

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svmgate/svmgate/store"
)

func TestRegisterVM(t *testing.T) {
	w := newWorld(t)
	id, other := w.tenant(1), w.tenant(2)
	path := "/tenants/" + id.String() + "/vms/register"
	bios, err := store.ParseBIOSID(aBIOS)
	check(t, err)
	a := w.must(200, "POST", path, `<vm biosId="`+strings.ToUpper(aBIOS)+`"><name>web</name><userData><![CDATA[rack 7]]></userData></vm>`)
	vm, ok := w.table.VM(bios)
	if a.body != "" || !ok || vm.Tenant != id || vm.Name != "web" || vm.UserData != "rack 7" || vm.ID.IsZero() {
		t.Errorf("%q, registered %v: %+v", a.body, ok, vm)
	}
	w.knows("a registration", vmKeys(nil, bios)...)

	nobodys := store.BIOSID{15: 0xB2}
	w.put(func(tx *store.Tx) error { return tx.RegisterVM(store.VM{BIOS: nobodys, Name: "of nobody"}) })
	for _, tt := range []struct{ tenant, bios string }{{id.String(), aBIOS}, {other.String(), aBIOS}, {id.String(), nobodys.String()}} {
		w.refused(409, codeVMExists, "POST", "/tenants/"+tt.tenant+"/vms/register", `<vm biosId="`+tt.bios+`"><name>second</name></vm>`)
	}
	for _, tenant := range []string{"17", aBIOS, "00000000-0000-0000-0000-000000000000"} {
		w.refused(404, codeTenantNotFound, "POST", "/tenants/"+tenant+"/vms/register", `<vm biosId="00000000-0000-0000-0000-0000000000b3"/>`)
	}
	if a := w.refused(400, codeBadRequest, "POST", path, `<vm biosId="00000000-0000-0000-0000-0000000000b3"><name>a&#9;b</name></vm>`); !strings.Contains(a.body, "name") {
		t.Errorf("a name with a tab: %s", a.body)
	}
	for _, body := range []string{"", "<vm/>", "<tenant/>", `<vm biosId="17"/>`} {
		w.refused(400, codeBadRequest, "POST", path, body)
	}
	if again, _ := w.table.VM(bios); again != vm {
		t.Errorf("the VM is %+v, was %+v", again, vm)
	}
	if keys := w.peers.told(); keys != nil {
		t.Errorf("refusals tell of %v", keys)
	}
}

func TestUnregisterVM(t *testing.T) {
	w := newWorld(t)
	id, other := w.tenant(1), w.tenant(2)
	mine, theirs, nobodys := store.BIOSID{15: 0xB1}, store.BIOSID{15: 0xB2}, store.BIOSID{15: 0xB3}
	register := func() (vmID store.VMID) {
		w.put(func(tx *store.Tx) error {
			for bios, tenant := range map[store.BIOSID]store.TenantID{mine: id, theirs: other, nobodys: {}} {
				if _, err := tx.PutVM(store.VM{BIOS: bios, Tenant: tenant}); err != nil {
					return err
				}
			}
			return nil
		})
		vm, _ := w.table.VM(mine)
		return vm.ID
	}
	path := "/tenants/" + id.String() + "/vms/unregister"
	vmID := register()
	theirVM, _ := w.table.VM(theirs)

	for _, query := range []string{
		"biosId=" + aBIOS, "biosId=" + theirs.String(), "biosId=" + nobodys.String(), "biosId=" + vmID.String(), "vmId=" + aBIOS, "vmId=" + theirVM.ID.String(), "vmId=" + mine.String(),
	} {
		w.refused(404, codeVMNotFound, "POST", path+"?"+query, "")
	}
	for _, tenant := range []string{"17", aBIOS, "00000000-0000-0000-0000-000000000000"} {
		w.refused(404, codeTenantNotFound, "POST", "/tenants/"+tenant+"/vms/unregister?biosId="+nobodys.String(), "")
	}
	for _, query := range []string{"", "biosId=", "vmId", "biosId=17", "vmId=17", "biosId=" + mine.String() + "&vmId=" + vmID.String(), "biosId=" + mine.String() + "&BiosId=" + mine.String(), "id=" + mine.String()} {
		w.refused(400, codeBadRequest, "POST", path+"?"+query, "")
	}
	if w.peers.told() != nil || w.table.Stats().VMs != 3 {
		t.Errorf("a refusal changed something: there are %d VMs", w.table.Stats().VMs)
	}

	for _, query := range []string{"biosId=" + mine.String(), "vmId=" + vmID.String(), "vmid=%7B" + strings.ToUpper(vmID.String()) + "%7D&what=ever"} {
		if strings.Contains(query, "vm") {
			vmID = register()
			query = strings.Split(query, "=")[0] + "=" + vmID.String()
		}
		if a := w.must(200, "POST", path+"?"+query, ""); a.body != "" {
			t.Errorf("%s answers %q", query, a.body)
		}
		if _, still := w.table.VM(mine); still {
			t.Errorf("after %s it is still there", query)
		}
		w.knows("an unregistration", vmKeys(nil, mine)...)
		w.refused(404, codeVMNotFound, "POST", path+"?"+query, "")
	}
	if w.table.Stats().VMs != 2 {
		t.Errorf("there are %d VMs, want the two of others", w.table.Stats().VMs)
	}
}

// BenchmarkVMByID looks for the last of a tenant's VMs.
func BenchmarkVMByID(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		table, err := store.Open(store.Config{})
		if err != nil {
			b.Fatal(err)
		}
		id := store.TenantID{1}
		if err := table.Update(func(tx *store.Tx) error {
			_, err := tx.PutTenant(store.Tenant{ID: id, Name: "acme"})
			for i := 0; i < n && err == nil; i++ {
				err = tx.RegisterVM(store.VM{BIOS: store.BIOSID{1, 13: byte(i >> 16), 14: byte(i >> 8), 15: byte(i)}, Tenant: id, Name: "web"})
			}
			return err
		}); err != nil {
			b.Fatal(err)
		}
		a := &API{table: table}
		b.Run(fmt.Sprintf("vms=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, ok := a.vmByID(id, store.VMID{1}); ok {
					b.Fatal("found what is not there")
				}
			}
		})
		_ = table.Close()
	}
}
